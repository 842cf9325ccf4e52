//! A made-up world for tests, fuzzers and benchmarks. Feature `sim`, never shipped.
//!
//! What is public here are check functions: the crate's rooms stay closed, and tests see them through these windows.

mod check;
mod exchange;
mod reference;

pub use check::{check_answer, check_chunked, check_connection, check_head};
pub use exchange::{Cuts, Ending, Exchange, Message, exchange};
pub use reference::{End, Meaning, check_against_reference, meaning};
