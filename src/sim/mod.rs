//! A deterministic simulation for tests, fuzzers and benchmarks. Feature `_sim`, never shipped.
//!
//! The loop runs over a simulated kernel, clock, peers and handler, with faults injected from a seed. What is public here
//! are check functions, so that tests reach the crate's private modules without making them public.

mod async_peers;
mod background;
mod bodies;
mod check;
mod disturbance;
mod draft;
mod exchange;
mod fairness;
mod faults;
mod future;
mod generator;
mod handler;
mod harness;
mod kernel;
mod loop_driver;
mod oracle;
mod peer;
mod plan;
mod prng;
mod protocol;
mod reader;
mod reference;
mod report;
mod response_reader;
mod run;
mod scale;
mod scenario;
mod socket;
mod step_sweep;
mod sweep;
mod volatile;
mod volatile_plan;
mod wall_clock;
mod workload;
mod world;
mod writer;
mod writer_plan;

pub use crate::function::check::{check_context, check_environment};
pub use check::{check_chunked, check_connection, check_head, check_response};
pub use exchange::{Cuts, Ending, Exchange, Message, exchange, exchange_echo};
pub use kernel::Tracing;
pub use loop_driver::LoopDriver;
pub use protocol::Protocol;
pub use reference::{End, Meaning, check_against_reference, meaning};
pub use report::Report;
pub use run::{Failure, check_simulation, run_seed};
pub use scale::scaled;
pub use scenario::{PeerId, Received, Scenario};
pub use step_sweep::{sweep_programs, sweep_seed};
pub use sweep::sweep_single_faults;
