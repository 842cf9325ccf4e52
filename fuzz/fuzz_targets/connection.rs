//! A whole connection: bytes, and where they are cut.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| coldstart::sim::check_connection(bytes));
