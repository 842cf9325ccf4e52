//! Shared by the tests: the program under test, the servers, and a raw HTTP client.

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A guard against hanging, long enough for a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_coldstart");

/// A free port for one test, below the kernel's ephemeral range.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let offset = std::process::id().wrapping_mul(131) % 3_000;
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(6_000 + (offset + number) % 5_000).expect("a port");
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

/// The first of these programs on the PATH. None counts as [`missing`].
#[expect(
    clippy::disallowed_methods,
    reason = "tests read the environment that they run in"
)]
pub(crate) fn interpreter(names: &[&str]) -> Option<String> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let has =
        |name: &&&str| std::env::split_paths(&folders).any(|folder| folder.join(name).is_file());
    match names.iter().find(has) {
        Some(name) => Some((*name).to_owned()),
        None => missing(&names.join(" or ")),
    }
}

/// The page's Node server, if Express is installed.
pub(crate) fn express_server() -> Option<String> {
    if Path::new(&server("node/node_modules/express")).is_dir() {
        Some(server("node/server.js"))
    } else {
        missing("Express for Node")
    }
}

/// The class path of Jetty, if it is installed.
pub(crate) fn jetty_classes() -> Option<String> {
    let names = [
        "jetty9-server",
        "jetty9-http",
        "jetty9-io",
        "jetty9-util",
        "servlet-api",
    ];
    let archives = names.map(|name| format!("/usr/share/java/{name}.jar"));
    if archives.iter().all(|archive| Path::new(archive).is_file()) {
        Some(archives.join(":"))
    } else {
        missing("Jetty 9")
    }
}

/// Reports something that this machine lacks: a visible skip, and a failure in CI.
#[expect(
    clippy::disallowed_methods,
    reason = "tests read the environment that they run in"
)]
pub(crate) fn missing<T>(what: &str) -> Option<T> {
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "CI lacks {what}; platform/ci-setup installs it"
    );
    let line = format!("SKIPPED: this machine lacks {what}; platform/ci-setup installs it\n");
    // Directly: the test harness captures eprintln.
    std::io::stderr()
        .write_all(line.as_bytes())
        .expect("standard error");
    None
}

/// The path of a file in `tests/servers`.
pub(crate) fn server(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/servers")
        .join(name);
    path.to_string_lossy().into_owned()
}

/// Runs the program until it exits, in an empty directory: `check` copies the one it is in.
pub(crate) fn coldstart(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    coldstart_in(folder.path(), arguments)
}

/// Runs the program in a directory.
pub(crate) fn coldstart_in(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .env("NO_COLOR", "1");
    command.output().expect("coldstart runs")
}

/// Standard output as text.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Standard error as text.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The callers' error from the output of a `run` that did not start.
pub(crate) fn caller_error(output: &Output) -> serde_json::Value {
    let text = stdout(output);
    let line = text.lines().find(|line| line.starts_with('{'));
    let line = line.unwrap_or_else(|| panic!("no error in {text}{}", stderr(output)));
    serde_json::from_str(line).expect("JSON")
}

/// A running `coldstart run`.
pub(crate) struct Gateway {
    process: Child,
    pub(crate) address: String,
    /// Both outputs so far.
    pub(crate) output: Arc<Mutex<String>>,
}

impl Gateway {
    /// Starts it and waits until it is ready.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(PROGRAM);
        command
            .args(["run", "--gateway", "127.0.0.1:0"])
            .args(arguments)
            .env("NO_COLOR", "1");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = command.spawn().expect("coldstart starts");
        let output = Arc::new(Mutex::new(String::new()));
        collect(process.stdout.take().expect("its output"), &output);
        collect(process.stderr.take().expect("its errors"), &output);
        let mut gateway = Self {
            process,
            address: String::new(),
            output,
        };
        let ready = gateway.wait_for("ready: http://");
        let rest = ready.split_once("ready: http://").expect("the line").1;
        rest.split_whitespace()
            .next()
            .expect("an address")
            .clone_into(&mut gateway.address);
        gateway
    }

    /// The function `lab.py` and its gateway.
    pub(crate) fn lab(arguments: &[&str]) -> Option<Self> {
        let python = interpreter(&["python3", "python"])?;
        let port = free_port().to_string();
        let lab = server("lab.py");
        let mut all = vec!["--port", &port];
        all.extend(arguments);
        all.extend(["--", &python, &lab]);
        Some(Self::start(&all))
    }

    /// The folders in `/proc` of all processes that it started.
    pub(crate) fn descendants(&self) -> Vec<PathBuf> {
        descendants(self.process.id())
    }

    /// Waits until the output contains the text; returns the whole output.
    pub(crate) fn wait_for(&self, text: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let seen = self.output.lock().expect("the output").clone();
            if seen.contains(text) {
                return seen;
            }
            assert!(
                Instant::now() < deadline,
                "`{text}` never appeared in:\n{seen}"
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// A connection to the gateway.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("the gateway listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a time-out");
        stream
    }

    /// Makes one call on a new connection.
    pub(crate) fn call(&self, method: &str, target: &str, body: &str) -> Reply {
        self.call_with(method, target, &[], body)
    }

    /// The same, with header lines.
    pub(crate) fn call_with(
        &self,
        method: &str,
        target: &str,
        fields: &[&str],
        body: &str,
    ) -> Reply {
        let mut stream = self.connect();
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n{fields}Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + body).as_bytes()).ok();
        Reply::read(&mut stream)
    }

    /// Stops it as Ctrl-C does; returns its exit status.
    pub(crate) fn interrupt(&mut self) -> Option<i32> {
        let id = self.process.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &id])
                .status()
                .expect("kill")
                .success(),
            "signalled"
        );
        let deadline = Instant::now() + DEADLINE;
        loop {
            // Once its output has ended as well: the readers share it no longer.
            let is_read = Arc::strong_count(&self.output) == 1;
            if let Some(status) = self.process.try_wait().expect("waited")
                && is_read
            {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it or its output did not end");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Gateway {
    /// Kills it as the kernel does when memory runs out.
    pub(crate) fn kill(mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("it ends");
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // SIGTERM first, so that it can stop its own processes.
        let id = self.process.id().to_string();
        Command::new("kill")
            .args(["-TERM", &id])
            .stderr(Stdio::null())
            .status()
            .ok();
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline && matches!(self.process.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(5));
        }
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Adds whole lines, or those of two streams would mix.
fn collect(from: impl Read + Send + 'static, into: &Arc<Mutex<String>>) {
    let into = Arc::clone(into);
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
            into.lock()
                .expect("the output")
                .push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
}

/// A whole response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    /// Reads one response with a length and leaves the connection open.
    pub(crate) fn read_one(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        let mut byte = [0];
        while !bytes.ends_with(b"\r\n\r\n") {
            let length = stream.read(&mut byte).expect("a response");
            assert!(
                length > 0,
                "closed after {}",
                String::from_utf8_lossy(&bytes)
            );
            bytes.extend_from_slice(&byte);
        }
        let head = String::from_utf8_lossy(&bytes).to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length = length
            .and_then(|length| length.parse().ok())
            .expect("a length");
        let mut body = vec![0; length];
        stream.read_exact(&mut body).expect("the body");
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Self {
            status: status.expect("a status"),
            head,
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }

    /// Reads until the connection closes.
    pub(crate) fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("no response: {text:?}"));
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Self {
            status: status.expect("a status"),
            head: head.to_lowercase(),
            body: body.to_owned(),
        }
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

/// Writes a file with this mode.
pub(crate) fn file(folder: &Path, name: &str, content: impl AsRef<[u8]>, mode: u32) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("created");
    if mode & 0o111 == 0 {
        fs::write(&path, content).expect("written");
    } else {
        copy_program(content.as_ref(), "/dev/stdin", &path);
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("the mode");
    path
}

/// Copies what will be executed, by a process that holds nothing else. If this one wrote it, a child that another test
/// starts meanwhile could have it open for longer, and the kernel executes no file that is open for writing.
pub(crate) fn copy_program(input: &[u8], from: &str, to: &Path) {
    let mut copying = Command::new("cp")
        .args([from.as_ref(), to.as_os_str()])
        .stdin(Stdio::piped())
        .spawn()
        .expect("cp runs");
    let mut pipe = copying.stdin.take().expect("its input");
    pipe.write_all(input).expect("written");
    drop(pipe);
    assert!(copying.wait().expect("its status").success(), "{from}");
}

/// The folders in `/proc` of all descendants of a process.
pub(crate) fn descendants(root: u32) -> Vec<PathBuf> {
    let mut known = vec![root.to_string()];
    let mut found = Vec::new();
    let parent_of = |folder: &Path| {
        let stat = fs::read_to_string(folder.join("stat")).unwrap_or_default();
        let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        after_name.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    let processes = || fs::read_dir("/proc").expect("/proc").flatten();
    while let Some(parent) = known.pop() {
        for entry in processes().filter(|entry| parent_of(&entry.path()) == parent) {
            known.push(entry.file_name().to_string_lossy().into_owned());
            found.push(entry.path());
        }
    }
    found
}

/// Whether a process with this text in its command line is running.
pub(crate) fn runs(text: &str) -> bool {
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    let mut lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.any(|line| {
        String::from_utf8_lossy(&line)
            .replace('\0', " ")
            .contains(text)
    })
}
