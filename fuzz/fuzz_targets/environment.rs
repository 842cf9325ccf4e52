//! The environment that a platform starts a function in.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| coldstart::sim::check_environment(bytes));
