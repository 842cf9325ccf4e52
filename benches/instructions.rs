//! Instructions per request, counted by valgrind: shows a regression on a machine too noisy for clocks.
//!
//! `cargo bench --bench instructions` compares them with `benches/baseline.txt` and fails if one has grown by more
//! than 3 %; `cargo bench --bench instructions -- save` writes the baseline. It runs the deployed program over a
//! real socket, one request after another, and divides the difference between a long run and a short one by the
//! difference in requests. Instructions in the kernel are not counted. Two runs of one program differ by less than
//! 0.5 %, depending on how often the second changes and the date is formatted again. A baseline holds for one
//! compiler; with another one nothing is compared. Without valgrind nothing is counted, which is a failure if
//! `CI=true`.

#![expect(
    unsafe_code,
    clippy::print_stdout,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "benchmarks print, time, start processes and may panic"
)]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use support::load::{self, Lifetime, Pace, Plan};
use support::programs;
use support::table::Table;

const GROWTH_MAX: f64 = 1.03;
const SHORT_RUN: u64 = 100;
const LONG_RUN: u64 = 600;

/// Each scenario's request, its requests per write, and the body of each response.
fn scenarios() -> Vec<(&'static str, Plan)> {
    let plain = "GET /hello HTTP/1.1\r\nHost: localhost:9000\r\n\r\n";
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
    let plan = |request: &str, depth, body: &str| Plan {
        request: request.into(),
        body: body.into(),
        depth,
        connections: 1,
        lifetime: Lifetime::KeptAlive,
        pace: Pace::Closed,
    };
    vec![
        ("get", plan(plain, 1, "Hello, World!")),
        ("get-pipelined", plan(plain, 16, "Hello, World!")),
        ("get-browser", plan(browser, 1, "Hello, World!")),
        ("post-1k", plan(&post, 1, &content)),
        ("post-chunked-1k", plan(&chunked, 1, &content)),
        ("event", plan(event, 1, "{}")),
    ]
}

fn main() {
    if programs::found("valgrind").is_none() {
        println!("skipped: valgrind is not installed");
        let is_required = std::env::var_os("CI").is_some_and(|value| value == "true");
        std::process::exit(i32::from(is_required));
    }
    let bootstrap = programs::bootstrap();
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
    let mut grown = 0;
    println!(
        "{:<18} {:>14} {:>10} {:>8}",
        "scenario", "instructions", "baseline", "ratio"
    );
    for (name, plan) in scenarios() {
        let long = count(&bootstrap.path, &plan, LONG_RUN);
        let short = count(&bootstrap.path, &plan, SHORT_RUN);
        let requests = (LONG_RUN - SHORT_RUN) * plan.depth as u64;
        let per_request = long.saturating_sub(short) as f64 / requests as f64;
        let before = baseline.get(name).copied().filter(|_| is_comparable);
        let before = before.unwrap_or(f64::NAN);
        let ratio = per_request / before;
        grown += usize::from(ratio > GROWTH_MAX);
        println!("{name:<18} {per_request:>14.0} {before:>10.0} {ratio:>8.3}");
        table.row(&[
            name.to_owned(),
            format!("{per_request:.0}"),
            format!("{before:.0}"),
            format!("{ratio:.3}"),
        ]);
        let _ = writeln!(saved, "{name}\t{per_request:.0}");
    }
    table.save();
    if std::env::args().any(|argument| argument == "save") {
        std::fs::write(&baseline_path, saved).expect("the baseline is writable");
    } else if !is_comparable {
        println!("skipped: the baseline is not for {compiler}, nothing is compared");
    } else if grown > 0 {
        println!("{grown} scenarios take more than 3 % above the baseline");
        std::process::exit(1);
    }
}

fn compiler() -> String {
    let output = Command::new("rustc")
        .arg("--version")
        .output()
        .expect("rustc runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The program under valgrind. Killed on drop.
struct Counted(Child);

impl Drop for Counted {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Instructions of a whole run with this many writes.
fn count(path: &std::path::Path, plan: &Plan, writes: u64) -> u64 {
    let port = free_port();
    let log = support::results().join("callgrind.out");
    let valgrind = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            &format!("--callgrind-out-file={}", log.display()),
        ])
        .arg(path)
        .args(["--port", &port.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("valgrind starts");
    let mut counted = Counted(valgrind);
    send(port, plan, writes);
    // SAFETY: the process is our child and has not been waited for.
    unsafe { libc::kill(counted.0.id().cast_signed(), libc::SIGTERM) };
    let status = counted.0.wait().expect("our child");
    assert!(status.success(), "the server exits with 0");
    let text = std::fs::read_to_string(&log).expect("valgrind writes its file");
    let summary = text.lines().find_map(|line| {
        line.strip_prefix("summary: ")
            .or_else(|| line.strip_prefix("totals: "))
    });
    summary
        .and_then(|count| count.trim().parse().ok())
        .expect("the file has a summary")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it has an address").port()
}

fn send(port: u16, plan: &Plan, writes: u64) {
    let response_len = load::check(port, plan).expect("each scenario gets its response");
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("it listens");
    socket.set_nodelay(true).expect("a socket");
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a socket");
    let written = plan.request.repeat(plan.depth);
    let mut responses = vec![0; response_len * plan.depth];
    for _ in 0..writes {
        socket.write_all(&written).expect("the request is sent");
        socket
            .read_exact(&mut responses)
            .expect("the responses arrive");
    }
}
