//! On coldstart, without a runtime, as its documentation advises for the fastest start. The port is that of the environment.
#![no_main]

#[path = "../ticks/coldstart.rs"]
mod ticks;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: coldstart::Allocator = coldstart::Allocator::new();

coldstart::main!(start = run);
coldstart::without_backtraces!();

fn run() -> ExitCode {
    coldstart_tower::serve(peer_axum::router(ticks::ticks))
}
