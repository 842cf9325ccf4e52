//! Instructions a request, counted by valgrind: a regression shows on a machine where no clock can be trusted.
//!
//! `cargo bench --bench instructions` prints them beside `benches/baseline.txt` and fails where one has grown by more
//! than 3 %; `cargo bench --bench instructions -- save` writes the baseline. What is counted is the deployed program
//! with all its checks, over a real socket, one request after another: what a long run costs more than a short one, by
//! the requests it has more. The kernel's share is not in it. A baseline is for one compiler; with another one nothing
//! is judged.

#![expect(
    unsafe_code,
    clippy::print_stdout,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a benchmark times, prints, starts processes and may give up"
)]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::programs;

const GROWTH_MAX: f64 = 1.03;
const SHORT_RUN: u64 = 100;
const LONG_RUN: u64 = 600;

/// What is sent at a time, and how many requests that is.
fn scenarios() -> Vec<(&'static str, Vec<u8>, u64)> {
    let plain = "GET /hello HTTP/1.1\r\nHost: localhost:9000\r\n\r\n";
    let browser = "GET /hello?a=1 HTTP/1.1\r\nHost: localhost:9000\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:1) \
        Gecko/20100101\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: \
        en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n\
        Cache-Control: no-cache\r\nPragma: no-cache\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n";
    let post = format!(
        "POST /echo HTTP/1.1\r\nHost: localhost:9000\r\nContent-Length: 1024\r\n\r\n{}",
        "x".repeat(1024)
    );
    let chunks = format!("80\r\n{}\r\n", "x".repeat(128)).repeat(8);
    let chunked = format!(
        "POST /echo HTTP/1.1\r\nHost: localhost:9000\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
    );
    let event = "POST /invoke HTTP/1.1\r\nHost: localhost:9000\r\nx-fc-control-path: /invoke\r\nx-fc-request-id: \
        1-00000000-00000000-000000000000\r\nContent-Length: 2\r\n\r\n{}";
    vec![
        ("get", plain.into(), 1),
        ("get-pipelined", plain.repeat(16).into(), 16),
        ("get-browser", browser.into(), 1),
        ("post-1k", post.into(), 1),
        ("post-chunked-1k", chunked.into(), 1),
        ("event", event.into(), 1),
    ]
}

fn main() {
    let bootstrap = programs::ours().swap_remove(0);
    let baseline_path = support::root().join("benches/baseline.txt");
    let compiler = compiler();
    let text = std::fs::read_to_string(&baseline_path).unwrap_or_default();
    let baseline: BTreeMap<&str, f64> = text
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .filter_map(|(name, count)| Some((name, count.parse().ok()?)))
        .collect();
    let is_comparable = text.contains(&compiler);
    let mut saved = format!(
        "# Instructions a request; written by `cargo bench --bench instructions -- save`.\n# {compiler}\n"
    );
    let mut grown = 0;
    println!(
        "{:<18} {:>14} {:>10} {:>8}",
        "scenario", "instructions", "baseline", "ratio"
    );
    for (name, batch, requests) in scenarios() {
        let long = count(&bootstrap.path, &batch, LONG_RUN);
        let short = count(&bootstrap.path, &batch, SHORT_RUN);
        let a_request =
            long.saturating_sub(short) as f64 / ((LONG_RUN - SHORT_RUN) * requests) as f64;
        let before = baseline.get(name).copied().filter(|_| is_comparable);
        let ratio = before.map_or(1.0, |before| a_request / before);
        grown += usize::from(ratio > GROWTH_MAX);
        println!(
            "{name:<18} {a_request:>14.0} {:>10.0} {ratio:>8.3}",
            before.unwrap_or(f64::NAN)
        );
        let _ = writeln!(saved, "{name}\t{a_request:.0}");
    }
    if std::env::args().any(|argument| argument == "save") {
        std::fs::write(&baseline_path, saved).expect("the baseline is ours to write");
    } else if !is_comparable {
        println!("the baseline is another compiler's: nothing is judged");
    } else if grown > 0 {
        println!("{grown} scenario(s) take over 3 % more instructions than the baseline");
        std::process::exit(1);
    }
}

fn compiler() -> String {
    let output = Command::new("rustc")
        .arg("--version")
        .output()
        .expect("there is a compiler");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Instructions of a whole run with so many batches.
fn count(path: &std::path::Path, batch: &[u8], batches: u64) -> u64 {
    static PORT: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(21_000);
    let port = PORT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let log = support::results().join("callgrind.out");
    let mut valgrind = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            &format!("--callgrind-out-file={}", log.display()),
        ])
        .arg(path)
        .args(["--port", &port.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("valgrind is installed");
    ask(port, batch, batches);
    stop(&mut valgrind);
    let text = std::fs::read_to_string(&log).expect("valgrind writes its file");
    let summary = text.lines().find_map(|line| {
        line.strip_prefix("summary: ")
            .or_else(|| line.strip_prefix("totals: "))
    });
    summary
        .and_then(|count| count.trim().parse().ok())
        .expect("the file has a sum")
}

fn ask(port: u16, batch: &[u8], batches: u64) {
    let until = Instant::now() + Duration::from_secs(20);
    let mut socket = loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Ok(socket) => break socket,
            Err(error) => assert!(
                Instant::now() < until,
                "the server does not listen: {error}"
            ),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    socket.set_nodelay(true).expect("a socket");
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a socket");
    let mut buffer = vec![0; 64 * 1024];
    let mut answers_len = 0;
    for number in 0..batches {
        socket.write_all(batch).expect("the server takes it");
        if number == 0 {
            // How long the answers to a batch are is learnt from the first.
            std::thread::sleep(Duration::from_millis(500));
            answers_len = socket.read(&mut buffer).expect("answers");
            let head = buffer.get(..12).unwrap_or_default();
            assert_eq!(head, b"HTTP/1.1 200", "each scenario is a good request");
        } else {
            let answers = buffer.get_mut(..answers_len).expect("they fit");
            socket.read_exact(answers).expect("answers");
        }
    }
}

fn stop(child: &mut Child) {
    // SAFETY: the process is our child and not waited for yet.
    unsafe { libc::kill(child.id().cast_signed(), libc::SIGTERM) };
    let status = child.wait().expect("our child");
    assert!(status.success(), "the server ends well");
}
