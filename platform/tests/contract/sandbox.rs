//! What separates a function from this machine, and ties readiness and the end to the function's own processes.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{
    DEADLINE, Gateway, PROGRAM, coldstart, copy_program, file, free_port, interpreter, runs,
    server, stderr, stdout,
};

/// No process on this machine belongs to it, so that its limits count only the test's own.
const USER: u32 = 61_237;

#[test]
fn a_sandboxed_function_sees_its_code_and_little_else() {
    let Some(python) = sandboxed_python() else {
        return;
    };
    let code = code_with(&[("fact", "in the package"), ("binds.py", &text("binds.py"))]);
    let own = fs::metadata(code.path()).expect("the folder").uid();
    for user in users() {
        let port = free_port().to_string();
        let source = code.path().to_str().expect("text");
        let script = format!("cat /code/fact; exec {python} /code/binds.py");
        let arguments = [
            "run",
            "--gateway",
            "127.0.0.1:0",
            "--port",
            &port,
            "--env",
            "EARLY_EXIT=3",
            source,
            "--",
            "sh",
            "-c",
            &script,
        ];
        let output = run_as(user, &arguments);
        let seen = all(&output);
        assert!(seen.contains("in the package"), "{seen}");
        let facts = facts(&seen);
        assert_eq!(facts["process"], 1, "{seen}");
        assert_eq!(facts["user"], user.unwrap_or(own), "{seen}");
        assert_eq!(facts["directory"], "/code", "{seen}");
        assert_eq!(facts["code"], "/code", "{seen}");
        assert_eq!(facts["tmp"], serde_json::json!([]), "{seen}");
        assert!(
            seen.contains("the process ended with code 3 before"),
            "{seen}"
        );
    }
}

#[test]
fn a_refused_sandbox_is_announced_and_the_function_starts_without() {
    let Some(python) = sandboxed_python() else {
        return;
    };
    let code = code_with(&[("binds.py", &text("binds.py"))]);
    let port = free_port().to_string();
    // A namespace in which no further mount namespace may be made.
    let limited = |network: &[&str]| {
        Command::new("unshare")
            .args(["--user", "--map-root-user", "sh", "-c"])
            .arg("echo 0 > /proc/sys/user/max_mnt_namespaces && exec \"$0\" \"$@\"")
            .args([PROGRAM, "run", "--gateway", "127.0.0.1:0", "--port", &port])
            .args(network)
            .args(["--env", "EARLY_EXIT=3", "--", &python, "/code/binds.py"])
            .current_dir(code.path())
            .env("NO_COLOR", "1")
            .output()
            .expect("unshare runs")
    };
    let seen = all(&limited(&[]));
    assert!(
        seen.contains("no sandbox: cannot create a mount namespace: No space left on device"),
        "{seen}"
    );
    assert_eq!(
        facts(&seen)["directory"],
        code.path().to_str().expect("text")
    );
    let refused = limited(&["--network", "own"]);
    assert_eq!(refused.status.code(), Some(6), "{}", all(&refused));
    assert!(
        stderr(&refused).starts_with("error: --network own needs a sandbox"),
        "{}",
        stderr(&refused)
    );
}

#[test]
fn a_full_disk_is_named_and_nothing_is_left_on_it() {
    if !kernel_allows() {
        return skip("this kernel refuses namespaces");
    }
    let code = code_with(&[
        ("bootstrap", "#!/bin/sh\nexit 7\n"),
        ("model", &"x".repeat(128 * 1024)),
    ]);
    let disk = open_folder();
    let port = free_port().to_string();
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
        .arg("mount -t tmpfs -o size=64k none \"$TMPDIR\" && \"$0\" \"$@\"; status=$?; ls \"$TMPDIR\"; exit $status")
        .args([PROGRAM, "check", "--port", &port])
        .arg(code.path())
        .env("TMPDIR", disk.path())
        .env("NO_COLOR", "1")
        .output()
        .expect("unshare runs");
    assert_eq!(output.status.code(), Some(6), "{}", all(&output));
    let expected = format!(
        "error: cannot copy {} to {}: that disk is full",
        code.path().display(),
        disk.path().display()
    );
    assert!(stderr(&output).contains(&expected), "{}", all(&output));
    assert!(stderr(&output).contains("TMPDIR"), "{}", all(&output));
    assert_eq!(stdout(&output), "", "left on it");
}

#[test]
fn nothing_is_left_after_the_program_was_killed() {
    let Some(python) = python() else {
        return;
    };
    for isolation in ["--network=host", "--no-sandbox"] {
        let seconds = format!("{}", 700_000 + u32::from(free_port()));
        let port = free_port().to_string();
        let daemon = format!("DAEMON={seconds}");
        let gateway = Gateway::start(&[
            isolation,
            "--port",
            &port,
            "--env",
            &daemon,
            "--",
            &python,
            &server("binds.py"),
        ]);
        let processes = gateway.descendants();
        assert!(runs(&format!("sleep {seconds}")), "the daemon runs");
        gateway.kill();
        let deadline = Instant::now() + DEADLINE;
        while runs(&format!("sleep {seconds}")) || processes.iter().any(is_running) {
            assert!(Instant::now() < deadline, "{isolation}: it is left");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn a_stop_waits_for_daemons() {
    let Some(python) = python() else {
        return;
    };
    for isolation in ["--network=host", "--no-sandbox"] {
        let seconds = format!("{}", 800_000 + u32::from(free_port()));
        let port = free_port().to_string();
        let daemon = format!("DAEMON={seconds}");
        let mut gateway = Gateway::start(&[
            isolation,
            "--port",
            &port,
            "--env",
            &daemon,
            "--",
            &python,
            &server("binds.py"),
        ]);
        assert!(runs(&format!("sleep {seconds}")), "the daemon runs");
        assert_eq!(gateway.interrupt(), Some(0));
        assert!(
            !runs(&format!("sleep {seconds}")),
            "{isolation}: it is left"
        );
    }
}

#[test]
fn functions_with_networks_of_their_own_share_a_port() {
    let Some(python) = sandboxed_python() else {
        return;
    };
    let binds = server("binds.py");
    let start = || Gateway::start(&["--network", "own", "--", &python, &binds]);
    let (first, second) = (start(), start());
    let said = [&first, &second].map(|gateway| gateway.call("GET", "/", "").body);
    assert_ne!(said[0], said[1], "each gateway reaches its own instance");
    for body in said {
        assert!(
            body.starts_with("21.0.0.2 "),
            "from outside loopback: {body}"
        );
    }
}

#[test]
fn two_runs_on_one_port_are_not_both_ready() {
    let Some(python) = python() else {
        return;
    };
    let port = free_port().to_string();
    let binds = server("binds.py");
    let mut words = vec![python.as_str(), &binds];
    // Outside of the test program, so that the port is in use by something that shares it.
    let mut first = Command::new(words.remove(0))
        .arg(words.remove(0))
        .envs([("FC_CUSTOM_LISTEN_PORT", port.as_str()), ("SHARED", "1")])
        .envs([("FC_FUNC_CODE_PATH", "."), ("FC_INSTANCE_ID", "first")])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut bound = [0; 4096];
    let mut lines = String::new();
    while !lines.contains("bound") {
        let output = first.stdout.as_mut().expect("its output");
        let read = std::io::Read::read(output, &mut bound).expect("read");
        assert!(read > 0, "it ended: {lines}");
        lines.push_str(&String::from_utf8_lossy(&bound[..read]));
    }
    let second = coldstart(&[
        "run",
        "--gateway",
        "127.0.0.1:0",
        "--port",
        &port,
        "--env",
        "SHARED=1",
        "--",
        &python,
        &binds,
    ]);
    let holder = format!("(process {})", first.id());
    first.kill().expect("killed");
    first.wait().expect("it ends");
    assert_eq!(second.status.code(), Some(5), "{}", all(&second));
    assert!(stderr(&second).contains(&holder), "{}", stderr(&second));
}

#[test]
fn a_listener_that_comes_between_is_named() {
    let Some(python) = python() else {
        return;
    };
    let port = free_port().to_string();
    // The function itself never listens. A process that is none of its own does, as soon as it runs.
    let mut gateway = Command::new(PROGRAM)
        .args(["run", "--gateway", "127.0.0.1:0", "--port", &port])
        .args(["--", "sh", "-c", "echo started; exec sleep 60"])
        .env("NO_COLOR", "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut output = gateway.stdout.take().expect("its output");
    let mut started = [0; 64];
    // The error for callers comes last on this stream, so the first bytes are the log or it.
    let mut foreign = Command::new(&python)
        .arg(server("binds.py"))
        .envs([("FC_CUSTOM_LISTEN_PORT", port.as_str()), ("SHARED", "1")])
        .envs([("FC_FUNC_CODE_PATH", "."), ("FC_INSTANCE_ID", "foreign")])
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    let read = std::io::Read::read(&mut output, &mut started).expect("read");
    assert!(read > 0, "it writes something");
    let mut rest = String::new();
    let mut errors = gateway.stderr.take().expect("its errors");
    std::io::Read::read_to_string(&mut errors, &mut rest).expect("read");
    let status = gateway.wait().expect("it ends");
    let holder = format!(
        "(process {}), which is not part of the function",
        foreign.id()
    );
    foreign.kill().expect("killed");
    foreign.wait().expect("it ends");
    assert_eq!(status.code(), Some(4), "{rest}");
    assert!(rest.contains(&holder), "{rest}");
}

#[test]
fn binds_that_the_router_cannot_reach_are_told_apart() {
    let Some(python) = python() else {
        return;
    };
    let mut cases = vec![
        ("127.0.0.1".to_owned(), "listens on 127.0.0.1:"),
        ("127.0.0.2".to_owned(), "listens on 127.0.0.2:"),
        ("::1".to_owned(), "listens on [::1]:"),
        (":: only".to_owned(), "for IPv6 only"),
    ];
    let outside = outside_address();
    cases.extend(outside.map(|address| (address.to_string(), "one address of this machine")));
    let mut modes = vec!["--no-sandbox", "--network=host"];
    if kernel_allows() {
        modes.push("--network=own");
    }
    thread::scope(|scope| {
        for mode in modes {
            let (cases, python) = (&cases, &python);
            scope.spawn(move || {
                for (bind, expected) in cases {
                    let is_of_host = *expected == "one address of this machine";
                    let bind = match mode {
                        "--network=own" if is_of_host => "21.0.0.2",
                        _ => bind,
                    };
                    let port = free_port().to_string();
                    let bound = format!("BIND={bind}");
                    let output = coldstart(&[
                        "run",
                        "--gateway",
                        "127.0.0.1:0",
                        mode,
                        "--port",
                        &port,
                        "--env",
                        &bound,
                        "--",
                        python,
                        &server("binds.py"),
                    ]);
                    assert_eq!(
                        output.status.code(),
                        Some(4),
                        "{mode} {bind}: {}",
                        all(&output)
                    );
                    let seen = stderr(&output);
                    assert!(seen.contains(expected), "{mode} {bind}: {seen}");
                }
            });
        }
    });
}

#[test]
fn a_server_that_listens_and_then_exits_is_reported_with_its_last_lines() {
    let Some(python) = python() else {
        return;
    };
    let binds = server("binds.py");
    let port = free_port().to_string();
    let gateway = Gateway::start(&[
        "--port",
        &port,
        "--env",
        "LATE_EXIT=3",
        "--env",
        "LATE_SIGNAL=1",
        "--",
        &python,
        &binds,
    ]);
    let function = gateway.descendants().into_iter().find(|process| {
        let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
        name.starts_with("python")
    });
    let function = function.expect("it runs");
    let id = function.file_name().expect("a number");
    let sent = Command::new("kill").arg("-USR1").arg(id).status();
    assert!(sent.is_ok_and(|status| status.success()), "{function:?}");
    let seen = gateway.wait_for("    cannot load the model");
    assert!(
        seen.contains("the function ended with code 3; its last lines:"),
        "{seen}"
    );
    drop(gateway);
    // While the platform still initializes it, the start fails.
    let port = free_port().to_string();
    let output = coldstart(&[
        "run",
        "--gateway",
        "127.0.0.1:0",
        "--port",
        &port,
        "--initializer",
        "--env",
        "LATE_EXIT=3",
        "--",
        &python,
        &binds,
    ]);
    assert_eq!(output.status.code(), Some(4), "{}", all(&output));
    let seen = all(&output);
    assert!(
        seen.contains("the process ended with code 3 after it began to listen"),
        "{seen}"
    );
    assert!(
        seen.contains("\"CAExited\"") && seen.contains("cannot load the model"),
        "{seen}"
    );
}

#[test]
fn check_examines_servers_in_networks_of_their_own() {
    let Some(python) = sandboxed_python() else {
        return;
    };
    let port = free_port().to_string();
    let fixed = format!("OTHER_PORT={port}");
    let verdicts = |setting: &str| {
        let output = coldstart(&[
            "check",
            "--network",
            "own",
            "--port",
            &port,
            "--env",
            setting,
            "--only",
            "S3,S4,S7,K4,X1,X2",
            "--json",
            "--",
            &python,
            &server("server.py"),
        ]);
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let checks = report["checks"].as_array().expect("a list").clone();
        let verdict = |check: &Value| check["verdict"].as_str().expect("text").to_owned();
        checks.iter().map(verdict).collect::<Vec<_>>().join(" ")
    };
    // Python has no handler for SIGTERM, and is process 1.
    assert_eq!(verdicts("A=b"), "pass pass pass pass warn pass");
    assert_eq!(verdicts(&fixed), "pass warn pass pass warn skip");
}

#[test]
fn check_uses_this_machines_network_only_for_servers_that_need_it() {
    let Some(python) = sandboxed_python() else {
        return;
    };
    let database = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
    let address = database.local_addr().expect("its address");
    let needs = format!(
        "import os, socket\nif not os.environ.get('ALONE'): socket.create_connection(('127.0.0.1', {}))\n{}",
        address.port(),
        text("server.py")
    );
    let code = code_with(&[("needs.py", &needs)]);
    // A program that has the port here is not in the way of a network of its own.
    let holder = TcpListener::bind(("0.0.0.0", 0)).expect("a listener");
    let taken = holder.local_addr().expect("its address").port();
    let notes = |setting: &str, port: u16| {
        let source = code.path().to_str().expect("text");
        let port = port.to_string();
        let output = coldstart(&[
            "check", source, "--port", &port, "--env", setting, "--only", "S3,P0", "--", &python,
            "needs.py",
        ]);
        assert_eq!(output.status.code(), Some(0), "{}", all(&output));
        stderr(&output)
    };
    let moved = "it works in this machine's network only, so it is checked there";
    assert!(notes("A=b", free_port()).contains(moved));
    assert!(!notes("ALONE=1", taken).contains(moved));
}

#[test]
fn at_the_limit_of_processes_nothing_panics() {
    if !rustix::process::geteuid().is_root() {
        return skip("only root may use a user whose processes can be counted");
    }
    let code = code_with(&[("bootstrap", "#!/bin/sh\nexec sleep 60\n")]);
    for limit in 1..16 {
        let options = "run --gateway 127.0.0.1:0 --start-timeout 0.3";
        let (status, seen) = limited(code.path(), limit, options);
        assert!(matches!(status, Some(4 | 6)), "{limit}: {seen}");
    }
}

#[test]
fn at_the_limit_of_processes_a_check_blames_the_machine() {
    if !rustix::process::geteuid().is_root() {
        return skip("only root may use a user whose processes can be counted");
    }
    let Some(python) = sandboxed_python() else {
        return;
    };
    let start = format!("#!/bin/sh\nexec {python} server.py\n");
    let code = code_with(&[("bootstrap", &start), ("server.py", &text("server.py"))]);
    // The higher ones let the server start, and not as many threads as requests are sent at a time.
    for limit in [4, 8, 16, 24] {
        let (status, seen) = limited(code.path(), limit, "check");
        assert_eq!(status, Some(6), "{limit}: {seen}");
        let is_blamed = seen.contains("the checks were not finished: cannot start a ");
        assert!(limit < 8 || is_blamed, "{limit}: {seen}");
    }
}

/// Runs the program as a user who may have this many processes and threads. Nothing may panic.
fn limited(code: &Path, limit: u32, options: &str) -> (Option<i32>, String) {
    let program = program_for_all();
    let port = free_port().to_string();
    let output = Command::new("prlimit")
        .arg(format!("--nproc={limit}"))
        .arg(program.path().join("coldstart"))
        .args(options.split(' '))
        .args(["--port", &port])
        .current_dir(code)
        .env("NO_COLOR", "1")
        .uid(USER)
        .gid(USER)
        .output()
        .expect("prlimit runs");
    let seen = all(&output);
    assert!(!seen.contains("panicked"), "{limit}: {seen}");
    (output.status.code(), seen)
}

/// The users to try: this one, and where that is root one without any rights.
fn users() -> Vec<Option<u32>> {
    let mut users = vec![None];
    users.extend(rustix::process::geteuid().is_root().then_some(Some(USER)));
    users
}

fn run_as(user: Option<u32>, arguments: &[&str]) -> Output {
    let program = program_for_all();
    let mut command = Command::new(program.path().join("coldstart"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .env("NO_COLOR", "1");
    if let Some(user) = user {
        command.uid(user).gid(user).env("HOME", "/");
        // What root's own programs are found by, other users may not read.
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin");
    }
    command.output().expect("coldstart runs")
}

/// The program where every user may execute it.
fn program_for_all() -> tempfile::TempDir {
    let folder = open_folder();
    copy_program(&[], PROGRAM, &folder.path().join("coldstart"));
    folder
}

fn code_with(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = open_folder();
    for (name, content) in files {
        file(folder.path(), name, content, 0o755);
    }
    folder
}

fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("the mode");
    folder
}

fn text(name: &str) -> String {
    fs::read_to_string(server(name)).expect("a server")
}

fn facts(output: &str) -> Value {
    let (_, rest) = output
        .split_once("sees ")
        .unwrap_or_else(|| panic!("no facts in {output}"));
    let line = rest.lines().next().unwrap_or_default();
    // In the error for callers the same text is quoted.
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"))
}

/// Standard error first: it has the log as the function wrote it.
fn all(output: &Output) -> String {
    stderr(output) + &stdout(output)
}

fn python() -> Option<String> {
    interpreter(&["python3", "python"])
}

fn sandboxed_python() -> Option<String> {
    if kernel_allows() {
        // A version manager's shim below a home directory would not do for another user.
        let system = ["/usr/bin/python3", "/usr/local/bin/python3"];
        let found = system.into_iter().find(|path| Path::new(path).exists());
        found.map(str::to_owned).or_else(python)
    } else {
        skip("this kernel refuses namespaces");
        None
    }
}

/// Whether containers of another user can be run here.
pub(crate) fn runs_containers() -> bool {
    if !kernel_allows() {
        skip("this kernel refuses namespaces");
        return false;
    }
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        skip("a container of another user needs root");
    }
    is_root
}

/// What another program can do here, this one has to do as well.
fn kernel_allows() -> bool {
    Command::new("unshare")
        .args(["--user", "--map-root-user", "--pid", "--mount", "--net"])
        .args(["--fork", "--mount-proc", "true"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

pub(crate) fn skip(why: &str) {
    let line = format!("SKIPPED: {why}\n");
    std::io::stderr()
        .write_all(line.as_bytes())
        .expect("standard error");
}

/// This machine's address as others see it, if it has one. Nothing is sent.
fn outside_address() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    match socket.local_addr().ok()?.ip() {
        std::net::IpAddr::V4(address) if !address.is_loopback() => Some(address),
        std::net::IpAddr::V4(_) | std::net::IpAddr::V6(_) => None,
    }
}

/// Whether the process runs; a zombie does not, even if its parent has not noticed its end.
fn is_running(process: impl AsRef<Path>) -> bool {
    let stat = fs::read_to_string(process.as_ref().join("stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
