//! What the benchmarks share: building and starting programs, load, and statistics.

#![expect(
    dead_code,
    unsafe_code,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::disallowed_methods,
    reason = "benchmarks print, time, start processes and may panic; each uses a part"
)]

pub(crate) mod counted;
pub(crate) mod load;
pub(crate) mod machine;
pub(crate) mod packed;
pub(crate) mod programs;
pub(crate) mod requests;
pub(crate) mod starts;
pub(crate) mod stops;
pub(crate) mod streams;
pub(crate) mod table;
pub(crate) mod witness;

use std::path::{Path, PathBuf};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The directory of the result files, which the report reads.
pub(crate) fn results() -> PathBuf {
    let directory = root().join("target/bench");
    std::fs::create_dir_all(&directory).expect("target is writable");
    directory
}

pub(crate) fn median(figures: &[f64]) -> f64 {
    percentile(figures, 50.0)
}

pub(crate) fn percentile(figures: &[f64], percent: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (percent / 100.0 * sorted.len() as f64) as usize;
    sorted
        .get(at.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}

/// A number from an argument `name=value`.
pub(crate) fn setting(name: &str, default: usize) -> usize {
    text_setting(name)
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}

pub(crate) fn text_setting(name: &str) -> Option<String> {
    text_settings(name).next()
}

pub(crate) fn text_settings(name: &str) -> impl Iterator<Item = String> {
    let prefix = format!("{name}=");
    std::env::args().filter_map(move |argument| argument.strip_prefix(&prefix).map(str::to_owned))
}

pub(crate) fn relative(path: &Path) -> &Path {
    path.strip_prefix(env!("CARGO_MANIFEST_DIR"))
        .unwrap_or(path)
}
