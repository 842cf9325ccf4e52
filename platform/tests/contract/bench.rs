//! `bench`: its output in every format, and commands that it cannot measure.

use crate::support::{coldstart, free_port, interpreter, server, stderr, stdout};

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
    assert!(
        html.starts_with("<!doctype html>") && html.matches("<svg").count() == 3,
        "{html}"
    );
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
