//! The examples that stream, each in a process of its own, requested over loopback as their curl lines do.
#![expect(clippy::expect_used, reason = "a failed set-up must fail the test")]

#[path = "examples/chat.rs"]
mod chat;
#[path = "examples/files.rs"]
mod files;
mod loopback;
#[path = "examples/proxy.rs"]
mod proxy;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use loopback::process::{Process, status};

/// An example as built by `cargo test`. Cargo puts examples next to programs in all of its versions, but not tests.
fn example(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_bootstrap")).with_file_name("examples");
    let example = folder.join(name);
    assert!(
        example.exists(),
        "run: cargo build --all-features --examples"
    );
    example
}

/// Starts it on a free port.
fn start(name: &str, arguments: &[&str]) -> (Process, SocketAddr) {
    Process::serve(|port| {
        let mut command = Command::new(example(name));
        command.args(arguments).env("PORT", port.to_string());
        for platforms in ["FC_CUSTOM_LISTEN_PORT", "FC_SERVER_PORT"] {
            command.env_remove(platforms);
        }
        command
    })
}

/// What was resident at most so far, in KiB.
fn resident_peak(server: &Process) -> u64 {
    let peak = status(server.id, "VmHWM").expect("a process");
    peak.trim_end_matches(" kB").parse().expect("a number")
}
