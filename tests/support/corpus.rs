//! The corpus and the regressions of each fuzz target.
#![expect(
    clippy::expect_used,
    reason = "a file that cannot be read must fail its test"
)]

use std::path::Path;

/// Runs `check` on every file of a target. A failure names the file.
pub(crate) fn run(target: &str, check: fn(&[u8])) {
    let mut count = 0;
    for folder in ["corpus", "regressions"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz")
            .join(folder)
            .join(target);
        // A target without regressions has no such folder.
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
