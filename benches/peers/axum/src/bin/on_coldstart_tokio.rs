//! On coldstart, with a tokio runtime beside the loop, whose timers the application uses. The port is that of the environment.
#![no_main]

#[path = "../ticks/tokio.rs"]
mod ticks;

use std::process::ExitCode;

coldstart::main!(start = run);
coldstart::without_backtraces!();

fn run() -> ExitCode {
    coldstart_tower::serve(peer_axum::router(ticks::ticks))
}
