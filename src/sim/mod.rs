//! A made-up world for tests, fuzzers and benchmarks. Feature `_sim`, never shipped.
//!
//! What is public here are check functions: the crate's rooms stay closed, and tests see them through these windows.

mod answers;
mod cast;
mod check;
mod dice;
mod elsewhere;
mod exchange;
mod faults;
mod kernel;
mod oracle;
mod peer;
mod protocol;
mod reference;
mod run;
mod scale;
mod scenario;
mod scribe;
mod simulation;
mod sweep;
mod task;
mod treadmill;
mod world;

pub use crate::function::check::{check_context, check_environment};
pub use check::{check_answer, check_chunked, check_connection, check_head};
pub use exchange::{Cuts, Ending, Exchange, Message, exchange, exchange_echo};
pub use protocol::Protocol;
pub use reference::{End, Meaning, check_against_reference, meaning};
pub use run::{Failure, Report, Tracing, check_simulation, run_seed};
pub use scale::scaled;
pub use scenario::{Heard, PeerId, Scenario};
pub use sweep::sweep_single_faults;
pub use treadmill::Treadmill;
