//! The fields of a platform request, and what a function reads from them.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| coldstart::sim::check_context(bytes));
