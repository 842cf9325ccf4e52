//! The whole loop in a simulated world: the input decides what happens.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| coldstart::sim::check_simulation(bytes));
