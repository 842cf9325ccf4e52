//! `coldstart`: the platform's side of the custom runtime's contract, on a developer's machine.

fn main() {}
