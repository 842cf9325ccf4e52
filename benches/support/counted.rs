//! A program under a tool that counts: what each request adds to the count.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::load::{self, Plan};
use super::results;

const SHORT_RUN: u64 = 100;
const LONG_RUN: u64 = 600;

/// What is counted: a program, its arguments before the port, and what it is sent.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<&'static str>,
    pub(crate) plan: Plan,
}

impl Scenario {
    /// The difference between a long run and a short one, by the difference in requests.
    pub(crate) fn per_request(&self, count: fn(&Self, u64) -> u64) -> f64 {
        let (long, short) = (count(self, LONG_RUN), count(self, SHORT_RUN));
        let requests = (LONG_RUN - SHORT_RUN) * self.plan.depth as u64;
        long.saturating_sub(short) as f64 / requests as f64
    }

    /// Runs the program under `tool` and sends it this many writes.
    pub(crate) fn run(&self, mut tool: Command, writes: u64) {
        let port = free_port();
        tool.arg(&self.program)
            .args(&self.arguments)
            .arg(port.to_string())
            .env("PORT", port.to_string());
        let started = tool.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut counted = Counted(started.expect("the tool starts"));
        send(port, &self.plan, writes);
        // SAFETY: the process is our child and has not been waited for.
        unsafe { libc::kill(counted.0.id().cast_signed(), libc::SIGTERM) };
        let status = counted.0.wait().expect("our child");
        let is_ended = status.success() || status.signal() == Some(libc::SIGTERM);
        assert!(is_ended, "the server ends as it is asked to: {status}");
    }
}

/// A program under a tool. Killed on drop.
struct Counted(Child);

impl Drop for Counted {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Instructions of a whole run with this many writes: the fewer of two runs, because the date is formatted again whenever the second
/// changes, and on a busy machine one run sees more seconds than another.
pub(crate) fn instructions(scenario: &Scenario, writes: u64) -> u64 {
    let runs = [(); 2].map(|()| instructions_once(scenario, writes));
    runs.into_iter().min().unwrap_or_default()
}

fn instructions_once(scenario: &Scenario, writes: u64) -> u64 {
    let log = results().join("callgrind.out");
    let mut valgrind = Command::new("valgrind");
    let out = format!("--callgrind-out-file={}", log.display());
    valgrind.args(["--tool=callgrind", &out]);
    scenario.run(valgrind, writes);
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
    // One connection: whether the loop sees the end of a first and the start of a second in the same turn is a race. If it does, it
    // reads both into a buffer of its own, and to clear that takes 60 000 instructions, 120 per request of a run.
    let (mut socket, response_len) =
        load::first(port, plan).expect("each scenario gets its response");
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
