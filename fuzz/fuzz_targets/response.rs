//! A response with hostile fields, encoded.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| coldstart::sim::check_response(bytes));
