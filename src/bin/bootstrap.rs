//! The reference function.

fn main() {}
