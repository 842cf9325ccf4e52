//! The whole loop over a made-up world: bytes decide what happens in it.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| coldstart::sim::check_simulation(bytes));
