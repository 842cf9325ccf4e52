//! What keeps a function from starting, from the file to the last hook, and the error that callers get.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::Value;

use crate::support::{
    Gateway, PROGRAM, caller_error, coldstart, coldstart_in, descendants, file, free_port,
    interpreter, runs, server, stderr, stdout,
};

fn run_in(folder: &Path) -> (Value, String) {
    let port = free_port().to_string();
    let output = coldstart_in(
        folder,
        &["run", ".", "--gateway", "127.0.0.1:0", "--port", &port],
    );
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    (caller_error(&output), stderr(&output))
}

#[test]
fn a_missing_start_file_is_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let (error, reported) = run_in(folder.path());
    assert_eq!(error["Code"], "CAFileNotFound");
    assert!(
        error["Message"]
            .as_str()
            .expect("text")
            .ends_with("the file /code/bootstrap is not exist"),
        "{error}"
    );
    assert!(
        reported.contains("callers get 412 CAFileNotFound"),
        "{reported}"
    );
}

#[test]
fn a_start_file_without_the_execute_bit_is_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    file(folder.path(), "bootstrap", "#!/bin/sh\n", 0o644);
    let (error, reported) = run_in(folder.path());
    assert_eq!(error["Code"], "CAFilePermission");
    let message = error["Message"].as_str().expect("text");
    assert!(
        message.ends_with("bootstrap file don't have execute permissions"),
        "{error}"
    );
    assert!(reported.contains("chmod 755 bootstrap"), "{reported}");
}

#[test]
fn crlf_line_ends_are_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    file(
        folder.path(),
        "bootstrap",
        "#!/usr/bin/env bash\r\nexec true\r\n",
        0o755,
    );
    let (error, reported) = run_in(folder.path());
    assert_eq!(error["Code"], "CAExited");
    let message = error["Message"].as_str().expect("text");
    let start = "Function instance exited unexpectedly(code 127, message:key has expired) with start command \
                 '/code/bootstrap '. Logs:";
    assert!(message.starts_with(start), "{message}");
    assert!(
        message.contains("bash\\r") || message.contains("bash\r"),
        "{message}"
    );
    assert!(reported.contains("CRLF line endings"), "{reported}");
    assert!(
        reported.contains("sed -i 's/\\r$//' bootstrap"),
        "{reported}"
    );
}

#[test]
fn a_foreign_architecture_is_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut bytes = fs::read(env!("CARGO_BIN_EXE_coldstart")).expect("an executable");
    // The machine's number in the ELF header: 183 is ARM64.
    bytes[18..20].copy_from_slice(&183_u16.to_le_bytes());
    file(folder.path(), "bootstrap", bytes, 0o755);
    let (error, reported) = run_in(folder.path());
    let message = "Function instance exited unexpectedly(code 8, message:exec format error) with start command \
                   '/code/bootstrap '. Logs:";
    assert_eq!(
        (&error["Code"], &error["Message"]),
        (&"CAExited".into(), &message.into())
    );
    assert!(
        reported.contains("built for ARM64 (aarch64), but the platform is x86-64"),
        "{reported}"
    );
    // Before anything starts, `check` says the same, with what to do.
    let checked = coldstart_in(folder.path(), &["check", "--only", "S2"]);
    let report = stdout(&checked);
    assert_eq!(checked.status.code(), Some(1), "{report}");
    assert!(
        report.contains("FAIL S2") && report.contains("built for ARM64 (aarch64)"),
        "{report}"
    );
    assert!(report.contains("coldstart pack --image"), "{report}");
}

#[test]
fn a_command_that_does_not_exist_is_reported() {
    let port = free_port().to_string();
    let output = coldstart(&[
        "run",
        "--gateway",
        "127.0.0.1:0",
        "--port",
        &port,
        "--",
        "no-such-program",
        "x",
    ]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    let error = caller_error(&output);
    assert_eq!(error["Code"], "CAFileNotFound");
    assert_eq!(
        error["Message"],
        "Failed to start function instance. Error: the file no-such-program is not exist"
    );
    assert!(
        stderr(&output).contains("the command does not exist here"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_failed_health_check_is_reported() {
    let Some(python) = interpreter(&["python3", "python"]) else {
        return;
    };
    let port = free_port();
    let folder = tempfile::tempdir().expect("a folder");
    fs::copy(server("lab.py"), folder.path().join("lab.py")).expect("copied");
    let yaml = format!(
        "edition: 3.0.0\nname: lab\nresources:\n  lab:\n    component: fc3\n    props:\n      runtime: custom\n\
         \x20     environmentVariables: {{HEALTH: 500 Broken}}\n      code: .\n      customRuntimeConfig:\n\
         \x20       command: [{python}]\n        args: [lab.py]\n        port: {port}\n        healthCheckConfig:\n\
         \x20         httpGetUrl: /health\n          periodSeconds: 1\n          failureThreshold: 2\n"
    );
    file(folder.path(), "s.yaml", yaml, 0o644);
    let output = coldstart_in(folder.path(), &["run", "--gateway", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    let error = caller_error(&output);
    assert_eq!(error["Code"], "FunctionNotStarted");
    let message = error["Message"].as_str().expect("text");
    assert!(
        message.ends_with("check function health failed with status code: 500"),
        "{message}"
    );
}

#[test]
fn a_failed_initializer_is_reported() {
    let Some(python) = interpreter(&["python3", "python"]) else {
        return;
    };
    let port = free_port().to_string();
    let lab = server("lab.py");
    let options = [
        "run",
        "--gateway",
        "127.0.0.1:0",
        "--port",
        &port,
        "--initializer",
        "--env",
        "INITIALIZE=500 Broken",
    ];
    let mut all = options.to_vec();
    all.extend(["--", &python, &lab]);
    let output = coldstart(&all);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    let message = caller_error(&output)["Message"]
        .as_str()
        .expect("text")
        .to_owned();
    assert!(
        message.contains("POST /initialize: 500 no database"),
        "{message}"
    );
}

/// What a command writes, write by write.
fn writes(folder: &Path, arguments: &[&str], colors: &str) -> Vec<String> {
    // A datagram holds what one write brings, and an empty one says here that there are no more.
    let (reader, writer) = UnixDatagram::pair().expect("sockets");
    let reading = thread::spawn(move || {
        let mut buffer = [0; 65_536];
        let mut next = || reader.recv(&mut buffer).map(|len| buffer[..len].to_vec());
        let all = std::iter::from_fn(|| next().ok().filter(|bytes| !bytes.is_empty()));
        all.map(|bytes| String::from_utf8(bytes).expect("text"))
            .collect()
    });
    let output = || Stdio::from(OwnedFd::from(writer.try_clone().expect("a descriptor")));
    let mut command = Command::new(PROGRAM);
    let command = command.args(arguments).current_dir(folder);
    let command = command
        .env_remove("NO_COLOR")
        .env("CLICOLOR_FORCE", colors)
        .stdin(Stdio::null());
    command
        .stdout(output())
        .stderr(output())
        .status()
        .expect("it runs");
    writer.send(&[]).expect("sent");
    reading.join().expect("a list")
}

#[test]
fn each_line_is_written_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    for (colors, not_started) in [
        ("", "not started: callers get"),
        ("1", "not started:\u{1b}[0m callers get"),
    ] {
        let port = free_port().to_string();
        let run = ["run", ".", "--gateway", "127.0.0.1:0", "--port", &port];
        let writes = writes(folder.path(), &run, colors);
        let text = writes.concat();
        assert!(text.contains(not_started), "{text}");
        for write in writes {
            assert_eq!(write.find('\n'), write.len().checked_sub(1), "{write:?}");
        }
    }
}

#[test]
fn hooks_run_in_order_and_no_process_is_left() {
    let Some(mut gateway) = Gateway::lab(&[
        "--initializer",
        "--pre-stop",
        "--health",
        "/health",
        "--env",
        "EARLY=hooks-lab",
    ]) else {
        return;
    };
    gateway.call("GET", "/", "");
    let processes = gateway.descendants();
    assert!(!processes.is_empty(), "the function runs");
    assert_eq!(gateway.interrupt(), Some(0));
    let seen = gateway.wait_for("pre-stop: done");
    let at = |text: &str| {
        seen.find(text)
            .unwrap_or_else(|| panic!("no {text} in {seen}"))
    };
    // The function's own output arrives at any time. Only the platform's lines have an order.
    at("initialize /initialize");
    assert!(at("is healthy") < at("  initialize "), "{seen}");
    assert!(at("  initialize ") < at("  health "), "{seen}");
    assert!(at("  health ") < at("ready:"), "{seen}");
    assert!(at("ready:") < at("stopping"), "{seen}");
    for process in processes {
        assert!(!process.exists(), "{} runs", process.display());
    }
}

#[test]
fn an_interrupt_during_a_call_leaves_no_process() {
    let Some(mut gateway) = Gateway::lab(&["--freeze"]) else {
        return;
    };
    gateway.call("GET", "/", "");
    let processes = gateway.descendants();
    assert!(!processes.is_empty(), "the function runs");
    let mut stream = gateway.connect();
    std::io::Write::write_all(&mut stream, b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    gateway.wait_for(" never");
    assert_eq!(gateway.interrupt(), Some(0));
    for process in processes {
        assert!(!process.exists(), "{} runs", process.display());
    }
}

#[test]
fn the_timeline_is_printed() {
    let Some(gateway) = Gateway::lab(&["--initializer"]) else {
        return;
    };
    gateway.call("GET", "/", "");
    let seen = gateway.wait_for("first byte");
    for part in ["prepare", "launch", "listen", "initialize", "total"] {
        assert!(seen.contains(&format!("  {part}")), "{part} in {seen}");
    }
}

#[test]
fn unusable_sources_are_reported_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let yaml = file(folder.path(), "bad/s.yaml", "resources: [", 0o644);
    let zip = file(folder.path(), "broken.zip", "PK\x03\x04 and no more", 0o644);
    let elsewhere = file(
        folder.path(),
        "else/s.yaml",
        "resources: {a: {component: fc3, props: {code: ./none}}}",
        0o644,
    );
    let runtime = file(
        folder.path(),
        "rt/s.yaml",
        "resources: {a: {component: fc3, props: {runtime: python3.10}}}",
        0o644,
    );
    let cases = [
        ("/no/such/place", "cannot use /no/such/place"),
        (yaml.to_str().expect("text"), "malformed YAML"),
        (zip.to_str().expect("text"), "cannot extract"),
        (elsewhere.to_str().expect("text"), "props.code: "),
        (
            runtime.to_str().expect("text"),
            "`python3.10` is not a custom runtime",
        ),
    ];
    for (source, expected) in cases {
        let output = coldstart(&["run", "--gateway", "127.0.0.1:0", source]);
        assert_eq!(output.status.code(), Some(3), "{source}");
        let reported = stderr(&output);
        assert!(
            reported.starts_with("error: ") && reported.contains(expected),
            "{reported}"
        );
        assert_eq!(reported.lines().count(), 1, "{reported}");
        assert_eq!(stdout(&output), "", "{source}");
    }
}

#[test]
fn ports_in_use_are_reported() {
    let taken = std::net::TcpListener::bind("0.0.0.0:0").expect("a port");
    let port = taken.local_addr().expect("its number").port();
    let gateway = coldstart(&[
        "run",
        "--gateway",
        &format!("127.0.0.1:{port}"),
        "--",
        "true",
    ]);
    assert_eq!(gateway.status.code(), Some(5), "{}", stderr(&gateway));
    assert!(
        stderr(&gateway).contains("the gateway cannot listen on"),
        "{}",
        stderr(&gateway)
    );
    let function = coldstart(&[
        "run",
        "--gateway",
        "127.0.0.1:0",
        "--port",
        &port.to_string(),
        "--",
        "true",
    ]);
    assert_eq!(function.status.code(), Some(5), "{}", stderr(&function));
    assert!(
        stderr(&function).contains("the function's port"),
        "{}",
        stderr(&function)
    );
}

#[test]
fn a_process_that_left_its_group_is_killed_as_well() {
    let Some(python) = interpreter(&["python3", "python"]) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    // A number of seconds that no other process on this machine sleeps.
    let seconds = format!("{}", 600_000 + std::process::id());
    let script = format!(
        "#!/bin/sh\nsetsid sleep {seconds} >/dev/null 2>&1 &\nexec {python} {}\n",
        server("lab.py")
    );
    file(folder.path(), "bootstrap", script, 0o755);
    let port = free_port().to_string();
    let mut gateway = Gateway::start(&[folder.path().to_str().expect("text"), "--port", &port]);
    let own = format!("sleep {seconds}");
    assert!(runs(&own), "it was started");
    assert_eq!(gateway.interrupt(), Some(0));
    assert!(!runs(&own), "it still runs");
}

#[test]
fn an_interrupted_start_leaves_no_process() {
    let Some(python) = interpreter(&["python3", "python"]) else {
        return;
    };
    let port = free_port().to_string();
    let script = server("server.py");
    let mark = format!("DELAY=41.{port}");
    let program = env!("CARGO_BIN_EXE_coldstart");
    let mut process = Command::new(program)
        .args([
            "run",
            "--gateway",
            "127.0.0.1:0",
            "--port",
            &port,
            "--env",
            &mark,
            "--",
            &python,
            &script,
            &mark,
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let own = format!("server.py {mark}");
    let deadline = std::time::Instant::now() + crate::support::DEADLINE;
    while !runs(&format!("{script} {mark}")) || !started_by(process.id(), &own) {
        assert!(std::time::Instant::now() < deadline, "never launched");
        thread::sleep(std::time::Duration::from_millis(5));
    }
    let id = process.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .expect("kill")
            .success(),
        "signalled"
    );
    process.wait().expect("it ends");
    assert!(!runs(&own), "the function is gone");
}

/// Returns whether a descendant of the program has this text in its command line.
fn started_by(program: u32, text: &str) -> bool {
    descendants(program).iter().any(|process| {
        let line = fs::read(process.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line)
            .replace('\0', " ")
            .contains(text)
    })
}
