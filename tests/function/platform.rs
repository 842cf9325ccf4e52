//! The platform's side of the contract, as far as the tests need it: instances, connections, calls.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::port::free_port;

/// Longer than anything takes on a busy machine, so a wait this long is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Secrets that must never show in an output.
pub(crate) const CANARIES: [&str; 3] = ["canary-key-id", "canary-key-secret", "canary-token"];

/// Variables that may set the port.
pub(crate) const PORT_VARIABLES: [&str; 5] = [
    "FC_CUSTOM_LISTEN_PORT",
    "FC_SERVER_PORT",
    "_FAAS_RUNTIME_PORT",
    "AWS_LWA_PORT",
    "PORT",
];

/// Those of `examples/` that these tests start. The others may need more than a foreign machine has, such as a C library.
const EXAMPLES: [&str; 4] = ["event", "hello", "hooks", "sse"];

/// A program of this build; on a foreign machine, what runs its programs is named by `TEST_RUNNER`.
fn program(path: &Path) -> Command {
    let Some(runner) = std::env::var_os("TEST_RUNNER") else {
        return Command::new(path);
    };
    let mut command = Command::new(runner);
    command.arg(path);
    command
}

pub(crate) fn bootstrap() -> Command {
    program(Path::new(env!("CARGO_BIN_EXE_bootstrap")))
}

/// One of [`EXAMPLES`], built from the current sources.
pub(crate) fn example(name: &str) -> Command {
    assert!(EXAMPLES.contains(&name), "{name} is built");
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let folder = BUILT.get_or_init(|| {
        // Cargo puts examples next to programs in all of its versions, but not tests.
        let bootstrap = Path::new(env!("CARGO_BIN_EXE_bootstrap"));
        let profile_folder = bootstrap.parent().unwrap();
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--features", "json"]);
        build.args(EXAMPLES.map(|name| ["--example", name]).as_flattened());
        let mut target_folder = profile_folder.parent().unwrap();
        // With an explicit target, the profile's folder is inside the target's.
        if std::env::var_os("CARGO_BUILD_TARGET").is_some() {
            target_folder = target_folder.parent().unwrap();
        }
        build.arg("--target-dir").arg(target_folder);
        if profile_folder.ends_with("release") {
            build.arg("--release");
        }
        build.current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(
            build.status().unwrap().success(),
            "cargo builds the examples"
        );
        profile_folder.join("examples")
    });
    program(&folder.join(name))
}

/// The function in `under_test.rs` with these options, in a process of its own.
pub(crate) fn under_test(options: &str) -> Command {
    let mut command = program(&std::env::current_exe().unwrap());
    // Not with one test thread, or ThreadSanitizer would delay signals: see `Process::again` in `loopback`.
    command.args(["--exact", crate::under_test::NAME]);
    command.args(["--nocapture", "--test-threads=2"]);
    command.env(crate::under_test::OPTIONS, options);
    command
}

/// Everything a process has written to one of its outputs.
#[derive(Default)]
struct Output {
    text: Mutex<Vec<u8>>,
    news: Condvar,
}

impl Output {
    fn read(self: &Arc<Self>, from: impl std::io::Read + Send + 'static) -> JoinHandle<()> {
        let output = Arc::clone(self);
        let read = move || {
            let mut lines = BufReader::new(from);
            let mut piece = [0; 4096];
            while let Ok(len @ 1..) = lines.read(&mut piece) {
                let mut text = output.text.lock().unwrap();
                text.extend_from_slice(&piece[..len]);
                output.news.notify_all();
            }
        };
        std::thread::Builder::new().spawn(read).unwrap()
    }

    fn wait_for(&self, expected: &str) -> String {
        let text = self.text.lock().unwrap();
        let is_missing = |text: &mut Vec<u8>| !String::from_utf8_lossy(text).contains(expected);
        let wait = self.news.wait_timeout_while(text, PATIENCE, is_missing);
        let (text, outcome) = wait.unwrap();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(!outcome.timed_out(), "no {expected:?} in {text:?}");
        text
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }
}

/// A serving process and its outputs.
pub(crate) struct Instance {
    child: Child,
    pub(crate) port: u16,
    pub(crate) stdin: ChildStdin,
    outputs: [Arc<Output>; 2],
    readers: Vec<JoinHandle<()>>,
}

impl Instance {
    /// Starts a server with the platform's environment and waits until it listens.
    pub(crate) fn start(command: Command) -> Self {
        let instance = Self::launch(command, "FC_CUSTOM_LISTEN_PORT");
        instance.stderr_with("listening on");
        instance
    }

    /// Starts the process with its port in this variable, without waiting for it to listen.
    pub(crate) fn launch(mut command: Command, port_variable: &str) -> Self {
        let port = free_port();
        for variable in PORT_VARIABLES {
            if !command.get_envs().any(|(name, _)| name == variable) {
                command.env_remove(variable);
            }
        }
        command.env(port_variable, port.to_string());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let outputs = [Arc::<Output>::default(), Arc::<Output>::default()];
        let readers = vec![
            outputs[0].read(child.stdout.take().unwrap()),
            outputs[1].read(child.stderr.take().unwrap()),
        ];
        Self {
            port,
            stdin: child.stdin.take().unwrap(),
            child,
            outputs,
            readers,
        }
    }

    pub(crate) fn connect(&self) -> Connection {
        self.connect_to(Ipv4Addr::LOCALHOST)
    }

    pub(crate) fn connect_to(&self, address: Ipv4Addr) -> Connection {
        let stream = TcpStream::connect(SocketAddr::from((address, self.port))).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Connection(BufReader::new(stream))
    }

    /// Sends one call on a connection of its own.
    pub(crate) fn call(&self, call: &Call) -> HttpResponse {
        self.connect().call(call)
    }

    pub(crate) fn signal(&self, name: &str) {
        let process = self.child.id().to_string();
        let kill = Command::new("kill").args([name, &process]).status();
        assert!(kill.unwrap().success(), "kill {name}");
    }

    pub(crate) fn stdout_with(&self, text: &str) -> String {
        self.outputs[0].wait_for(text)
    }

    pub(crate) fn stderr_with(&self, text: &str) -> String {
        self.outputs[1].wait_for(text)
    }

    /// Sends SIGTERM and returns exit status, stdout and stderr.
    pub(crate) fn stop(self) -> (ExitStatus, String, String) {
        self.signal("-TERM");
        self.end()
    }

    /// Waits for the exit.
    pub(crate) fn end(mut self) -> (ExitStatus, String, String) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the process did not exit");
            wait(Duration::from_millis(2));
        };
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        let [stdout, stderr] = &self.outputs;
        (status, stdout.text(), stderr.text())
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // Fails if it has exited already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A request as the platform sends it.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) request_line: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Call {
    /// A request without any of the platform's fields.
    pub(crate) fn plain(method: &str, target: &str) -> Self {
        Self {
            request_line: format!("{method} {target} HTTP/1.1"),
            fields: vec![("Host".into(), "127.0.0.1".into())],
            body: Vec::new(),
        }
    }

    /// A request with all the fields that the platform sends, many of them empty.
    fn from_platform(method: &str, target: &str, control_path: &str) -> Self {
        let [key_id, key_secret, token] = CANARIES;
        [
            ("x-fc-control-path", control_path),
            ("x-fc-request-id", "1-65f0aa11-0badcafe-0123456789ab"),
            ("X-Fc-Access-Key-Id", key_id),
            ("x-fc-access-key-secret", key_secret),
            ("x-fc-security-token", token),
            ("x-fc-function-name", "orders"),
            ("x-fc-function-handler", "index.handler"),
            ("x-fc-function-memory", "512"),
            ("x-fc-function-timeout", "60"),
            ("x-fc-region", "cn-hangzhou"),
            ("X-FC-Account-ID", "123456789"),
            ("x-fc-qualifier", "LATEST"),
            ("x-fc-version-id", ""),
            ("x-fc-service-name", ""),
            ("x-fc-service-logproject", ""),
            ("x-fc-retry-count", "2"),
        ]
        .into_iter()
        .fold(Self::plain(method, target), |call, (name, value)| {
            call.field(name, value)
        })
    }

    /// An HTTP call with the caller's method and path.
    pub(crate) fn http(method: &str, target: &str) -> Self {
        Self::from_platform(method, target, "/http-invoke")
    }

    /// An API call with this payload.
    pub(crate) fn event(payload: impl Into<Vec<u8>>) -> Self {
        let call = Self::from_platform("POST", "/invoke", "/invoke");
        call.field("content-type", "application/octet-stream")
            .body(payload)
    }

    pub(crate) fn initialize() -> Self {
        Self::from_platform("POST", "/initialize", "/initialize").body("")
    }

    pub(crate) fn pre_stop() -> Self {
        Self::from_platform("GET", "/pre-stop", "/pre-stop")
    }

    pub(crate) fn pre_freeze() -> Self {
        Self::from_platform("GET", "/pre-freeze", "/pre-freeze")
    }

    pub(crate) fn field(mut self, name: &str, value: &str) -> Self {
        self.fields
            .retain(|field| !field.0.eq_ignore_ascii_case(name));
        self.fields.push((name.into(), value.into()));
        self
    }

    pub(crate) fn request_id(self, id: &str) -> Self {
        self.field("x-fc-request-id", id)
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        let len = self.body.len().to_string();
        self.field("Content-Length", &len)
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{}\r\n", self.request_line).into_bytes();
        for (name, value) in &self.fields {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// A connection that the platform keeps open.
pub(crate) struct Connection(pub(crate) BufReader<TcpStream>);

impl Connection {
    pub(crate) fn call(&mut self, call: &Call) -> HttpResponse {
        self.send(&call.to_bytes());
        self.response_to(call)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// Reads the next response; without a body if the call was HEAD.
    pub(crate) fn response_to(&mut self, call: &Call) -> HttpResponse {
        let mut response = self.head();
        let length = response
            .field("content-length")
            .map(|len| len.parse().unwrap());
        let is_bodiless = call.request_line.starts_with("HEAD ") || response.status == 101;
        if is_bodiless {
        } else if let Some(length) = length {
            response.body = vec![0; length];
            self.0.read_exact(&mut response.body).unwrap();
        } else if response.field("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk() {
                response.body.extend(chunk);
            }
        }
        response
    }

    pub(crate) fn head(&mut self) -> HttpResponse {
        let status_line = self.line();
        let status = status_line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut fields = Vec::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(": ") else {
                break;
            };
            fields.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        HttpResponse {
            status,
            fields,
            body: Vec::new(),
        }
    }

    /// The next chunk, or `None` after the last one.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        let len = usize::from_str_radix(&self.line(), 16).unwrap();
        let mut chunk = vec![0; len];
        self.0.read_exact(&mut chunk).unwrap();
        assert_eq!(self.line(), "", "a chunk ends with CRLF");
        (len > 0).then_some(chunk)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        assert!(
            line.ends_with("\r\n"),
            "the connection ended within {line:?}"
        );
        line.truncate(line.len() - 2);
        line
    }

    /// Whether the server has neither sent anything nor closed for this long.
    pub(crate) fn is_silent_for(&mut self, time: Duration) -> bool {
        self.0.get_ref().set_read_timeout(Some(time)).unwrap();
        let silent = self
            .0
            .fill_buf()
            .is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        self.0.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
        silent
    }
}

/// A response from the server.
#[derive(Debug)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl HttpResponse {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        fields
            .find(|field| field.0 == name)
            .map(|field| field.1.as_str())
    }

    /// Status, `x-fc-status` and body.
    pub(crate) fn outcome(&self) -> (u16, &str, String) {
        let signal = self.field("x-fc-status").unwrap_or("");
        (self.status, signal, self.text())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sleeps, where the passing of time itself is the point.
pub(crate) fn wait(time: Duration) {
    let deadline = Instant::now() + time;
    while let Some(left) = deadline.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
}
