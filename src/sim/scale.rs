//! How much a test looks at: all of it, or under Miri, which is a thousand times slower, a part that is told.

/// The number `full`, or under Miri the other one, and a line that says so.
#[must_use]
#[expect(
    clippy::print_stdout,
    reason = "what a test leaves out is to be seen in its output"
)]
pub fn scaled(what: &str, full: usize, under_miri: usize) -> usize {
    if cfg!(miri) {
        println!("UNDER MIRI: {what}: {under_miri} in place of {full}");
        return under_miri;
    }
    full
}
