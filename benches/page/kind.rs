//! What kind of program a row of the results is: ours, a yardstick, or another server.

/// Lower bounds: no server that reads requests can beat them.
pub(crate) const YARDSTICKS: &[&str] = &["floor", "limit"];
pub(crate) const OURS: &[&str] = &[
    "bootstrap",
    "bootstrap-min",
    "minimal",
    "hello",
    "event",
    "todos",
    "axum-coldstart",
    "axum-coldstart-std",
    "axum-coldstart-tokio",
];

/// The CSS class of a program's marks and labels.
pub(crate) fn kind(name: &str) -> &'static str {
    if OURS.contains(&name) {
        "ours"
    } else if YARDSTICKS.contains(&name) {
        "yardstick"
    } else {
        "peer"
    }
}
