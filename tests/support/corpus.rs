//! What the fuzzers keep: the corpus and the regressions of each target.
#![expect(
    clippy::expect_used,
    reason = "a file that can't be read must fail its test"
)]

use std::path::Path;

/// Runs `check` over all files of a target; a failure is told with the file's name.
pub(crate) fn run(target: &str, check: fn(&[u8])) {
    let mut count = 0;
    for folder in ["corpus", "regressions"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz")
            .join(folder)
            .join(target);
        // A target without regressions has no folder for them.
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            let bytes = std::fs::read(&path).expect("a file of the corpus");
            count += 1;
            let checked = std::panic::catch_unwind(|| check(&bytes));
            assert!(checked.is_ok(), "{}", path.display());
        }
    }
    assert!(count > 0, "{target} has a corpus");
}
