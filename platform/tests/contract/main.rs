//! The platform's side, with real servers: what starts, what does not and why, what passes the gateway, what the checks
//! find, what is packed.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_assert_message,
    reason = "a test that cannot go on fails, and its values say why"
)]

mod bench;
mod checks;
mod gateway;
mod mistakes;
mod packages;
mod page;
mod start;
mod support;
