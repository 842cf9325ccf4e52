//! A siege: attackers of every kind at once, against real programs over loopback, while healthy clients go on as if
//! nothing were.
//!
//! `cargo build --release --examples`, then `SIEGE_SECONDS=60 SIEGE_SEED=7 cargo test --release --test siege -- --nocapture`; `SIEGE_BOOTSTRAP` and
//! `SIEGE_TOUR` name other builds of the two programs. A seed decides what is sent; the machine decides what meets what.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what a test cannot set up must fail it; attackers and clients have clocks, and sockets with options"
)]

#[path = "siege/attackers.rs"]
mod attackers;
#[path = "siege/foe.rs"]
mod foe;
#[path = "siege/ground.rs"]
mod ground;
#[path = "siege/healthy.rs"]
mod healthy;
mod loopback;
#[path = "support/random.rs"]
mod random;
#[path = "siege/watch.rs"]
mod watch;

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use foe::Tally;
use ground::{Ground, Program};
use healthy::Visits;
use loopback::process::Process;
use loopback::{Client, eventually};
use random::Random;
use watch::{Holdings, Weather, eventually_lets_go, eventually_sleeps, reports};

/// How long every run of the tests takes for it; the first scarcity falls into that.
const SECONDS: u64 = 6;
/// By how much a server's own memory may be larger after the siege, in KiB: fragments of its heap, and stacks that its C
/// library keeps for the next threads.
const KEPT_MAX: u64 = 8 * 1024;
/// Healthy clients of each kind before the siege: more than a pool has threads.
const CLIENTS_AT_ONCE: usize = 8;

#[test]
fn the_reference_function_outlives_a_siege() {
    besiege(Program::Bootstrap);
}

#[test]
fn the_tour_outlives_a_siege() {
    besiege(Program::Tour);
}

fn besiege(program: Program) {
    let seed = number("SIEGE_SEED").unwrap_or_else(seed_of_now);
    let seconds = number("SIEGE_SECONDS").unwrap_or(SECONDS);
    println!("{program:?}: SIEGE_SECONDS={seconds} SIEGE_SEED={seed}");
    let mut random = Random(seed);

    let (mut server, address) = Process::serve(|port| program.on_port(port));
    let before = settle(program, &server, address, &mut random);
    let ground = Ground::new(program, address, Duration::from_secs(seconds));
    let outcome = siege(&ground, &server, &mut random);
    println!("{program:?}, seed {seed}: {:?}", outcome.weather);
    outcome.print();
    outcome.check();

    eventually_lets_go(&server, &before);
    eventually_sleeps(&server);
    let after = Holdings::of(&server);
    println!("  before: {before}\n  after:  {after}");
    assert!(
        after.anonymous < before.anonymous + KEPT_MAX,
        "memory has not come back"
    );
    reports(&server);
    drain(program, &mut server, address);
}

/// A variable's number, if it is set.
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a variable with a number"))
}

fn seed_of_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("a clock behind 1970").subsec_nanos().into()
}

/// Uses all that there is once, so that what a program keeps from then on is no leak; what it holds then.
fn settle(
    program: Program,
    server: &Process,
    address: SocketAddr,
    random: &mut Random,
) -> Holdings {
    let ground = Ground::new(program, address, Duration::ZERO);
    eventually("each pool has all its threads", || {
        thread::scope(|scope| {
            for kind in healthy::kinds(program) {
                for _ in 0..CLIENTS_AT_ONCE {
                    let random = Random(random.next());
                    scope.spawn(|| kind.visit_once(&ground, random));
                }
            }
        });
        eventually_sleeps(server);
        Holdings::of(server).threads == program.threads()
    });
    Holdings::of(server)
}

/// What each kind of client has done and seen.
struct Outcome {
    attackers: Vec<(&'static str, Tally)>,
    healthy: Vec<(&'static str, Visits)>,
    weather: Weather,
}

fn siege(ground: &Ground, server: &Process, random: &mut Random) -> Outcome {
    let mut weather = Weather::default();
    let (attackers, healthy) = thread::scope(|scope| {
        let attackers: Vec<_> = attackers::KINDS
            .iter()
            .map(|kind| {
                let random = Random(random.next());
                (kind.name, scope.spawn(|| kind.attack(ground, random)))
            })
            .collect();
        let healthy: Vec<_> = healthy::kinds(ground.program)
            .iter()
            .map(|kind| {
                let random = Random(random.next());
                (kind.name, scope.spawn(|| kind.visit(ground, random)))
            })
            .collect();
        weather.pass(ground, server, Random(random.next()));
        (
            attackers.into_iter().map(joined).collect(),
            healthy.into_iter().map(joined).collect(),
        )
    });
    Outcome {
        attackers,
        healthy,
        weather,
    }
}

fn joined<T>((name, thread): (&'static str, thread::ScopedJoinHandle<'_, T>)) -> (&'static str, T) {
    let ended = thread.join();
    let ended = ended.unwrap_or_else(|_| panic!("{name} had another end; see above"));
    (name, ended)
}

impl Outcome {
    fn print(&self) {
        for (name, tally) in &self.attackers {
            println!("  {name:<20} {tally}");
        }
        for (name, visits) in &self.healthy {
            println!("  {name:<20} {visits}");
        }
    }

    /// That each attack took place, and each healthy client was served. What was served was compared as it came.
    fn check(&self) {
        for (name, tally) in &self.attackers {
            let ended: u64 = tally.endings.values().sum();
            assert_eq!(
                tally.connections, ended,
                "{name}: each connection has one end"
            );
            assert!(tally.connections > 0, "{name}: nobody came");
            let says_nothing = *name == "connect and go";
            assert!(
                says_nothing || tally.bytes_out > 0,
                "{name}: nobody said a word"
            );
        }
        for (name, visits) in &self.healthy {
            assert!(!visits.latencies.is_empty(), "{name}: nobody was served");
        }
        assert!(self.weather.freezes > 0, "it never froze");
        assert!(self.weather.scarcities > 0, "descriptors were never scarce");
    }
}

/// Stops the server while a request is under way: that one is answered, and the end is in order.
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
    let answer = client.head().expect("a head");
    let body = match answer.field("content-length") {
        Some(_) => client.rest().expect("a body"),
        None => client.chunked().expect("a body to its end"),
    };
    assert!(body.ends_with(end.as_bytes()), "an answer that is whole");
    assert_eq!(server.ended().code(), Some(0), "an end in order");
    assert_eq!(server.line(), None, "nothing was cut");
}
