//! A siege: attackers of every kind at once against real programs over loopback. Healthy clients must not notice.
//!
//! Run a long one with `cargo build --release --examples`, then `SIEGE_SECONDS=60 SIEGE_SEED=7 cargo test --release
//! --test siege -- --nocapture`. `SIEGE_BOOTSTRAP` and `SIEGE_TOUR` name other builds of the two programs. The seed
//! decides what each client sends; how the clients interleave depends on the machine.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a failed set-up must fail the test; attackers and clients use clocks and socket options"
)]

#[path = "siege/attack.rs"]
mod attack;
#[path = "siege/attackers.rs"]
mod attackers;
#[path = "siege/healthy.rs"]
mod healthy;
#[path = "siege/loads.rs"]
mod loads;
mod loopback;
#[path = "siege/monitor.rs"]
mod monitor;
#[path = "support/random.rs"]
mod random;
#[path = "siege/run.rs"]
mod run;

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use attack::Tally;
use healthy::Served;
use loopback::process::Process;
use loopback::{Client, eventually};
use monitor::{Faults, Resources, eventually_frees, eventually_sleeps, reports};
use random::Random;
use run::{Program, Run};

/// The length of a siege in an ordinary test run; long enough for the first descriptor shortage.
const SECONDS: u64 = 6;
/// How far the server's private memory may grow over the siege, in KiB: heap fragments, and thread stacks that its
/// C library keeps for reuse.
const KEPT_MAX: u64 = 8 * 1024;
/// Healthy clients of each kind at once before the siege: more than a pool has threads.
const CLIENTS_AT_ONCE: usize = 8;

#[test]
fn the_reference_function_survives_a_siege() {
    run_siege(Program::Bootstrap);
}

#[test]
fn the_tour_survives_a_siege() {
    run_siege(Program::Tour);
}

fn run_siege(program: Program) {
    let seed = number("SIEGE_SEED").unwrap_or_else(seed_from_clock);
    let seconds = number("SIEGE_SECONDS").unwrap_or(SECONDS);
    println!("{program:?}: SIEGE_SECONDS={seconds} SIEGE_SEED={seed}");
    let mut random = Random(seed);

    let (mut server, address) = Process::serve(|port| program.on_port(port));
    let before = warm_up(program, &server, address, &mut random);
    let run = Run::new(program, address, Duration::from_secs(seconds));
    let outcome = siege(&run, &server, &mut random);
    println!("{program:?}, seed {seed}: {:?}", outcome.faults);
    outcome.print();
    outcome.check();

    eventually_frees(&server, &before);
    eventually_sleeps(&server);
    let after = Resources::of(&server);
    println!("  before: {before}\n  after:  {after}");
    assert!(
        after.anonymous < before.anonymous + KEPT_MAX,
        "private memory has grown from {} to {} KiB",
        before.anonymous,
        after.anonymous
    );
    reports(&server);
    drain(program, &mut server, address);
}

/// The rows of the table in `SECURITY.md` that says how much memory each load may take: its name and MiB.
fn ceilings() -> Vec<(String, u64)> {
    let rows = include_str!("../SECURITY.md")
        .lines()
        .skip_while(|line| !line.starts_with("| load |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let digits = cells[2].trim_end_matches(" MiB");
        (
            cells[1].to_owned(),
            digits.parse().expect("a number of MiB"),
        )
    })
    .collect()
}

#[test]
fn each_load_takes_no_more_memory_than_the_table_says() {
    let ceilings = ceilings();
    let names: Vec<&str> = ceilings.iter().map(|(name, _)| name.as_str()).collect();
    let tried: Vec<&str> = loads::LOADS.iter().map(|load| load.name).collect();
    assert_eq!(names, tried, "the table names the loads");
    for (load, (name, ceiling)) in loads::LOADS.iter().zip(&ceilings) {
        let borne = load.bear(":");
        println!("{name}: {borne}");
        assert!(borne.peak <= ceiling * 1024, "{name}: {borne}");
    }
}

#[test]
fn a_process_that_may_have_little_memory_refuses_instead_of_ending() {
    for load in loads::LOADS {
        println!("{}: {}", load.name, load.bear("ulimit -v 262144"));
    }
}

/// A number from an environment variable, if it is set.
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("the variable is a number"))
}

fn seed_from_clock() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("the clock is past 1970").subsec_nanos().into()
}

/// Warms up every route and pool, so that what the program allocates once and keeps does not count as a leak. Returns the
/// resources held after that.
fn warm_up(
    program: Program,
    server: &Process,
    address: SocketAddr,
    random: &mut Random,
) -> Resources {
    let run = Run::new(program, address, Duration::ZERO);
    eventually("each pool has started all its threads", || {
        thread::scope(|scope| {
            for kind in healthy::kinds(program) {
                for _ in 0..CLIENTS_AT_ONCE {
                    let random = Random(random.next());
                    scope.spawn(|| kind.run_once(&run, random));
                }
            }
        });
        eventually_sleeps(server);
        Resources::of(server).threads == program.threads()
    });
    Resources::of(server)
}

/// What each kind of client did and saw.
struct Outcome {
    attackers: Vec<(&'static str, Tally)>,
    healthy: Vec<(&'static str, Served)>,
    faults: Faults,
}

fn siege(run: &Run, server: &Process, random: &mut Random) -> Outcome {
    let mut faults = Faults::default();
    let (attackers, healthy) = thread::scope(|scope| {
        let attackers: Vec<_> = attackers::KINDS
            .iter()
            .map(|kind| {
                let random = Random(random.next());
                (kind.name, scope.spawn(|| kind.attack(run, random)))
            })
            .collect();
        let healthy: Vec<_> = healthy::kinds(run.program)
            .iter()
            .map(|kind| {
                let random = Random(random.next());
                (kind.name, scope.spawn(|| kind.run(run, random)))
            })
            .collect();
        faults.inject(run, server, Random(random.next()));
        (
            attackers.into_iter().map(joined).collect(),
            healthy.into_iter().map(joined).collect(),
        )
    });
    Outcome {
        attackers,
        healthy,
        faults,
    }
}

fn joined<T>((name, thread): (&'static str, thread::ScopedJoinHandle<'_, T>)) -> (&'static str, T) {
    let ended = thread.join();
    let ended = ended.unwrap_or_else(|_| panic!("{name} panicked; see above"));
    (name, ended)
}

impl Outcome {
    fn print(&self) {
        for (name, tally) in &self.attackers {
            println!("  {name:<20} {tally}");
        }
        for (name, served) in &self.healthy {
            println!("  {name:<20} {served}");
        }
    }

    /// Asserts that every attack and every healthy client ran. The responses were checked as they arrived.
    fn check(&self) {
        for (name, tally) in &self.attackers {
            let ended: u64 = tally.endings.values().sum();
            assert_eq!(
                tally.connections, ended,
                "{name}: each connection ends once"
            );
            assert!(tally.connections > 0, "{name}: no connection");
            let sends_nothing = *name == "connect and go";
            assert!(sends_nothing || tally.bytes_out > 0, "{name}: sent nothing");
        }
        for (name, served) in &self.healthy {
            assert!(!served.latencies.is_empty(), "{name}: no response");
        }
        assert!(self.faults.freezes > 0, "the server was never frozen");
        assert!(self.faults.shortages > 0, "descriptors never ran out");
    }
}

/// Stops the server during a request: the response must be complete, and the exit clean.
fn drain(program: Program, server: &mut Process, address: SocketAddr) {
    let mut client = Client::connect(address);
    let (end, rest) = match program {
        Program::Bootstrap => {
            client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nla");
            ("last", "st")
        }
        Program::Tour => {
            client.send(loopback::get("/zeros/3000000"));
            ("\0", "")
        }
    };
    server.signal("TERM");
    client.send(rest);
    let head = client.head().expect("a head");
    let body = match head.field("content-length") {
        Some(_) => client.rest().expect("a body"),
        None => client.chunked().expect("a complete body"),
    };
    assert!(body.ends_with(end.as_bytes()), "the response is complete");
    assert_eq!(server.ended().code(), Some(0), "a clean exit");
    assert_eq!(server.line(), None, "no connection was cut");
}
