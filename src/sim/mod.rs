//! A made-up world for tests, fuzzers and benchmarks. Feature `sim`, never shipped.
//!
//! What is public here are check functions: the crate's rooms stay closed, and tests see them through these windows.

mod exchange;

mod answers;
mod cast;
mod dice;
mod elsewhere;
mod faults;
mod kernel;
mod oracle;
mod peer;
mod run;
mod scenario;
mod scribe;
mod simulation;
mod task;
mod world;

pub use exchange::{Cuts, Ending, Exchange, Message, exchange};
pub use run::{Failure, Report, Tracing, run_seed};
pub use scenario::{Heard, PeerId, Scenario};
