//! Each check finds the mistake that it is for: a server that keeps every rule but one.

use serde_json::Value;

use crate::support::{coldstart_in, free_port, interpreter, server, stderr};

/// The report on a server with this mistake.
fn report(mistake: &str, options: &[&str]) -> Option<Value> {
    report_with(mistake, options, "")
}

/// The same with more `props` in an s.yaml.
fn report_with(mistake: &str, options: &[&str], props: &str) -> Option<Value> {
    let python = interpreter(&["python3", "python"])?;
    let folder = tempfile::tempdir().expect("a folder");
    if !props.is_empty() {
        let text = format!(
            "edition: 3.0.0\nname: a\nresources:\n  a:\n    component: fc3\n    props:\n      \
             functionName: a\n      runtime: custom.debian12\n      code: ./\n      {props}\n"
        );
        std::fs::write(folder.path().join("s.yaml"), text).expect("written");
    }
    std::fs::copy(server("mistakes.py"), folder.path().join("mistakes.py")).expect("copied");
    let port = free_port().to_string();
    let mistake = format!("MISTAKE={mistake}");
    let mut all = vec!["check", "--json", "--port", &port, "--env", &mistake];
    all.extend(options);
    all.extend(["--", &python, "mistakes.py"]);
    let output = coldstart_in(folder.path(), &all);
    let text = stderr(&output);
    Some(serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {text}")))
}

fn check<'a>(report: &'a Value, id: &str) -> &'a Value {
    let checks = report["checks"].as_array().expect("a list");
    checks
        .iter()
        .find(|check| check["id"] == id)
        .unwrap_or_else(|| panic!("no {id} in {report:#}"))
}

#[test]
fn without_a_mistake_every_check_passes() {
    let options = [
        "--initializer",
        "--pre-stop",
        "--health",
        "/health",
        "--fault-path",
        "/fault",
        "--stream-path",
        "/events",
    ];
    let Some(report) = report("", &options) else {
        return;
    };
    for check in report["checks"].as_array().expect("a list") {
        // A command needs no start file, markers are off, and another user may not reach this machine's interpreter.
        let id = check["id"].as_str().expect("an id");
        let is_unseen = cfg!(not(on_linux)) && ["R1", "R2", "R3"].contains(&id);
        let may_skip = ["S1", "S2", "S6", "L3"].contains(&id) || is_unseen;
        assert!(
            check["verdict"] == "pass" || (may_skip && check["verdict"] == "skip"),
            "{check:#}"
        );
    }
}

/// Does the check with this id come to this verdict, in these words?
fn is_found(mistake: &str, options: &[&str], [id, verdict]: [&str; 2], words: &str) {
    let Some(report) = report(mistake, options) else {
        return;
    };
    let check = check(&report, id);
    assert_eq!(check["verdict"], verdict, "{check:#}");
    let all = format!("{} {} {}", check["seen"], check["caller"], check["fix"]);
    assert!(all.contains(words), "{words} in {check:#}");
}

#[test]
fn a_server_with_one_worker_is_found() {
    let options = ["--only", "S5"];
    is_found(
        "one-worker",
        &options,
        ["S5", "fail"],
        "ThreadingHTTPServer",
    );
}

#[test]
fn variables_that_must_be_there_are_found() {
    let options = ["--only", "S7"];
    is_found(
        "needs-variables",
        &options,
        ["S7", "warn"],
        "treat an empty one as absent",
    );
}

#[test]
fn a_limit_of_small_bodies_is_found() {
    let options = ["--only", "P1"];
    is_found("small-body", &options, ["P1", "fail"], "an event of 32 MB");
}

#[test]
fn a_parser_of_empty_events_is_found() {
    let options = ["--only", "P1"];
    is_found(
        "no-empty-event",
        &options,
        ["P1", "fail"],
        "an empty event: 500",
    );
}

#[test]
fn responses_without_an_end_are_found() {
    let Some(report) = report_with("endless", &["--only", "P0", "."], "timeout: 2") else {
        return;
    };
    let check = check(&report, "P0");
    assert_eq!(check["verdict"], "fail", "{check:#}");
    let seen = check["seen"].as_str().expect("text");
    assert!(
        seen.contains("neither Content-Length nor chunked"),
        "{seen}"
    );
    let fix = check["fix"].as_str().expect("text");
    assert!(fix.contains("self.send_header('Content-Length'"), "{fix}");
}

#[test]
fn a_limit_of_small_heads_is_found() {
    let options = ["--only", "P4"];
    is_found(
        "small-head",
        &options,
        ["P4", "fail"],
        "headers of 8 KB: 431",
    );
}

#[test]
fn responses_with_big_heads_are_found() {
    let options = ["--only", "P2,P5"];
    is_found("big-response-head", &options, ["P5", "warn"], "BadResponse");
}

#[test]
fn events_that_come_at_once_are_found() {
    let options = ["--only", "P6", "--stream-path", "/events"];
    is_found(
        "whole-events",
        &options,
        ["P6", "fail"],
        "without Transfer-Encoding",
    );
}

#[test]
fn a_body_after_head_is_found() {
    let options = ["--only", "P7"];
    is_found("head-body", &options, ["P7", "fail"], "HEAD");
}

#[test]
fn closing_unused_connections_is_found() {
    let options = ["--only", "K1b"];
    is_found(
        "unused",
        &options,
        ["K1b", "warn"],
        "an idle connection was closed after 4",
    );
}

#[test]
fn a_maximum_of_requests_is_found() {
    let options = ["--only", "K2"];
    is_found(
        "max-requests",
        &options,
        ["K2", "fail"],
        "closed before request 101",
    );
}

#[test]
fn a_maximum_age_is_no_maximum_of_requests() {
    let options = ["--only", "K2"];
    is_found("slow-max-age", &options, ["K2", "fail"], " at the age of ");
}

#[test]
fn closing_responses_are_found() {
    let options = ["--only", "P2,K3", "--no-sandbox"];
    is_found("closes", &options, ["K3", "fail"], "8 of 8 responses close");
}

#[test]
fn timers_that_expire_in_a_freeze_are_found() {
    let options = ["--only", "K4"];
    is_found("freeze", &options, ["K4", "fail"], "after 3 s frozen");
}

#[test]
fn an_initializer_that_works_once_is_found() {
    let options = ["--only", "H1", "--initializer"];
    is_found(
        "initialize-once",
        &options,
        ["H1", "fail"],
        "POST /initialize: 500",
    );
}

#[test]
fn a_failing_pre_stop_is_found() {
    let options = ["--only", "H2", "--pre-stop"];
    is_found(
        "pre-stop-fails",
        &options,
        ["H2", "fail"],
        "GET /pre-stop: 500",
    );
}

#[test]
fn mixed_up_responses_are_found() {
    let options = ["--only", "C1"];
    is_found(
        "mixed-up",
        &options,
        ["C1", "fail"],
        "another caller's request",
    );
}

#[test]
fn a_crash_is_found() {
    let options = ["--only", "C2", "--fault-path", "/fault"];
    is_found(
        "crash",
        &options,
        ["C2", "fail"],
        "the process ended after POST /fault",
    );
}

#[test]
fn dying_with_callers_is_found() {
    let options = ["--only", "C3"];
    is_found(
        "dies-with-callers",
        &options,
        ["C3", "fail"],
        "the process ended after callers left",
    );
}

#[test]
fn unmarked_failures_are_found() {
    let options = ["--only", "E1", "--fault-path", "/fault"];
    is_found(
        "unmarked",
        &options,
        ["E1", "warn"],
        "500 without x-fc-status",
    );
}

#[test]
fn late_logs_are_found() {
    let options = ["--only", "L1"];
    is_found(
        "late-log",
        &options,
        ["L1", "warn"],
        "after the response only",
    );
}

#[test]
fn buffered_logs_are_found() {
    let options = ["--only", "L1"];
    is_found(
        "buffered-log",
        &options,
        ["L1", "warn"],
        "a buffer held them",
    );
}

#[test]
fn secrets_in_logs_are_found() {
    let options = ["--only", "P2,L2"];
    is_found(
        "logs-secrets",
        &options,
        ["L2", "fail"],
        "log neither all headers",
    );
}

#[test]
fn unbalanced_markers_are_found() {
    let options = ["--only", "P2,L3"];
    is_found(
        "unbalanced",
        &options,
        ["L3", "warn"],
        "starts without an end",
    );
}

#[test]
fn ignoring_sigterm_is_found() {
    let options = ["--only", "X1"];
    is_found(
        "ignores-sigterm",
        &options,
        ["X1", "warn"],
        "still running 10 s after SIGTERM",
    );
}

#[test]
fn cutting_off_requests_is_found() {
    let options = ["--only", "X1"];
    is_found(
        "cuts-off",
        &options,
        ["X1", "warn"],
        "the request in flight was cut off",
    );
}

#[test]
fn silence_about_the_port_is_found() {
    let options = ["--only", "X2"];
    is_found(
        "silent-port",
        &options,
        ["X2", "warn"],
        "a port that is not a number",
    );
}

#[test]
#[cfg_attr(not(on_linux), ignore = "memory is not seen")]
fn a_leak_is_found() {
    let options = ["--only", "R1"];
    is_found("leak", &options, ["R1", "warn"], " requests");
}

#[test]
#[cfg_attr(not(on_linux), ignore = "descriptors are not seen")]
fn descriptors_left_open_are_found() {
    let options = ["--only", "R2"];
    is_found(
        "descriptors",
        &options,
        ["R2", "warn"],
        "descriptors of 200 requests stay open",
    );
}

#[test]
fn a_slow_health_path_is_found_at_the_start() {
    // The first check of the start fails already, so nothing else can be examined.
    let options = ["--health", "/health", "--only", "S3,H4"];
    is_found("slow-health", &options, ["S3", "fail"], "nothing in time");
}

#[test]
fn code_that_must_be_writable_is_found() {
    let Some(report) = report("writes-code", &["--only", "S6"]) else {
        return;
    };
    let verdict = check(&report, "S6")["verdict"].clone();
    // Skipped where another user cannot reach the interpreter.
    assert!(verdict == "warn" || verdict == "skip", "{report:#}");
}
