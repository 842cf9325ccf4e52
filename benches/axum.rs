//! One application of axum's on hyper and on this server, without and with a tokio runtime beside it.
//!
//! `cargo bench --bench axum -- [starts=40] [rounds=5] [ms=300] [streams=2000] [seconds=3]`. The application is `benches/peers/axum`: a
//! greeting, an order in JSON, streams of events. The programs differ in their `main` alone, and are built with the same flags,
//! statically. Each serves from one thread, on one core; the load has the other. They take turns in each round. A figure is the
//! median of the rounds, and its ratio to hyper that of the rounds' ratios.
//!
//! Starts are measured as `coldstart` does, requests as `versus` does, streams as `sse` does, and instructions, which hold on a busy
//! machine as well, as `instructions` does. Without valgrind those are left out, and a line says so.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "benchmarks print, time, start processes and may panic"
)]

mod support;

use std::time::Duration;

use support::counted::{Scenario, instructions};
use support::load::{Lifetime, Pace, Plan, platform_request};
use support::machine::{self, OUR_CORE, pin};
use support::programs::{self, Program, Under};
use support::requests::{self, PORTS, free_port, ratio};
use support::table::Table;
use support::{median, setting, starts, streams};

const GET: &str =
    "GET /hello HTTP/1.1\r\nHost: localhost:9000\r\nUser-Agent: axum/1\r\nAccept: */*\r\n\r\n";
const ORDER: &str = r#"{"customer":"Ada","lines":[{"name":"tea","count":2,"price":350},{"name":"milk","count":1,"price":120},{"name":"sugar","count":3,"price":95}]}"#;
const RECEIPT: &str = r#"{"customer":"Ada","names":["tea","milk","sugar"],"total":1105}"#;
/// How long bursts of events follow one another.
const BURSTS_TIME: Duration = Duration::from_millis(500);
/// As many as axum accepts within the patience of the load on a busy machine.
const IDLE_CONNECTIONS: usize = 2000;

fn plan(request: &str, body: &str, depth: usize, connections: usize) -> Plan {
    Plan {
        request: request.into(),
        body: body.into(),
        depth,
        connections,
        lifetime: Lifetime::KeptAlive,
        pace: Pace::Closed,
    }
}

/// What is measured as a load, and, over one connection, counted in instructions.
fn plans() -> [(&'static str, Plan); 6] {
    let order = format!(
        "POST /orders HTTP/1.1\r\nHost: localhost:9000\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{ORDER}",
        ORDER.len()
    );
    let greeting = "Hello, World!";
    [
        ("get-1", plan(GET, greeting, 1, 1)),
        ("get-64", plan(GET, greeting, 1, 64)),
        ("platform-64", plan(&platform_request(), greeting, 1, 64)),
        ("pipelined-64", plan(GET, greeting, 16, 64)),
        ("json-64", plan(&order, RECEIPT, 1, 64)),
        ("idle", plan(GET, greeting, 1, IDLE_CONNECTIONS)),
    ]
}

/// One measured quantity: the figures of each program, one per round.
struct Row {
    name: &'static str,
    unit: &'static str,
    figures: Vec<Vec<f64>>,
}

fn row<S>(
    name: &'static str,
    unit: &'static str,
    series: &[S],
    of: impl Fn(&S) -> Vec<f64>,
) -> Row {
    Row {
        name,
        unit,
        figures: series.iter().map(of).collect(),
    }
}

fn main() {
    let mut programs: Vec<Program> = Under::ALL.into_iter().filter_map(programs::axum).collect();
    for program in &mut programs {
        program.unpack();
    }
    machine::allow_descriptors();
    pin(OUR_CORE);
    let mut failures = Vec::new();
    let mut rows = start_rows(&programs);
    rows.extend(request_rows(&programs, &mut failures));
    rows.extend(event_rows(&programs, &mut failures));
    rows.extend(instruction_rows(&programs));
    report(&programs, &rows, &failures);
}

fn start_rows(programs: &[Program]) -> Vec<Row> {
    let series = starts::run(programs, setting("starts", 40), starts::start_uncounted);
    vec![
        row("first-byte", "µs", &series, |one| one.first_byte.clone()),
        row("start-cpu", "µs", &series, |one| one.cpu.clone()),
        row("faults", "", &series, |one| one.minor_faults.clone()),
        row("file", "bytes", programs, |program| {
            vec![program.file_len() as f64]
        }),
    ]
}

fn request_rows(programs: &[Program], failures: &mut Vec<String>) -> Vec<Row> {
    let (rounds, ms) = (setting("rounds", 5), setting("ms", 300));
    let duration = Duration::from_millis(ms as u64);
    let plans = plans();
    let empty = || programs.iter().map(|_| requests::Series::default());
    let mut all: Vec<Vec<_>> = plans.iter().map(|_| empty().collect()).collect();
    let mut port = PORTS.start;
    for round in 1..=rounds {
        eprintln!("requests, round {round} of {rounds}");
        for ((name, plan), series) in plans.iter().zip(&mut all) {
            for (program, series) in programs.iter().zip(series) {
                port = free_port(port);
                if let Err(why) = requests::measure(program, port, plan, duration, series) {
                    failures.push(format!("{name}: {} {why}", program.name));
                }
            }
        }
    }
    let mut rows = Vec::new();
    for ((name, _), series) in plans.iter().zip(&all) {
        rows.push(match *name {
            "idle" => row("idle", "bytes", series, |one| {
                one.memory_per_connection.clone()
            }),
            name => row(name, "µs", series, |one| one.cpu_per_request.clone()),
        });
        if *name == "get-64" {
            rows.push(row("memory", "bytes", series, |one| one.memory.clone()));
        }
    }
    rows
}

fn event_rows(programs: &[Program], failures: &mut Vec<String>) -> Vec<Row> {
    let (rounds, count) = (setting("rounds", 5), setting("streams", 2000));
    let seconds = Duration::from_secs(setting("seconds", 3) as u64);
    let mut series: Vec<_> = programs
        .iter()
        .map(|_| streams::Series::default())
        .collect();
    let mut bursts: Vec<Vec<f64>> = programs.iter().map(|_| Vec::new()).collect();
    for round in 1..=rounds {
        eprintln!("events, round {round} of {rounds}");
        let all = programs.iter().zip(&mut series).zip(&mut bursts);
        for ((program, series), bursts) in all {
            if let Err(why) = streams::measure(program, count, seconds, series) {
                failures.push(format!("events: {} {why}", program.name));
            }
            match streams::burst(program, "/burst", BURSTS_TIME) {
                Ok(cpu) => bursts.push(cpu),
                Err(why) => failures.push(format!("burst: {} {why}", program.name)),
            }
        }
    }
    vec![
        row("event", "µs", &series, |one| one.cpu_per_event.clone()),
        row("burst", "µs", &bursts, Clone::clone),
        row("stream", "bytes", &series, |one| {
            one.memory_per_stream.clone()
        }),
    ]
}

fn instruction_rows(programs: &[Program]) -> Vec<Row> {
    if programs::found("valgrind").is_none() {
        println!("left out: instructions, since valgrind is not installed");
        return Vec::new();
    }
    let of = |row: &'static str, name| {
        let plan = plans().into_iter().find(|(of, _)| *of == name);
        plan.map(|(_, plan)| (row, plan))
    };
    let counted = [
        of("instructions-get", "get-1"),
        of("instructions-platform", "platform-64"),
        of("instructions-pipelined", "pipelined-64"),
        of("instructions-json", "json-64"),
    ];
    let count = |name, program: &Program, plan: &Plan| {
        eprintln!("{name}: {}", program.name);
        let scenario = Scenario {
            name,
            program: program.path.clone(),
            arguments: Vec::new(),
            plan: plan.clone(),
        };
        vec![scenario.per_request(instructions)]
    };
    let counted = counted.into_iter().flatten();
    counted
        .map(|(name, plan)| row(name, "", programs, |program| count(name, program, &plan)))
        .collect()
}

/// With as many digits as there are to see.
fn shown(figure: f64) -> String {
    if figure < 1000.0 {
        format!("{figure:.3}")
    } else {
        format!("{figure:.0}")
    }
}

fn report(programs: &[Program], rows: &[Row], failures: &[String]) {
    let columns = ["scenario", "program", "figure", "x"];
    let mut table = Table::new("axum", "cargo bench --bench axum", &columns);
    // Times of a busy machine are to be read as such.
    table.remark("load", &machine::load());
    for failure in failures {
        eprintln!("failed: {failure}");
        table.remark("failed", failure);
    }
    let names = programs
        .iter()
        .map(|program| format!("{:>28}", program.name));
    println!("\n{:<23}{}", "", names.collect::<String>());
    for row in rows {
        let on_hyper = row.figures.first().map_or(&[][..], Vec::as_slice);
        let mut line = format!("{:<23}", row.name);
        for (program, figures) in programs.iter().zip(&row.figures) {
            let (figure, x) = (median(figures), ratio(figures, on_hyper));
            let figure = shown(figure);
            line.push_str(&format!(" {figure:>13} {:<5} {x:>6.3}×", row.unit));
            table.row(&[
                row.name.to_owned(),
                program.name.to_owned(),
                figure,
                format!("{x:.3}"),
            ]);
        }
        println!("{line}");
    }
    table.save();
}
