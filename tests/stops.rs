//! What the benchmarks leave out of their latencies: what others took of a core, and nothing that a server did.
#![expect(
    clippy::disallowed_methods,
    reason = "moments are made from one that is read"
)]

#[path = "../benches/support/stops.rs"]
mod stops;

use std::time::{Duration, Instant};

use stops::{Delays, Stop, Watch};

const fn micros(count: u64) -> Duration {
    Duration::from_micros(count)
}

/// Looks at a core each microsecond that it is given, in each millisecond until others take the rest of it.
fn stops_of(began_at: Instant, millis: u64, others: u64) -> Vec<Stop> {
    let (mut now, mut cpu) = (began_at, Duration::ZERO);
    let mut watch = Watch::new(now, cpu);
    for _ in 0..millis {
        for _ in others..1000 {
            now += micros(1);
            cpu += micros(1);
            watch.look(now, cpu);
        }
        now += micros(others);
        watch.look(now, cpu);
    }
    watch.stops
}

#[test]
fn a_core_that_always_ran_has_no_stops() {
    assert_eq!(stops_of(Instant::now(), 20, 0), []);
}

#[test]
fn what_others_take_is_a_stop() {
    let began_at = Instant::now();
    let stop = |millis: u64| Stop {
        from: began_at + micros(millis * 1000 + 700),
        until: began_at + micros((millis + 1) * 1000),
    };
    assert_eq!(stops_of(began_at, 3, 300), [stop(0), stop(1), stop(2)]);
}

#[test]
fn an_interrupt_is_no_stop() {
    assert_eq!(stops_of(Instant::now(), 20, 20), []);
    assert_eq!(stops_of(Instant::now(), 20, 21).len(), 20);
}

#[test]
fn a_server_that_sleeps_has_stopped_by_itself() {
    let now = Instant::now();
    let mut watch = Watch::new(now, Duration::ZERO);
    // The thread that takes what the server leaves had all of it.
    watch.look(now + micros(3000), micros(3000));
    assert_eq!(watch.stops, []);
}

/// Whether a response is left out that was due and arrived at these microseconds, after a stop from 1 000 to 2 000.
fn left_out(calms: &[u64]) -> impl Fn(u64, u64) -> bool {
    let began_at = Instant::now();
    let at = move |count| began_at + micros(count);
    let stop = Stop {
        from: at(1000),
        until: at(2000),
    };
    let calms: Vec<Instant> = calms.iter().map(|calm| at(*calm)).collect();
    let delays = Delays::new([stop].into_iter(), &calms);
    move |due_at, arrived_at| delays.overlap(at(due_at), at(arrived_at))
}

#[test]
fn a_stop_delays_responses_until_its_backlog_is_gone() {
    let is_left_out = left_out(&[900, 1500, 2600, 2700]);
    assert!(!is_left_out(800, 900), "it had arrived before");
    assert!(is_left_out(900, 1100), "it was outstanding");
    assert!(is_left_out(1500, 2100), "it was due meanwhile");
    assert!(is_left_out(2500, 2550), "it waited for those before it");
    assert!(!is_left_out(2600, 9000), "it is the server that was slow");
}

#[test]
fn a_backlog_that_is_never_gone_lasts_until_the_end() {
    let is_left_out = left_out(&[900]);
    assert!(is_left_out(500_000, 500_100));
    assert!(!is_left_out(800, 900));
}
