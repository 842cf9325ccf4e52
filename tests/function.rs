//! The contract, row by row: these tests play the platform over loopback against real processes. They hold the function to
//! `docs/contract.md`; each module is one of its sections.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "what a test cannot set up must fail it, and a platform has clocks and an environment"
)]

#[path = "function/examples.rs"]
mod examples;
#[path = "function/life.rs"]
mod life;
#[path = "function/logs.rs"]
mod logs;
#[path = "function/platform.rs"]
mod platform;
#[path = "function/requests.rs"]
mod requests;
#[path = "function/start.rs"]
mod start;
#[path = "function/under_test.rs"]
mod under_test;
