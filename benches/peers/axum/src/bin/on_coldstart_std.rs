//! On coldstart, without a runtime, from std's `main`. The port is that of the environment.

#[path = "../ticks/coldstart.rs"]
mod ticks;

use std::process::ExitCode;

fn main() -> ExitCode {
    coldstart_tower::serve(peer_axum::router(ticks::ticks))
}
