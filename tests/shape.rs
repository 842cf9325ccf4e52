//! The server as the kernel sees it: its system calls, its wake-ups, its memory.
//!
//! No test here measures time. System calls are counted by `strace`, memory is read from `/proc`.
#![expect(
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a failed set-up must fail the test; measurements are printed"
)]

mod loopback;

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use loopback::process::{Process, can_run, code_mapped, field_of, page_faults};
use loopback::{Client, eventually, get, outlast};

const BOOTSTRAP: &str = env!("CARGO_BIN_EXE_bootstrap");

/// `bootstrap` under `strace`, which writes one line per call to a file.
struct Traced {
    process: Process,
    address: SocketAddr,
    trace: PathBuf,
}

impl Traced {
    /// Returns `None` if `strace` is not installed.
    fn start(name: &str) -> Option<Self> {
        Self::start_program(name, BOOTSTRAP.as_ref())
    }

    fn start_program(name: &str, program: &Path) -> Option<Self> {
        if !can_run("system calls", &["strace", "-o", "/dev/null", "true"]) {
            return None;
        }
        let trace = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.strace"));
        let (mut process, address) = Process::serve(|port| {
            let mut command = Command::new("strace");
            command.args(["-f", "-o"]).arg(&trace).arg(program);
            if program == Path::new(BOOTSTRAP) {
                command.args(["--port", &port.to_string()]);
            }
            // A pipe with room, as on the platform.
            command
                .env("FC_SERVER_PORT", port.to_string())
                .stdout(Stdio::piped());
            command
        });
        // Signals go to the program; strace ends with it, and with its exit status.
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", process.id));
        process.id = children.ok()?.trim().parse().ok()?;
        Some(Self {
            process,
            address,
            trace,
        })
    }

    /// The calls of the first thread so far, with arguments, including those that have not returned.
    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.trace).expect("a trace");
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        let own = self.process.id.to_string();
        let calls = lines.filter(|(thread, _)| *thread == own);
        let calls = calls.map(|(_, call)| call.trim_start().to_owned());
        calls.filter(|call| !call.starts_with("+++")).collect()
    }

    /// The number of calls so far, once one of them blocks without a timeout.
    fn calls_at_rest(&self) -> Vec<String> {
        let mut calls = Vec::new();
        eventually("the server sleeps", || {
            calls = self.calls();
            calls
                .last()
                .is_some_and(|call| call.starts_with("epoll_wait(") && !call.contains(") = "))
        });
        calls
    }

    /// The calls for a connection with this one request, until it is closed.
    fn calls_of_connection(&self, request: impl AsRef<[u8]>) -> Vec<String> {
        let seen = self.calls_at_rest().len();
        let mut client = Client::connect(self.address);
        client.send(request);
        assert_eq!(client.response().status, 200, "it responds");
        drop(client);
        let mut calls = Vec::new();
        eventually("the connection is closed", || {
            calls = self.calls_at_rest().split_off(seen);
            count(&calls, "close") == 1
        });
        calls
    }
}

fn name(call: &str) -> &str {
    call.split_once('(').map_or(call, |(name, _)| name)
}

fn count(calls: &[String], wanted: &str) -> usize {
    calls.iter().filter(|call| name(call) == wanted).count()
}

/// Calls that depend on the machine: the vDSO may fall back to a system call for the time, the allocator asks for
/// memory when it likes, and glibc's heap starts with a random number.
const MACHINE_DEPENDENT: [&str; 6] = [
    "clock_gettime",
    "brk",
    "mmap",
    "munmap",
    "mremap",
    "getrandom",
];

#[test]
fn nothing_runs_before_listen_that_could_run_after_it() {
    let Some(mut traced) = Traced::start("start") else {
        return;
    };
    let calls = traced.calls_at_rest();
    let at = |wanted: &str| calls.iter().position(|call| name(call) == wanted);
    let (socket, listen) = (
        at("socket").expect("a socket"),
        at("listen").expect("a call"),
    );
    let own: Vec<&str> = calls[socket..=listen]
        .iter()
        .map(|call| name(call))
        .collect();
    let set = "setsockopt";
    assert_eq!(own, ["socket", set, set, "bind", "listen"]);
    let is_in = |calls: &[String], option| calls.iter().any(|call| call.contains(option));
    for option in ["SO_REUSEADDR, [1]", "TCP_NODELAY, [1]"] {
        assert!(is_in(&calls[socket..listen], option), "{option}");
    }
    for option in [
        "SO_KEEPALIVE, [1]",
        "TCP_KEEPIDLE, [60]",
        "TCP_KEEPINTVL, [15]",
        "TCP_KEEPCNT, [8]",
    ] {
        assert!(is_in(&calls[listen..], option), "{option}");
    }
    assert!(calls[socket].contains("SOCK_CLOEXEC|SOCK_NONBLOCK"));

    // The loader and the runtime make their own calls. None of them waits, and the heap is requested once.
    let before = &calls[..socket];
    for call in before {
        let is_later = [
            "clone", "fork", "futex", "epoll", "event", "pipe", "connect", "sleep", "select",
            "signalfd",
        ];
        assert!(
            !is_later.iter().any(|word| name(call).contains(word)),
            "{call}"
        );
        assert!(
            !name(call).contains("poll") || call.contains(", 0) = 0"),
            "{call}"
        );
    }
    let grown = before
        .iter()
        .filter(|call| call.starts_with("brk(0x"))
        .count();
    // We allocate nothing before `listen`; the C library may set up its heap.
    assert!(grown <= 1, "the heap grew {grown} times");

    assert_eq!(traced.process.stop(), Some(0));
}

#[test]
fn between_listen_and_the_first_poll_runs_only_what_the_poll_needs() {
    let Some(mut traced) = Traced::start("poll") else {
        return;
    };
    let calls = traced.calls_at_rest();
    let listen = calls.iter().position(|call| name(call) == "listen");
    let after = calls[listen.expect("a call") + 1..]
        .iter()
        .map(|call| name(call));
    let after: Vec<&str> = after
        .filter(|name| !MACHINE_DEPENDENT.contains(name))
        .collect();
    let (set, signal) = ("setsockopt", "rt_sigaction");
    let mut expected = vec![
        // For peers that vanish, of which none is there yet.
        set,
        set,
        set,
        set,
        "eventfd2",
        signal,
        signal,
        // Only process 1 has orphans to wait for.
        "gettid",
        "epoll_create1",
        // Whether a connection was quicker than the listener's options.
        "poll",
        "epoll_ctl",
        "epoll_ctl",
    ];
    expected.extend(line_written(&calls));
    expected.push("epoll_wait");
    assert_eq!(after, expected);
    assert_eq!(traced.process.stop(), Some(0));
}

#[test]
fn a_start_and_a_first_response_touch_few_pages() {
    // An unoptimised, dynamically linked build takes 90 and 110 faults: a buffer filled too early, or a thread,
    // shows. `.ci/check-dist` sets DEPLOYED to the deployed build, where each page counts, and `.cargo/start.ld` keeps what
    // runs in one of the windows of 64 KB that the kernel maps at once.
    let deployed = std::env::var_os("DEPLOYED");
    let (listening_max, responded_max, code_max) = match deployed {
        Some(_) => (8, 8, 64),
        None => (110, 140, u64::MAX),
    };
    let program = deployed.unwrap_or_else(|| BOOTSTRAP.into());
    // Starts differ by two faults or three, with the placement of the stack: the least of some counts.
    let starts = (0..8).map(|_| pages_of_start(&program));
    let least = |one: [u64; 3], other: [u64; 3]| [0, 1, 2].map(|at| one[at].min(other[at]));
    let [listening, responded, code] = starts.reduce(least).expect("there are some");
    eprintln!(
        "{listening} page faults until listen, {responded} until the first response, {code} kB of code mapped"
    );
    assert!(listening <= listening_max, "{listening} page faults");
    assert!(responded <= responded_max, "{responded} page faults");
    assert!(code <= code_max, "{code} kB of code are mapped");
}

/// Page faults until it listens, and until it has responded, and the code that is mapped then, in kB.
fn pages_of_start(program: &OsStr) -> [u64; 3] {
    let (mut server, address) = Process::serve(|port| {
        let mut command = Command::new(program);
        command.args(["--port", &port.to_string()]);
        command
    });
    let listening = page_faults(server.id);
    let mut client = Client::connect(address);
    assert_eq!(client.request(get("/hello")).status, 200, "it responds");
    let responded = page_faults(server.id);
    let code = code_mapped(server.id);
    assert_eq!(server.stop(), Some(0), "it stops");
    [listening, responded, code]
}

/// The calls that write a first line. Before Linux 6.4 a write to a pipe cannot be told not to wait.
fn line_written(calls: &[String]) -> &'static [&'static str] {
    let is_refused = |call: &String| call.starts_with("pwritev2(") && call.contains(" EOPNOTSUPP ");
    if calls.iter().any(is_refused) {
        &["pwritev2", "poll", "write"]
    } else {
        &["pwritev2"]
    }
}

#[test]
fn a_log_line_costs_one_system_call() {
    // As built by `cargo test`, beside the programs.
    let event = Path::new(BOOTSTRAP).with_file_name("examples/event");
    let Some(mut traced) = Traced::start_program("log", &event) else {
        return;
    };
    let mut client = Client::connect(traced.address);
    let order = br#"{"customer":"a","items":[{"price_cents":1,"count":1}]}"#;
    let call = loopback::post("/invoke", order);
    assert_eq!(client.request(&call).status, 200);
    let calls = traced.calls_at_rest();
    let mut expected = vec!["recvfrom"];
    // What the kernel refused once is not tried again.
    expected.extend(line_written(&calls).iter().rev().take(2).rev());
    expected.extend(["sendto", "epoll_wait"]);
    let seen = calls.len();
    for _ in 0..100 {
        assert_eq!(client.request(&call).status, 200);
    }
    let calls = traced.calls_at_rest();
    assert_eq!(served(&calls[seen..]), expected.repeat(100));
    assert_eq!(traced.process.stop(), Some(0));
}

/// The calls that serving takes, without those that depend on the machine.
fn served(calls: &[String]) -> Vec<&str> {
    let names = calls.iter().map(|call| name(call));
    names
        .filter(|name| !MACHINE_DEPENDENT.contains(name))
        .collect()
}

#[test]
fn a_request_costs_one_receive_one_send_and_its_share_of_a_poll() {
    let Some(mut traced) = Traced::start("request") else {
        return;
    };
    let mut client = Client::connect(traced.address);
    assert_eq!(client.request(get("/hello")).status, 200);
    let mut seen = traced.calls_at_rest().len();
    for _ in 0..1_000 {
        assert_eq!(client.request(get("/hello")).status, 200);
    }
    // The last call so far is the poll that the first request ended with.
    let cycle = ["recvfrom", "sendto", "epoll_wait"];
    let calls = traced.calls_at_rest();
    assert_eq!(served(&calls[seen..]), cycle.repeat(1_000));
    seen = calls.len();

    let sixteen = get("/hello").repeat(16);
    for _ in 0..10 {
        client.send(&sixteen);
        for _ in 0..16 {
            assert_eq!(client.response().status, 200);
        }
    }
    let calls = traced.calls_at_rest();
    assert_eq!(served(&calls[seen..]), cycle.repeat(10), "pipelined");
    seen = calls.len();

    assert_eq!(
        client.request(loopback::post("/echo", &[7; 1_024])).status,
        200
    );
    let calls = traced.calls_at_rest();
    assert_eq!(served(&calls[seen..]), cycle, "an upload in one read");
    assert_eq!(traced.process.stop(), Some(0));
}

#[test]
fn a_file_is_sent_by_the_kernel_and_a_short_one_together_with_its_head() {
    let tour = Path::new(BOOTSTRAP).with_file_name("examples/tour");
    let Some(mut traced) = Traced::start_program("file", &tour) else {
        return;
    };
    let mut client = Client::connect(traced.address);
    let part =
        |last: usize| format!("GET /file HTTP/1.1\r\nHost: test\r\nRange: bytes=0-{last}\r\n\r\n");
    let mut calls_for = |last| {
        let seen = traced.calls_at_rest().len();
        let response = client.request(part(last));
        assert_eq!((response.status, response.body.len()), (206, last + 1));
        let calls = traced.calls_at_rest().split_off(seen);
        let opened = calls.iter().position(|call| name(call) == "openat");
        let opened = opened.expect("the file is opened");
        // std looks at a descriptor before it closes it, if it was built to check itself.
        let is_of_open =
            |call: &&String| matches!(name(call), "openat" | "statx" | "fstat" | "fcntl");
        let calls = calls[opened..].iter().filter(|call| !is_of_open(call));
        calls.cloned().collect::<Vec<_>>()
    };
    let names = |calls: &[String]| served(calls).join(" ");
    // The connection is new.
    calls_for(0);
    let short = calls_for(16_383);
    assert_eq!(names(&short), "pread64 close sendmsg epoll_wait");
    let long = calls_for(1_048_575);
    for call in ["pread64", "read", "sendmsg", "lseek"] {
        assert_eq!(count(&long, call), 0, "{long:?}");
    }
    if long.iter().any(|call| call.contains("EAGAIN")) {
        eprintln!("NOTE: this machine's sockets do not take a mebibyte at once");
    } else {
        let expected = "rt_sigaction sendto sendfile sendfile close epoll_wait";
        assert_eq!(names(&long), expected, "{long:?}");
    }
    assert_eq!(traced.process.stop(), Some(0));
}

#[test]
fn requests_that_arrive_together_share_one_poll() {
    let Some(mut traced) = Traced::start("together") else {
        return;
    };
    let mut clients = [(); 50].map(|()| Client::connect(traced.address));
    for client in &mut clients {
        assert_eq!(client.request(get("/hello")).status, 200);
    }
    // The list of ready sessions grows in the first round. Each round ends with the poll that sleeps again.
    for polls in [3, 2] {
        let seen = traced.calls_at_rest().len();
        traced.process.freeze();
        for client in &clients {
            client.send(get("/hello"));
        }
        traced.process.thaw();
        for client in &mut clients {
            assert_eq!(client.response().status, 200);
        }
        let calls = traced.calls_at_rest();
        let calls = &calls[seen..];
        assert_eq!((count(calls, "recvfrom"), count(calls, "sendto")), (50, 50));
        assert_eq!(count(calls, "epoll_wait"), polls, "{calls:?}");
    }
    assert_eq!(traced.process.stop(), Some(0));
}

#[test]
fn the_end_of_a_connection_is_sent_with_its_last_bytes() {
    let Some(mut traced) = Traced::start("last") else {
        return;
    };
    let request = "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let calls = traced.calls_of_connection(request);
    // What is sent with this flag waits for what follows: the end of the output, which is the next call.
    let sent = calls.iter().position(|call| call.contains("MSG_MORE"));
    let sent = sent.unwrap_or_else(|| panic!("nothing is sent as the last: {calls:?}"));
    let ended = calls.get(sent + 1).map(|call| name(call));
    assert_eq!(ended, Some("shutdown"), "{calls:?}");
    assert_eq!(
        count(&calls, "sendto") + count(&calls, "sendmsg"),
        1,
        "{calls:?}"
    );
    assert_eq!(traced.process.stop(), Some(0));
}

#[test]
fn a_connection_costs_only_accept_registration_and_close() {
    let Some(mut traced) = Traced::start("connection") else {
        return;
    };
    let calls = traced.calls_of_connection(get("/hello"));
    for (call, times) in [
        ("sendto", 1),
        ("epoll_ctl", 1),
        ("close", 1),
        ("setsockopt", 0),
        ("shutdown", 0),
    ] {
        assert_eq!(count(&calls, call), times, "{call}: {calls:?}");
    }
    // One extra accept and read each find nothing more.
    assert!(count(&calls, "accept4") <= 2, "{calls:?}");
    assert!(count(&calls, "recvfrom") <= 3, "{calls:?}");
    assert_eq!(traced.process.stop(), Some(0));
}

#[test]
fn an_idle_server_never_wakes() {
    let Some(mut traced) = Traced::start("idle") else {
        return;
    };
    let _silent = Client::connect(traced.address);
    let mut client = Client::connect(traced.address);
    assert_eq!(client.request(get("/hello")).status, 200);
    // A head in two pieces armed a deadline, which must be gone when the head is complete.
    let reads = count(&traced.calls_at_rest(), "recvfrom");
    client.send("GET /hello HTTP/1.1\r\nHo");
    eventually("the first piece is read", || {
        count(&traced.calls_at_rest(), "recvfrom") > reads
    });
    assert_eq!(client.request("st: test\r\n\r\n").status, 200);
    let before = traced.calls_at_rest();
    let last = before.last().expect("a call");
    assert!(last.contains("epoll_wait("), "{last}");
    outlast(Duration::from_millis(1_500));
    assert_eq!(traced.calls(), before);
    assert_eq!(traced.process.stop(), Some(0));
    let without_end = traced.calls();
    let waits = without_end
        .iter()
        .rfind(|call| call.starts_with("epoll_wait("));
    assert!(
        waits.is_some_and(|call| call.contains(", -1) = ")),
        "{waits:?}"
    );
}

/// The soft and the hard limit of a process on open descriptors.
fn descriptor_limits() -> (u64, u64) {
    let limits = fs::read_to_string("/proc/self/limits").expect("/proc");
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let mut columns = line.expect("a limit").split_whitespace().skip(3);
    let mut limit = || columns.next().and_then(|limit| limit.parse().ok());
    (limit().unwrap_or(u64::MAX), limit().unwrap_or(u64::MAX))
}

/// How many connections can be open at both ends, up to `wanted`. Raises this process's limit to fit.
fn connections_possible(wanted: u64) -> u64 {
    let (soft, hard) = descriptor_limits();
    let needed = wanted + 200;
    if soft < needed {
        let to = needed.min(hard);
        let id = std::process::id().to_string();
        let raised = Command::new("prlimit")
            .args(["--pid", &id, &format!("--nofile={to}:{hard}")])
            .status();
        assert!(raised.is_ok_and(|status| status.success()), "prlimit");
    }
    let possible = wanted.min(hard.saturating_sub(200));
    if possible < wanted {
        eprintln!(
            "NOTE: only {possible} of {wanted} connections: the hard limit is {hard} descriptors"
        );
    }
    possible
}

/// Resident memory of a process, in bytes.
fn resident(id: u32) -> i64 {
    let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).expect("a process");
    let rss = field_of(&text, "Rss").expect("a field");
    let kib: i64 = rss.trim_end_matches(" kB").parse().expect("a number");
    kib * 1_024
}

fn descriptors(id: u32) -> usize {
    fs::read_dir(format!("/proc/{id}/fd"))
        .expect("a process")
        .count()
}

/// The most that an idle connection takes of a deployed program. With debug assertions, mio's sockets have 16 bytes more.
const IDLE_LEN_MAX: i64 = 96;
const IDLE_DEBUG_LEN_MAX: i64 = 116;
/// The most that stays resident after a burst.
const REMAINS_LEN_MAX: i64 = 64 * 1_024;

#[test]
fn ten_thousand_idle_connections_cost_little_and_leak_nothing() {
    // `.ci/check-dist` sets DEPLOYED to the deployed build, which has another allocator.
    let deployed = std::env::var_os("DEPLOYED");
    let len_max = match deployed {
        None if cfg!(debug_assertions) => IDLE_DEBUG_LEN_MAX,
        Some(_) | None => IDLE_LEN_MAX,
    };
    let program = deployed.unwrap_or_else(|| BOOTSTRAP.into());
    let connections = connections_possible(10_000);
    for options in ["", "--evict-idle"] {
        idle_connections_cost_little(&program, options, connections, len_max);
    }
}

fn idle_connections_cost_little(program: &OsStr, options: &str, connections: u64, len_max: i64) {
    let (mut server, address) = Process::serve(|port| {
        let mut command = Command::new("sh");
        let script = "ulimit -n \"$(ulimit -Hn)\"; exec \"$0\" --port \"$1\" $2";
        command.args(["-c", script]).arg(program);
        command.args([&port.to_string(), options]);
        command
    });
    let idle = descriptors(server.id);
    let open = |count: u64| -> Vec<Client> {
        let request = |_| {
            let mut client = Client::connect(address);
            assert_eq!(client.request(get("/hello")).status, 200, "it is served");
            client
        };
        (0..count).map(request).collect()
    };
    let closed = || {
        eventually("all connections are closed", || {
            descriptors(server.id) == idle
        });
    };

    // Touch whatever is touched only once.
    drop(open(300));
    closed();
    let before = resident(server.id);
    for burst in ["first", "second", "third"] {
        let clients = open(connections);
        let during = resident(server.id);
        drop(clients);
        closed();
        let remains = resident(server.id) - before;
        let each = (during - before) / i64::try_from(connections).expect("a number");
        eprintln!(
            "{burst} burst: {connections} idle connections take {each} bytes each, {remains} bytes remain {options}"
        );
        assert!(
            each <= len_max,
            "{each} bytes each in the {burst} burst {options}"
        );
        assert!(
            remains <= REMAINS_LEN_MAX,
            "{remains} bytes remain of the {burst} burst {options}"
        );
    }
    assert_eq!(server.stop(), Some(0), "it ends as it should");
}
