//! A whole connection, through this server's protocol and through hyper.
#![no_main]
#![expect(dead_code, reason = "only tests/hyper.rs uses all of it")]
#[path = "../../tests/hyper/differential.rs"]
mod differential;
#[path = "../../tests/hyper/known.rs"]
mod known;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| known::check(bytes));
