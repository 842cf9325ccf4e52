//! The examples that stream, each in a process of its own, requested over loopback as their curl lines do; and tests that
//! an example has itself.
#![expect(clippy::expect_used, reason = "a failed set-up must fail the test")]

#[path = "examples/chat.rs"]
mod chat;
#[path = "examples/files.rs"]
mod files;
// Cargo builds an example for its tests or to be run, not both, so its tests are run here.
#[expect(dead_code, reason = "its main function is not called")]
#[path = "../examples/first/main.rs"]
mod first;
mod loopback;
#[path = "examples/proxy.rs"]
mod proxy;
#[expect(dead_code, reason = "its main function is not called")]
#[path = "../examples/todos/main.rs"]
mod todos;

use std::net::SocketAddr;
use std::path::Path;

use loopback::process::{Process, example, status};

/// Starts it on a free port.
fn start(name: &str, arguments: &[&str]) -> (Process, SocketAddr) {
    // Cargo puts examples next to programs in all of its versions, but not tests.
    let program = Path::new(env!("CARGO_BIN_EXE_bootstrap"));
    Process::example(&example(program, name), arguments)
}

/// What was resident at most so far, in KiB.
fn resident_peak(server: &Process) -> u64 {
    let peak = status(server.id, "VmHWM").expect("a process");
    peak.trim_end_matches(" kB").parse().expect("a number")
}
