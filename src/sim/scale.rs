//! How many cases a test runs: all of them, or a part under Miri, which is a thousand times slower.

/// Returns `full`; under Miri, prints a line and returns `under_miri`.
#[must_use]
#[expect(
    clippy::print_stdout,
    reason = "what a test leaves out must show in its output"
)]
pub fn scaled(what: &str, full: usize, under_miri: usize) -> usize {
    if cfg!(miri) {
        println!("UNDER MIRI: {what}: {under_miri} instead of {full}");
        return under_miri;
    }
    full
}
