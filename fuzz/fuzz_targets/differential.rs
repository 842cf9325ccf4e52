//! A whole connection, to this server's protocol and to hyper.
#![no_main]
#![expect(dead_code, reason = "what only the test of the list of disagreements reads")]
#[path = "../../tests/hyper/differential.rs"]
mod differential;
#[path = "../../tests/hyper/known.rs"]
mod known;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| differential::check(bytes));
