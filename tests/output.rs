//! Functions whose stdout and stderr nothing reads: they go on, stop when told, and count what they drop.
#![expect(
    clippy::panic,
    clippy::exit,
    clippy::print_stdout,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a failed set-up must fail the test; functions here panic, print, and end although a thread of theirs waits"
)]

mod loopback;

use std::io::Read;
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, ChildStdout, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use coldstart::handler::Outcome;
use coldstart::server::Timeouts;
use coldstart::{Context, Function, Request, Response, Server};

use loopback::process::{command_again, is_again, signal};
use loopback::{Client, eventually, get};

/// How many lines a function logs: more than a pipe and the server hold.
const LINES: usize = 200;
/// More panics than a pipe has room for.
const PANICS: usize = 1_000;

/// The function, in a process of its own.
fn serve(threads: usize) -> ! {
    let timeouts = Timeouts::new().drain(Duration::from_millis(100));
    let function = Function::new()
        .server(Server::new().port(0).timeouts(timeouts))
        .http(respond);
    let code = match threads {
        0 => function.run(),
        count => function.run_on_threads(count),
    };
    std::process::exit(i32::from(code != ExitCode::SUCCESS));
}

fn respond(request: &Request<'_>) -> Outcome {
    match request.path() {
        "/log" => {
            let number = request.query().unwrap_or_default();
            Context::new(request.head()).log(format_args!("{number} {}", "x".repeat(2_000)));
        }
        "/panic" => panic!("the handler panics"),
        "/print-for-ever" => {
            let (outcome, reply) = Outcome::promised();
            thread::spawn(move || {
                while !reply.is_peer_gone() {
                    println!("{}", "x".repeat(1_000));
                }
            });
            return outcome;
        }
        "/fields" => {
            return Response::text("fields")
                .header("Connection", "close")
                .into();
        }
        _ => {}
    }
    Response::text("well").into()
}

/// A process whose output waits in pipes until the test reads it. Killed on drop.
struct Unread {
    child: Child,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    address: SocketAddr,
}

impl Unread {
    fn start(test: &str) -> Self {
        let mut command = command_again(test);
        command.env("RUST_BACKTRACE", "0").stdin(Stdio::null());
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("this program");
        let (stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
        let line = line(stderr.as_mut().expect("a pipe"));
        let port = line.rsplit(':').next().and_then(|port| port.parse().ok());
        let port: u16 = port.expect("the function listens");
        Self {
            child,
            stdout,
            stderr,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
        }
    }

    fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    fn begin_stop(&self) {
        signal(self.child.id(), "TERM");
    }

    fn code(&mut self) -> Option<i32> {
        let mut ended = None;
        eventually("the process has ended", || {
            ended = self.child.try_wait().expect("a child");
            ended.is_some()
        });
        ended.and_then(|status| status.code())
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The next line of a pipe, of which no byte after it is read.
fn line(pipe: &mut impl Read) -> String {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while pipe.read(&mut byte).is_ok_and(|len| len == 1) && byte != *b"\n" {
        line.extend(byte);
    }
    String::from_utf8(line).expect("a line of text")
}

/// Reads a pipe to its end on a thread of its own.
struct Reader {
    text: Arc<Mutex<Vec<u8>>>,
    thread: JoinHandle<()>,
}

impl Reader {
    fn start(mut pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::<Mutex<Vec<u8>>>::default();
        let so_far = Arc::clone(&text);
        let thread = thread::spawn(move || {
            let mut buffer = [0; 8_192];
            while let Ok(len) = pipe.read(&mut buffer)
                && len > 0
            {
                so_far.lock().expect("no panic").extend(&buffer[..len]);
            }
        });
        Self { text, thread }
    }

    fn len(&self) -> usize {
        self.text.lock().expect("no panic").len()
    }

    fn all(self) -> String {
        self.thread.join().expect("no panic");
        let text = self.text.lock().expect("no panic").clone();
        String::from_utf8(text).expect("text")
    }
}

/// How many lines a report says were dropped.
fn dropped(line: &str) -> Option<usize> {
    let rest = line.strip_prefix("coldstart: ")?;
    let (count, _) = rest.split_once(" log line(s) were dropped, since nothing read std")?;
    count.parse().ok()
}

#[test]
fn a_function_whose_stdout_nothing_reads_goes_on_and_counts_the_lines_that_it_drops() {
    if is_again() {
        serve(0);
    }
    let mut function = Unread::start(
        "a_function_whose_stdout_nothing_reads_goes_on_and_counts_the_lines_that_it_drops",
    );
    let mut client = function.connect();
    for number in 0..LINES {
        let response = client.request(get(&format!("/log?{number}")));
        assert_eq!(response.text(), "well", "request {number}");
    }
    let reader = Reader::start(function.stdout.take().expect("a pipe"));
    // All that the pipe had is read, so there is room for what the server has kept.
    eventually("the pipe is read", || reader.len() > 60_000);
    // This one sees the room, and so does the end.
    assert_eq!(client.request(get("/")).text(), "well");
    function.begin_stop();
    assert_eq!(function.code(), Some(0));
    let stdout = reader.all();
    let mut next = 0;
    for line in stdout.lines() {
        if let Some(count) = dropped(line) {
            next += count;
        } else if let Some((_, message)) = line.split_once(" [INFO] ") {
            assert_eq!(message, format!("{next} {}", "x".repeat(2_000)));
            next += 1;
        }
    }
    assert_eq!(next, LINES, "each line is here or counted: {stdout}");
    let kept = stdout.matches(" [INFO] ").count();
    assert!(
        (60..70).contains(&kept),
        "64 KiB wait in the pipe and 64 KiB here: {kept} lines"
    );
}

#[test]
fn a_signal_ends_a_function_whose_stdout_nothing_reads() {
    if is_again() {
        serve(0);
    }
    let mut function = Unread::start("a_signal_ends_a_function_whose_stdout_nothing_reads");
    let mut client = function.connect();
    for number in 0..LINES {
        let response = client.request(get(&format!("/log?{number}")));
        assert_eq!(response.text(), "well", "request {number}");
    }
    function.begin_stop();
    assert_eq!(function.code(), Some(0));
}

#[test]
fn a_thread_that_prints_to_a_full_pipe_does_not_keep_the_loop_from_responding() {
    if is_again() {
        serve(0);
    }
    let mut function =
        Unread::start("a_thread_that_prints_to_a_full_pipe_does_not_keep_the_loop_from_responding");
    let waits = function.connect();
    waits.send(get("/print-for-ever"));
    let mut client = function.connect();
    // Nothing tells the loop that the pipe is full, until it logs itself.
    for number in 0..2_000 {
        let response = client.request(get("/"));
        assert_eq!(response.text(), "well", "request {number}");
    }
    for number in 0..LINES {
        let response = client.request(get(&format!("/log?{number}")));
        assert_eq!(response.text(), "well", "request {number}");
    }
    function.begin_stop();
    assert_eq!(function.code(), Some(0));
}

/// Panics until stderr is full and on, then reads it.
fn panic_unread(test: &str) {
    let mut function = Unread::start(test);
    let mut client = function.connect();
    for number in 0..PANICS {
        let status = client.request(get("/panic")).status;
        assert_eq!(status, 500, "panic {number}");
    }
    let reader = Reader::start(function.stderr.take().expect("a pipe"));
    eventually("the pipe is read", || reader.len() > 50_000);
    assert_eq!(client.request(get("/panic")).status, 500, "there is room");
    function.begin_stop();
    assert_eq!(function.code(), Some(0), "it stops as always");
    let stderr = reader.all();
    let printed = stderr.matches("the handler panics").count();
    let unprinted: usize = stderr.lines().filter_map(dropped).sum();
    assert_eq!(printed + unprinted, PANICS + 1, "each is here or counted");
    assert!(unprinted > 0, "a pipe has no room for all of them");
}

#[test]
fn panics_are_survived_and_counted_where_nothing_reads_stderr() {
    if is_again() {
        serve(0);
    }
    panic_unread("panics_are_survived_and_counted_where_nothing_reads_stderr");
}

#[test]
fn panics_on_the_pool_are_survived_and_counted_where_nothing_reads_stderr() {
    if is_again() {
        serve(2);
    }
    panic_unread("panics_on_the_pool_are_survived_and_counted_where_nothing_reads_stderr");
}

#[test]
fn fields_that_are_left_out_are_reported_once_and_not_per_request() {
    if is_again() {
        serve(0);
    }
    let mut function =
        Unread::start("fields_that_are_left_out_are_reported_once_and_not_per_request");
    let mut client = function.connect();
    for number in 0..PANICS {
        let response = client.request(get("/fields"));
        assert_eq!(response.text(), "fields", "request {number}");
    }
    function.begin_stop();
    assert_eq!(function.code(), Some(0));
    let stderr = Reader::start(function.stderr.take().expect("a pipe")).all();
    let count = stderr.matches("left out").count();
    assert!((1..10).contains(&count), "{stderr}");
}
