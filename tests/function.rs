//! The contract in `docs/contract.md`, from the function's side. These tests play the platform over loopback,
//! against real processes. Each module covers one section.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a failed set-up must fail the test, and the platform uses clocks and an environment"
)]

#[path = "function/examples.rs"]
mod examples;
#[path = "function/life.rs"]
mod life;
#[path = "function/logs.rs"]
mod logs;
#[path = "function/platform.rs"]
mod platform;
#[path = "loopback/port.rs"]
mod port;
#[path = "function/requests.rs"]
mod requests;
#[path = "function/start.rs"]
mod start;
#[path = "function/state.rs"]
mod state;
#[path = "function/under_test.rs"]
mod under_test;
