//! The environment variables that a function starts with.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| coldstart::sim::check_environment(bytes));
