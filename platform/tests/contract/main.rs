//! The CLI with real servers: starts and failed starts, the gateway, the checks, the packages.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_assert_message,
    reason = "a test that cannot go on fails, and its values say why"
)]

mod bench;
mod callers;
mod checks;
mod commands;
mod corpus;
mod deployment;
mod edit_loop;
mod engines;
mod gateway;
mod images;
mod install;
mod mistakes;
#[cfg(not(on_linux))]
mod other_system;
mod packages;
mod page;
mod pages;
mod readme;
mod release;
mod sandbox;
mod start;
mod support;
mod verdicts;
