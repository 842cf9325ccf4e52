//! `bench`: its output in every format, and commands that it cannot measure.

use std::process::Command;

use crate::support::{coldstart, file, free_port, interpreter, server, stderr, stdout};

#[test]
fn commands_are_measured_and_compared() {
    let Some(python) = interpreter(&["python3", "python"]) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("bench.html");
    let page = page.to_str().expect("text");
    let port = free_port().to_string();
    let slow = format!("{python} {}", server("server.py"));
    let lab = format!("{python} {}", server("lab.py"));
    let options = [
        "bench",
        "--starts",
        "2",
        "--requests",
        "20",
        "--port",
        &port,
        "--command",
        &slow,
        "--command",
        &lab,
    ];
    let output = coldstart(&[&options[..], &["--html", page]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let chart = stdout(&output);
    for expected in [
        "cold start to first byte",
        "warm request",
        "×1.00",
        "▏",
        " MB",
    ] {
        assert!(
            chart.contains(expected) || chart.contains('█'),
            "{expected} in {chart}"
        );
    }
    let html = std::fs::read_to_string(page).expect("the page");
    is_readable(&html);
    assert!(!html.contains("http"), "the page is self-contained");
    let output = coldstart(&[&options[..], &["--json"]].concat());
    let numbers: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let commands = numbers["commands"].as_array().expect("a list");
    assert_eq!(commands.len(), 2);
    for command in commands {
        assert_eq!(command["warm"]["count"], 20);
        assert_eq!(command["listen"]["count"], 2);
        let median = |part: &str| command[part]["median"].as_f64().unwrap_or_default();
        assert!(
            median("listen") > 0.0 && median("first_byte") > median("listen"),
            "{command}"
        );
        let probing = &command["probing"];
        let spent = probing["connect"]["median"].as_f64().unwrap_or_default();
        let gap = probing["gap"]["median"].as_f64().unwrap_or_default();
        assert!(spent > 0.0 && gap > 0.0, "{command}");
    }
    for processors in ["probe_processors", "server_processors"] {
        let list = numbers["machine"][processors].as_array();
        // On another system than Linux none can be set aside.
        let is_named = list.is_some_and(|list| !list.is_empty());
        assert_eq!(is_named, cfg!(on_linux), "{numbers}");
    }
}

/// Has the page what a reader needs, in each of its parts?
fn is_readable(html: &str) {
    // A strip for each command and an axis, for each of the three measurements.
    assert_eq!(html.matches("<svg").count(), 3 * 3, "{html}");
    for expected in [
        "<!doctype html>",
        "prefers-color-scheme: dark",
        "<dt>date</dt><dd>20",
        "<dt>machine</dt>",
        "<dt>server</dt><dd>Python 3",
        "text-anchor=\"end\"",
    ] {
        assert!(html.contains(expected), "{expected} in {html}");
    }
}

#[test]
fn a_page_that_cannot_be_written_is_refused_before_anything_is_measured() {
    let folder = tempfile::tempdir().expect("a folder");
    for path in ["missing/bench.html", "."] {
        let page = folder.path().join(path);
        let page = page.to_str().expect("text");
        // `true` does not serve: had it been started, its failure would be reported.
        let output = coldstart(&["bench", "--command", "true", "--html", page]);
        assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
        assert!(
            stderr(&output).starts_with("error: cannot write"),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn a_server_that_outlives_its_start_is_not_measured_as_the_next_one() {
    let Some(python) = interpreter(&["python3", "python"]) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!(
        "#!/bin/sh\nsetsid sh -c 'echo $$ >> {}; exec {python} {}' &\nsleep 60\n",
        folder.path().join("started").display(),
        server("server.py")
    );
    file(folder.path(), "wrapper", text, 0o755);
    let port = free_port().to_string();
    let directory = folder.path().to_str().expect("text");
    let options = [
        "bench",
        "--directory",
        directory,
        "--port",
        &port,
        "--starts",
        "3",
        "--requests",
        "5",
    ];
    let output = coldstart(&[&options[..], &["--json", "--command", "./wrapper"]].concat());
    // Where a stop ends even such a server, each start is measured; elsewhere the next start is refused.
    if output.status.code() == Some(0) {
        let numbers: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(numbers["commands"][0]["listen"]["count"], 3);
    } else {
        assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
        // A command that sees no processes leaves it to this test.
        let started = std::fs::read_to_string(folder.path().join("started"));
        let started = started.expect("a server was started");
        let _ended = Command::new("kill").arg(started.trim()).output();
        assert!(stderr(&output).contains(&port), "{}", stderr(&output));
    }
}

#[test]
fn a_command_that_does_not_start_is_an_error() {
    let port = free_port().to_string();
    let output = coldstart(&["bench", "--port", &port, "--command", "true"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(
        stderr(&output).starts_with("error: `true` did not start"),
        "{}",
        stderr(&output)
    );
}
