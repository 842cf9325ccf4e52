//! Instructions per request, counted by valgrind: shows a regression on a machine too noisy for clocks.
//!
//! `cargo bench --bench instructions` compares them with `benches/baseline.txt` and fails if one has grown by more
//! than 3 %; `cargo bench --bench instructions -- save` writes the baseline. It runs the deployed program over a
//! real socket, one request after another, and divides the difference between a long run and a short one by the
//! difference in requests. Instructions in the kernel are not counted. Two runs of one program differ by less than
//! 0.5 %, depending on how often the second changes and the date is formatted again. A baseline holds for one
//! compiler; with another one nothing is compared. Without valgrind nothing is counted, which is a failure if
//! `CI=true`.
//!
//! The rows of futures are this program again, as a server whose handler returns a value or a future. A future that is ready
//! may take 5 % more than a value of the same run, and 6 % with an await in it. strace counts the system calls of one that
//! waits: to wake it takes none from the loop's thread, and exactly one from another thread, which wakes it when the loop
//! sleeps. How long that thread watches the loop is up to the kernel, so its row has no baseline, and the table counts the
//! calls that it makes meanwhile.

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "benchmarks print, time, start processes and may panic"
)]

#[path = "instructions/modes.rs"]
mod modes;
mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Command, ExitCode};

use modes::{MODES, Mode};
use support::counted::{Scenario, instructions};
use support::load::{Lifetime, Pace, Plan, platform_request};
use support::programs;
use support::table::Table;

const GROWTH_MAX: f64 = 1.03;
/// A future that is ready, to a value.
const READY_MAX: f64 = 1.05;
/// The same with an await in it, whose steps are the compiler's.
const AWAITS_MAX: f64 = 1.06;
/// The argument with which this program is a server.
const SERVE: &str = "--serve";

fn scenarios() -> Vec<Scenario> {
    let bootstrap = programs::bootstrap().path;
    let deployed = requests().into_iter().map(|(name, plan)| Scenario {
        name,
        program: bootstrap.clone(),
        arguments: vec!["--port"],
        plan,
    });
    deployed.chain(futures()).collect()
}

/// This program as a server.
fn futures() -> impl Iterator<Item = Scenario> {
    let program = std::env::current_exe().expect("a path of this program");
    MODES.into_iter().map(move |(name, _)| Scenario {
        name,
        program: program.clone(),
        arguments: vec![SERVE, name],
        plan: plan(PLAIN, 1, "Hello, World!"),
    })
}

const PLAIN: &str = "GET /hello HTTP/1.1\r\nHost: localhost:9000\r\n\r\n";

fn plan(request: &str, depth: usize, body: &str) -> Plan {
    Plan {
        request: request.into(),
        body: body.into(),
        depth,
        connections: 1,
        lifetime: Lifetime::KeptAlive,
        pace: Pace::Closed,
    }
}

/// Each scenario's request, its requests per write, and the body of each response.
fn requests() -> Vec<(&'static str, Plan)> {
    let browser = "GET /hello?a=1 HTTP/1.1\r\nHost: localhost:9000\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:1) \
        Gecko/20100101\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: \
        en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n\
        Cache-Control: no-cache\r\nPragma: no-cache\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n";
    let content = "x".repeat(1024);
    let post = format!(
        "POST /echo HTTP/1.1\r\nHost: localhost:9000\r\nContent-Length: 1024\r\n\r\n{content}"
    );
    let chunks = format!("80\r\n{}\r\n", "x".repeat(128)).repeat(8);
    let chunked = format!(
        "POST /echo HTTP/1.1\r\nHost: localhost:9000\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
    );
    let event = "POST /invoke HTTP/1.1\r\nHost: localhost:9000\r\nx-fc-control-path: /invoke\r\nx-fc-request-id: \
        1-00000000-00000000-000000000000\r\nContent-Length: 2\r\n\r\n{}";
    vec![
        ("get", plan(PLAIN, 1, "Hello, World!")),
        ("get-pipelined", plan(PLAIN, 16, "Hello, World!")),
        ("get-browser", plan(browser, 1, "Hello, World!")),
        ("browser-pipelined", plan(browser, 16, "Hello, World!")),
        ("post-1k", plan(&post, 1, &content)),
        ("post-chunked-1k", plan(&chunked, 1, &content)),
        ("event", plan(event, 1, "{}")),
        ("platform", plan(&platform_request(), 1, "Hello, World!")),
    ]
}

fn main() -> ExitCode {
    if let Some((mode, port)) = served() {
        let served = modes::serve(mode, port);
        served.expect("the server starts");
        return ExitCode::SUCCESS;
    }
    if programs::found("valgrind").is_none() {
        println!("skipped: valgrind is not installed");
        let is_required = std::env::var_os("CI").is_some_and(|value| value == "true");
        return ExitCode::from(u8::from(is_required));
    }
    let faults = count_instructions() + count_system_calls();
    ExitCode::from(u8::from(faults > 0))
}

/// How this program is to serve, if it is to.
fn served() -> Option<(Mode, u16)> {
    let mut arguments = std::env::args().skip_while(|argument| argument != SERVE);
    let (name, port) = (arguments.nth(1)?, arguments.next()?);
    let (_, mode) = MODES.into_iter().find(|(known, _)| *known == name)?;
    Some((mode, port.parse().ok()?))
}

/// Prints and saves the instructions of each scenario, and returns how many are over their bound.
fn count_instructions() -> usize {
    let baseline_path = support::root().join("benches/baseline.txt");
    let compiler = compiler();
    let text = std::fs::read_to_string(&baseline_path).unwrap_or_default();
    let baseline: BTreeMap<&str, f64> = text
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .filter_map(|(name, count)| Some((name, count.parse().ok()?)))
        .collect();
    let is_comparable = text
        .lines()
        .any(|line| line.strip_prefix("# ") == Some(&compiler));
    let mut saved = format!(
        "# Instructions per request; written by `cargo bench --bench instructions -- save`.\n# {compiler}\n"
    );
    let mut table = Table::new(
        "instructions",
        "cargo bench --bench instructions",
        &["scenario", "instructions", "baseline", "ratio"],
    );
    table.remark("compiler", &compiler);
    let mut counted = BTreeMap::new();
    let mut grown = 0;
    println!(
        "{:<22} {:>14} {:>10} {:>8}",
        "scenario", "instructions", "baseline", "ratio"
    );
    for scenario in scenarios() {
        let name = scenario.name;
        let per_request = scenario.per_request(instructions);
        let before = baseline.get(name).copied().filter(|_| is_comparable);
        let before = before.unwrap_or(f64::NAN);
        let ratio = per_request / before;
        grown += usize::from(ratio > GROWTH_MAX);
        println!("{name:<22} {per_request:>14.0} {before:>10.0} {ratio:>8.3}");
        table.row(&[
            name.to_owned(),
            format!("{per_request:.0}"),
            format!("{before:.0}"),
            format!("{ratio:.3}"),
        ]);
        if MODES.contains(&(name, Mode::WokenElsewhere)) {
            continue;
        }
        let _ = writeln!(saved, "{name}\t{per_request:.0}");
        counted.insert(name, per_request);
    }
    table.save();
    if std::env::args().any(|argument| argument == "save") {
        std::fs::write(&baseline_path, saved).expect("the baseline is writable");
        grown = 0;
    } else if !is_comparable {
        println!("skipped: the baseline is not for {compiler}, nothing is compared");
    } else if grown > 0 {
        println!("{grown} scenarios take more than 3 % above the baseline");
    }
    grown + slow_futures(&counted)
}

/// How many futures that are ready take too much more than a value.
fn slow_futures(counted: &BTreeMap<&str, f64>) -> usize {
    let of = |wanted| {
        let found = MODES.into_iter().find(|(_, mode)| *mode == wanted);
        found.map_or(f64::NAN, |(name, _)| counted[name])
    };
    let value = of(Mode::Value);
    let bounds = [(Mode::Ready, READY_MAX), (Mode::Awaits, AWAITS_MAX)];
    let ratios = bounds.map(|(mode, most)| (of(mode) / value, most));
    println!("futures that are ready, to a value, and at most: {ratios:.3?}");
    let is_over = |(ratio, most): &(f64, f64)| ratio > most;
    ratios.iter().filter(|ratio| is_over(ratio)).count()
}

/// Prints the system calls of a value and of futures that wait, and returns how many are not woken as they should be.
fn count_system_calls() -> usize {
    if programs::found("strace").is_none() {
        println!("skipped: strace is not installed, so system calls are not counted");
        return 0;
    }
    let mut off = 0;
    println!("{:<22} {:>14} {:>10}", "scenario", "system calls", "wakes");
    for (scenario, (_, mode)) in futures().zip(MODES) {
        let calls = scenario.per_request(system_calls);
        let wakes = scenario.per_request(writes_to_wake);
        let expected = f64::from(u8::from(mode == Mode::WokenElsewhere));
        off += usize::from((wakes - expected).abs() > f64::EPSILON);
        println!("{:<22} {calls:>14.2} {wakes:>10.2}", scenario.name);
    }
    off
}

fn compiler() -> String {
    let output = Command::new("rustc")
        .arg("--version")
        .output()
        .expect("rustc runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// System calls of a whole run.
fn system_calls(scenario: &Scenario, writes: u64) -> u64 {
    traced(scenario, writes, |_| true)
}

/// Those of them that make a poll of the loop return.
fn writes_to_wake(scenario: &Scenario, writes: u64) -> u64 {
    traced(scenario, writes, |call| {
        call.starts_with("write(") && call.contains(", \"\\1\\0\\0\\0\\0\\0\\0\\0\", 8")
    })
}

fn traced(scenario: &Scenario, writes: u64, is_counted: fn(&str) -> bool) -> u64 {
    let log = support::results().join("strace.txt");
    let mut strace = Command::new("strace");
    // The signal reaches the program: strace is its child.
    strace.args(["-f", "-D", "-o"]).arg(&log);
    scenario.run(strace, writes);
    let text = std::fs::read_to_string(&log).expect("strace writes its file");
    // Each line begins with a thread. What another thread interrupts has a second line.
    let calls = text.lines().filter_map(|line| line.split_once(' '));
    let begun = calls.filter(|(_, call)| !call.trim_start().starts_with("<..."));
    begun
        .filter(|(_, call)| is_counted(call.trim_start()))
        .count() as u64
}
