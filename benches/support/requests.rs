//! One server under one load: requests per second, CPU time, latency and memory.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use super::load::{Load, Pace, Plan};
use super::machine::Child;
use super::programs::Program;
use super::witness::Witness;
use super::{median, percentile};

const WARM_UP: Duration = Duration::from_millis(100);
/// The kernel keeps the timer of each connect's retransmission for a second, then many fire at once, every 32 ms: with 10 000
/// connections that takes 0.2 to 0.4 ms of a core.
const WARM_UP_AT_A_RATE: Duration = Duration::from_millis(1500);
/// The shortest run at a rate: the 99.9th percentile is one of a thousand.
const LEAST_AT_A_RATE: Duration = Duration::from_secs(1);
/// Below the ephemeral ports.
pub(crate) const PORTS: std::ops::Range<u16> = 10_000..30_000;

/// The figures of one server in one scenario, one per round.
#[derive(Default)]
pub(crate) struct Series {
    pub(crate) requests_per_second: Vec<f64>,
    pub(crate) cpu_per_request: Vec<f64>,
    pub(crate) latency: [Vec<f64>; 3],
    /// How many of the requests at a rate have a latency that counts, of one.
    pub(crate) counted: Vec<f64>,
    pub(crate) memory: Vec<f64>,
    pub(crate) memory_per_connection: Vec<f64>,
}

/// The next free port. If a server could not listen, the load would reach whatever else has the port.
pub(crate) fn free_port(last: u16) -> u16 {
    let ports = (last + 1..PORTS.end).chain(PORTS);
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok();
    ports.into_iter().find(is_free).unwrap_or(PORTS.start)
}

/// Runs one server under one load.
///
/// # Errors
///
/// How the server failed.
pub(crate) fn measure(
    program: &Program,
    port: u16,
    plan: &Plan,
    duration: Duration,
    series: &mut Series,
) -> Result<(), String> {
    let child = Child::start(&program.path, &program.arguments(port), port);
    let single = Plan {
        connections: 1,
        pace: Pace::Closed,
        ..plan.clone()
    };
    drop(Load::new(port, single)?.run(Duration::from_millis(10))?);
    let memory_before = child.memory();
    let mut load = Load::new(port, plan.clone())?;
    let (outcome, cpu_before, latencies) = match plan.pace {
        Pace::Closed => {
            load.run(WARM_UP)?;
            let cpu_before = child.cpu();
            (load.run(duration)?, cpu_before, Vec::new())
        }
        Pace::Rate(_) => {
            let witness = Witness::start(child.pid);
            let warm_up = load.run(WARM_UP_AT_A_RATE);
            let cpu_before = child.cpu();
            let outcome = warm_up.and_then(|_| load.run(duration.max(LEAST_AT_A_RATE)));
            let stops = witness.end();
            let outcome = outcome?;
            let latencies = outcome.latencies(&stops);
            (outcome, cpu_before, latencies)
        }
    };
    // Work that the server does after the last response is part of its cost.
    std::thread::sleep(Duration::from_millis(20));
    let cpu = child.cpu().saturating_sub(cpu_before);
    let memory = child.memory();
    load.check()?;
    series
        .requests_per_second
        .push(outcome.requests as f64 / outcome.elapsed.as_secs_f64());
    series
        .cpu_per_request
        .push(cpu.as_secs_f64() * 1e6 / outcome.requests as f64);
    if plan.pace != Pace::Closed {
        let counted = latencies.len() as f64 / outcome.requests as f64;
        series.counted.push(counted);
    }
    for (figures, percent) in series.latency.iter_mut().zip([50.0, 99.0, 99.9]) {
        figures.push(percentile(&latencies, percent));
    }
    series.memory.push(memory as f64);
    series
        .memory_per_connection
        .push(memory.saturating_sub(memory_before) as f64 / plan.connections as f64);
    drop(load);
    child.end();
    Ok(())
}

/// The median of the rounds' ratios, or the ratio of the medians if a side misses a round.
pub(crate) fn ratio(figures: &[f64], yardstick: &[f64]) -> f64 {
    if figures.len() == yardstick.len() {
        let pairs = figures.iter().zip(yardstick);
        median(
            &pairs
                .map(|(figure, unit)| figure / unit)
                .collect::<Vec<_>>(),
        )
    } else {
        median(figures) / median(yardstick)
    }
}
