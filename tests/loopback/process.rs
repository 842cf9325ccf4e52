//! A server in a process of its own, and what the kernel reports about it.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use super::{PATIENCE, eventually, free_port};

/// The variable that makes a test run as the server of another run of itself.
const AGAIN: &str = "COLDSTART_TEST_AGAIN";

/// Whether this process was started by [`Process::again`].
pub(crate) fn is_again() -> bool {
    std::env::var_os(AGAIN).is_some()
}

/// What runs a test of this program again; see [`Process::again`].
pub(crate) fn command_again(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    // Signals go to libtest's main thread. ThreadSanitizer delays them while that thread waits, unless it waits
    // with a timeout, which it does if several tests may run at once.
    command.args(["--exact", test, "--nocapture", "--test-threads=2"]);
    command.env(AGAIN, "1");
    command
}

/// An example as built by `cargo test`, in the folder of examples that is next to another program of the build.
pub(crate) fn example(program: &Path, name: &str) -> PathBuf {
    let places = program
        .ancestors()
        .map(|folder| folder.join("examples").join(name));
    places
        .into_iter()
        .find(|place| place.is_file())
        .expect("run: cargo build --workspace --all-features --examples")
}

/// A child process. Killed on drop.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
    /// The server process, if it is a descendant of the child.
    pub(crate) id: u32,
}

impl Process {
    /// Starts `command` and reads the lines of its stderr.
    pub(crate) fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let stderr = child.stderr.take().expect("a pipe");
        let (lines_in, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if lines_in.send(line).is_err() {
                    return;
                }
            }
        });
        let id = child.id();
        Self { child, lines, id }
    }

    /// Starts the command for a free port, and tries another port if this one is taken meanwhile.
    pub(crate) fn serve(command: impl Fn(u16) -> Command) -> (Self, SocketAddr) {
        loop {
            let port = free_port();
            let process = Self::start(&mut command(port));
            let line = process.line().expect("a line on stderr");
            if !line.contains("another process") {
                let expected = format!("coldstart: listening on 0.0.0.0:{port}");
                assert_eq!(line, expected, "the server listens");
                return (process, SocketAddr::from(([127, 0, 0, 1], port)));
            }
        }
    }

    /// Starts an example on a free port.
    pub(crate) fn example(example: &Path, arguments: &[&str]) -> (Self, SocketAddr) {
        Self::serve(|port| {
            let mut command = Command::new(example);
            command.args(arguments).env("PORT", port.to_string());
            for platforms in ["FC_CUSTOM_LISTEN_PORT", "FC_SERVER_PORT"] {
                command.env_remove(platforms);
            }
            command
        })
    }

    /// The next line of its stderr, or `None` after the last one.
    pub(crate) fn line(&self) -> Option<String> {
        use std::sync::mpsc::RecvTimeoutError;
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("timed out waiting for a line"),
        }
    }

    /// The lines since the last call.
    pub(crate) fn lines_so_far(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// Runs a test of this program again, as a server in a process of its own. There, [`is_again`] returns true.
    pub(crate) fn again(test: &str) -> Self {
        Self::start(command_again(test).stdout(Stdio::null()))
    }

    /// The same under `strace`, which writes the calls of these names to a file, and the address that it reports.
    pub(crate) fn again_traced(test: &str, calls: &str, trace: &Path) -> (Self, SocketAddr) {
        let again = command_again(test);
        let mut command = Command::new("strace");
        command
            .args(["-f", "-e", &format!("trace={calls}"), "-o"])
            .arg(trace);
        command.arg(again.get_program()).args(again.get_args());
        for (name, value) in again.get_envs() {
            command.env(name, value.expect("it is set"));
        }
        let mut server = Self::start(command.stdout(Stdio::null()));
        let address = server.address();
        // What is killed at the end is the server, and strace ends with it.
        let children = format!("/proc/{0}/task/{0}/children", server.id);
        let child = fs::read_to_string(children).expect("strace runs");
        server.id = child.trim().parse().expect("it has one child");
        (server, address)
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    /// The address that its first line reports.
    pub(crate) fn address(&self) -> SocketAddr {
        let line = self.line().expect("a line on stderr");
        let address = line.strip_prefix("coldstart: listening on ");
        let address: SocketAddr = address
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| panic!("the server does not listen: {line}"));
        SocketAddr::from(([127, 0, 0, 1], address.port()))
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.id, name);
    }

    /// Stops the process, as the platform does between requests.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
        // A lower-case `t` is a traced process. A thread that runs is stopped when its system call is over.
        eventually("the process is frozen", || {
            self.are_all_threads(&['T', 't'])
        });
    }

    /// The same, once it sleeps: between two turns of its loop, since one turn has one date.
    pub(crate) fn freeze_asleep(&self) {
        eventually("the process sleeps", || self.are_all_threads(&['S']));
        self.freeze();
    }

    fn are_all_threads(&self, states: &[char]) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.id));
        threads.expect("a process of ours").all(|thread| {
            let status = thread.and_then(|thread| fs::read_to_string(thread.path().join("status")));
            // One that has ended meanwhile is in no other state.
            status.map_or(true, |status| {
                field_of(&status, "State").is_some_and(|state| state.starts_with(states))
            })
        })
    }

    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    /// Waits for its exit.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut ended = None;
        eventually("the process has ended", || {
            ended = self.child.try_wait().expect("a child");
            ended.is_some()
        });
        ended.expect("it has exited")
    }

    /// Sends SIGTERM and returns the exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.ended().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            if self.id != self.child.id() {
                signal(self.id, "KILL");
            }
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

pub(crate) fn signal(id: u32, name: &str) {
    let sent = Command::new("sh")
        .args(["-c", &format!("kill -{name} {id}")])
        .status();
    assert!(sent.is_ok_and(|status| status.success()), "no such process");
}

/// A field of `/proc/ID/status`.
pub(crate) fn status(id: u32, field: &str) -> Option<String> {
    field_of(
        &fs::read_to_string(format!("/proc/{id}/status")).ok()?,
        field,
    )
}

/// A field of a `/proc` file of the form `name: value`.
pub(crate) fn field_of(text: &str, field: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name == field).then(|| value.trim().to_owned())
    })
}

/// Minor page faults of a process so far.
pub(crate) fn page_faults(id: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).expect("a process");
    // minflt is the 8th field after the name.
    let after = stat.rsplit(')').next().unwrap_or_default();
    let field = after.split_whitespace().nth(7);
    field
        .and_then(|field| field.parse().ok())
        .expect("a number")
}

/// How much of a process's code is mapped, in kB. The kernel maps the pages around each that is touched.
pub(crate) fn code_mapped(id: u32) -> u64 {
    let maps = fs::read_to_string(format!("/proc/{id}/smaps")).expect("a process");
    let (_, code) = maps.split_once(" r-xp ").expect("there is code");
    let resident = field_of(code, "Rss").expect("the kernel counts it");
    let number = resident.trim_end_matches(" kB").parse();
    number.expect("a number")
}

/// CPU time of a process so far, in hundredths of a second.
pub(crate) fn processor_ticks(id: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).expect("a process");
    // utime and stime are the 12th and 13th fields after the name, which may contain anything.
    let after = stat.rsplit(')').next().unwrap_or_default();
    let fields = after.split_whitespace().skip(11).take(2);
    fields.filter_map(|field| field.parse::<u64>().ok()).sum()
}

/// How often a process has gone to sleep.
pub(crate) fn sleeps(id: u32) -> u64 {
    let count = status(id, "voluntary_ctxt_switches").and_then(|count| count.parse().ok());
    count.expect("a process")
}

/// Whether a tool can run. If not, prints a skip on a developer's machine, and fails if `CI=true`.
pub(crate) fn can_run<S: AsRef<OsStr>>(what: &str, probe: &[S]) -> bool {
    let [program, arguments @ ..] = probe else {
        return false;
    };
    let done = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let can = done.is_ok_and(|status| status.success());
    if !can {
        assert!(
            std::env::var_os("CI").is_none_or(|value| value != "true"),
            "{what} cannot be tested here, and CI requires it"
        );
        eprintln!("SKIPPED: {what} cannot be tested here");
    }
    can
}
