//! The fields of a platform's requests, and what a function makes of them.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| coldstart::sim::check_context(bytes));
