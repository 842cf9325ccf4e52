//! The examples of this package that the front page has: each curl line in the header of one prints what is shown there.
#![expect(clippy::expect_used, reason = "a failed set-up must fail the test")]

#[path = "../../tests/loopback/mod.rs"]
mod loopback;
#[path = "../../tests/ladder/session.rs"]
mod session;

use std::path::Path;

use loopback::process::can_run;
use session::play;

#[test]
fn each_curl_line_prints_what_its_example_shows() {
    if !can_run("curl lines", &["curl", "--version"]) {
        return;
    }
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let program = std::env::current_exe().expect("this program");
    for file in ["axum_hello.rs", "mcp.rs"] {
        play(root, &format!("tower/examples/{file}"), &program);
    }
}
