//! What differs on a system that shows nothing of processes and has no sandbox. These tests, and those of other files, are
//! built for it on Linux: `COLDSTART_SYSTEM=other cargo test`.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::sandbox::skip;
use crate::support::{
    DEADLINE, Gateway, coldstart, coldstart_in, file, free_port, interpreter, server, stderr,
    stdout,
};

/// A machine whose only address of loopback is 127.0.0.1, as on macOS.
const ONE_ADDRESS: &str = "ip link set lo up && ip address add 127.0.0.1/32 dev lo && ip address del 127.0.0.1/8 dev lo && exec \"$@\"";

/// Runs the checks with these ids on `mistakes.py`.
fn report(options: &[&str]) -> Option<(Value, String)> {
    let python = interpreter(&["python3", "python"])?;
    let port = free_port().to_string();
    let script = server("mistakes.py");
    let mut all = vec!["check", "--json", "--port", &port];
    all.extend(options);
    all.extend(["--", &python, &script]);
    Some(parsed(&coldstart(&all)))
}

fn parsed(output: &Output) -> (Value, String) {
    let said = stderr(output);
    let report = serde_json::from_slice(&output.stdout);
    (
        report.unwrap_or_else(|error| panic!("{error}: {said}")),
        said,
    )
}

/// The verdict and what was seen.
fn check<'a>(report: &'a Value, id: &str) -> (&'a str, &'a str) {
    let checks = report["checks"].as_array().expect("a list");
    let found = checks.iter().find(|check| check["id"] == id);
    let found = found.unwrap_or_else(|| panic!("no {id} in {report:#}"));
    let text = |key: &str| found[key].as_str().expect("text");
    (text("verdict"), text("seen"))
}

#[test]
fn what_is_not_seen_is_no_finding_and_says_why() {
    let Some((report, said)) = report(&["--only", "S3,S5,K4,C1,C2,C3,X1,R1,R2,R3"]) else {
        return;
    };
    for id in ["S3", "S5", "K4", "C1", "C2", "C3", "X1"] {
        assert_eq!(check(&report, id).0, "pass", "{report:#}");
    }
    for id in ["R1", "R2", "R3"] {
        let (verdict, seen) = check(&report, id);
        assert_eq!(verdict, "skip", "{report:#}");
        assert!(
            seen.starts_with("on this system it is not seen: "),
            "{seen}"
        );
    }
    let expected = "on this system there is no sandbox, and it is not seen which processes belong to the function";
    assert_eq!(said.matches(expected).count(), 1, "{said}");
    // This machine has 127.0.0.2.
    assert!(!said.contains("ifconfig"), "{said}");
}

#[test]
fn requests_that_may_wait_for_a_processor_are_not_called_serial() {
    let options = ["--env", "MISTAKE=serial", "--only", "C1"];
    let Some((report, _)) = report(&options) else {
        return;
    };
    let (verdict, seen) = check(&report, "C1");
    assert_eq!(verdict, "skip", "{seen}");
    assert!(
        seen.contains("on this system it is not seen whether they wait for each other"),
        "{seen}"
    );
}

#[test]
fn a_machine_with_one_address_of_loopback_is_told_how_to_get_another() {
    let (Some(python), Some(_)) = (interpreter(&["python3", "python"]), interpreter(&["ip"]))
    else {
        return;
    };
    let within = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command
            .args([
                "--user",
                "--map-root-user",
                "--net",
                "sh",
                "-c",
                ONE_ADDRESS,
                "sh",
            ])
            .args(words)
            .stdin(Stdio::null());
        command.output()
    };
    if !within(&["true"]).is_ok_and(|output| output.status.success()) {
        skip("this kernel refuses namespaces");
        return;
    }
    let program = env!("CARGO_BIN_EXE_coldstart");
    let script = server("server.py");
    for host in ["127.0.0.1", "0.0.0.0"] {
        let variable = format!("HOST={host}");
        let words = [
            program, "check", "--json", "--only", "S3,P0", "--env", &variable, "--", &python,
            &script,
        ];
        let (report, said) = parsed(&within(&words).expect("it runs"));
        let (verdict, seen) = check(&report, "S3");
        assert_eq!(verdict, "skip", "{report:#}");
        assert!(seen.contains("each server accepts on 127.0.0.1"), "{seen}");
        assert_eq!(check(&report, "P0").0, "pass", "{report:#}");
        assert!(said.contains("sudo ifconfig lo0 alias 127.0.0.2"), "{said}");
    }
}

#[test]
fn a_function_is_called_and_ends_with_the_gateway() {
    let Some(mut gateway) = Gateway::lab(&["--freeze"]) else {
        return;
    };
    assert_eq!(gateway.call("GET", "/", "").status, 200);
    assert_eq!(gateway.call("GET", "/", "").status, 200);
    let output = gateway.wait_for(" 200 in ");
    let line = output
        .lines()
        .find(|line| line.contains(" 200 in "))
        .expect("the line");
    assert!(!line.contains("memory"), "{line}");
    let processes = gateway.descendants();
    assert!(!processes.is_empty(), "{output}");
    assert_eq!(gateway.interrupt(), Some(0));
    let deadline = Instant::now() + DEADLINE;
    while processes.iter().any(|folder| folder.exists()) {
        assert!(Instant::now() < deadline, "{processes:?} are left");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_needs_linux_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    file(
        folder.path(),
        "Cargo.toml",
        "[package]\nname = \"a\"\n",
        0o644,
    );
    // No kernel executes a header without its rest.
    let broken = file(folder.path(), "bootstrap", b"\x7fELF", 0o755);
    let broken = broken.to_str().expect("text");
    for (arguments, status, expected) in [
        (
            &["run", "."][..],
            3,
            "build it for this machine, and name the program: cargo build && coldstart run -- target/debug/NAME",
        ),
        (&["run", broken], 4, "executables for Linux do not run here"),
        (
            &["run", "--network", "own", "--", "true"],
            6,
            "--network own needs a sandbox, and on this system there is none",
        ),
    ] {
        let port = free_port().to_string();
        let output = refused(folder.path(), arguments, &port);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(status), "{said}");
        assert!(said.contains(expected), "{expected} in {said}");
    }
}

fn refused(folder: &Path, arguments: &[&str], port: &str) -> Output {
    let [command, rest @ ..] = arguments else {
        panic!("no command");
    };
    let mut all = vec![*command, "--gateway", "127.0.0.1:0", "--port", port];
    all.extend(rest);
    coldstart_in(folder, &all)
}

#[test]
fn a_measurement_says_what_it_could_not_see() {
    let Some(python) = interpreter(&["python3", "python"]) else {
        return;
    };
    let port = free_port().to_string();
    let command = format!("{python} {}", server("server.py"));
    let options = [
        "bench",
        "--starts",
        "1",
        "--requests",
        "5",
        "--port",
        &port,
        "--command",
        &command,
    ];
    let chart = coldstart(&options);
    assert!(stdout(&chart).contains("not seen"), "{}", stdout(&chart));
    let expected = "servers and probe share all, none of which can be set aside here";
    assert!(stderr(&chart).contains(expected), "{}", stderr(&chart));
    let json = coldstart(&[&options[..], &["--json"]].concat());
    let numbers: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(numbers["commands"][0]["memory_kb"], Value::Null);
    assert_eq!(numbers["machine"]["load"], "not seen");
    assert_eq!(
        numbers["machine"]["server_processors"],
        serde_json::json!([])
    );
}
