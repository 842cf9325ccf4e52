//! A made-up world for tests, fuzzers and benchmarks. Feature `sim`, never shipped.
//!
//! What is public here are check functions: the crate's rooms stay closed, and tests see them through these windows.

mod exchange;

pub use exchange::{Cuts, Exchange, exchange};
