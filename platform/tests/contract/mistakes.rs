//! Each check finds the mistake that it is for: a server that keeps every rule but one.

use serde_json::Value;

use crate::support::{coldstart_in, free_port, interpreter, server, stderr};

/// The report on a server with this mistake.
fn report(mistake: &str, options: &[&str]) -> Option<Value> {
    let python = interpreter(&["python3", "python"])?;
    let folder = tempfile::tempdir().expect("a folder");
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
        let may_skip = ["S1", "S2", "S6", "L3"].contains(&check["id"].as_str().expect("an id"));
        assert!(
            check["verdict"] == "pass" || (may_skip && check["verdict"] == "skip"),
            "{check:#}"
        );
    }
}

fn is_found(mistake: &str, options: &[&str], id: &str, verdict: &str, words: &str) {
    let Some(report) = report(mistake, options) else {
        return;
    };
    let check = check(&report, id);
    assert_eq!(check["verdict"], verdict, "{check:#}");
    let all = format!("{} {} {}", check["seen"], check["caller"], check["mend"]);
    assert!(all.contains(words), "{words} in {check:#}");
}

macro_rules! mistakes {
    ($($name:ident: $mistake:literal, $options:expr => $id:literal $verdict:literal $words:literal;)*) => {$(
        #[test]
        fn $name() {
            is_found($mistake, &$options, $id, $verdict, $words);
        }
    )*};
}

mistakes! {
    one_worker: "one-worker", ["--only", "S5"] => "S5" "fail" "ThreadingHTTPServer";
    variables_that_must_be_there: "needs-variables", ["--only", "S4,S7"] => "S7" "warn" "treat an empty one as absent";
    small_bodies: "small-body", ["--only", "P1"] => "P1" "fail" "an event of 32 MB";
    no_empty_event: "no-empty-event", ["--only", "P1"] => "P1" "fail" "an empty event is answered 500";
    small_heads: "small-head", ["--only", "P4"] => "P4" "fail" "headers of 8 KB: answered 431";
    big_answer_heads: "big-answer-head", ["--only", "P2,P5"] => "P5" "warn" "BadResponse";
    events_at_once: "whole-events", ["--only", "P6", "--stream-path", "/events"] => "P6" "fail" "without Transfer-Encoding";
    a_body_after_head: "head-body", ["--only", "P7"] => "P7" "fail" "HEAD";
    unused_connections: "unused", ["--only", "S4,K1b"] => "K1b" "warn" "an idle connection was closed after 2";
    a_maximum_of_requests: "max-requests", ["--only", "K2"] => "K2" "fail" "request 101 on one connection";
    closing_answers: "closes", ["--only", "P2,K3"] => "K3" "fail" "7 of 7 answers close";
    timers_in_a_freeze: "freeze", ["--only", "S4,K4"] => "K4" "fail" "after 3 s frozen";
    initializing_once: "initialize-once", ["--only", "H1", "--initializer"] => "H1" "fail" "POST /initialize answered 500";
    failing_pre_stop: "pre-stop-fails", ["--only", "S4,H2", "--pre-stop"] => "H2" "fail" "GET /pre-stop answered 500";
    mixed_up_answers: "mixed-up", ["--only", "C1"] => "C1" "fail" "another caller's request";
    a_crash: "crash", ["--only", "C2", "--fault-path", "/fault"] => "C2" "fail" "the process ended after /fault";
    dying_with_clients: "dies-with-clients", ["--only", "C3"] => "C3" "fail" "the process ended after clients left";
    unmarked_failures: "unmarked", ["--only", "E1", "--fault-path", "/fault"] => "E1" "warn" "500 without x-fc-status";
    late_logs: "late-log", ["--only", "L1"] => "L1" "warn" "only after the answer";
    buffered_logs: "buffered-log", ["--only", "L1"] => "L1" "warn" "when the process ended";
    secrets_in_logs: "logs-secrets", ["--only", "P2,L2"] => "L2" "fail" "do not log headers";
    unbalanced_markers: "unbalanced", ["--only", "P2,L3"] => "L3" "warn" "starts without an end";
    deaf_to_sigterm: "deaf", ["--only", "S4,X1"] => "X1" "warn" "still running 10 s after SIGTERM";
    cutting_off: "cuts-off", ["--only", "S4,X1"] => "X1" "warn" "the request in flight was cut off";
    silence_about_the_port: "silent-port", ["--only", "S4,X2"] => "X2" "warn" "a port that is no number";
    a_leak: "leak", ["--only", "R1"] => "R1" "warn" " MB in ";
    open_descriptors: "descriptors", ["--only", "K2,R2"] => "R2" "warn" "descriptors stay open";
}

#[test]
fn a_slow_health_path_is_found_at_the_start() {
    // The first check of the start fails already, so nothing else can be examined.
    is_found(
        "slow-health",
        &["--health", "/health", "--only", "S3,H4"],
        "S3",
        "fail",
        "answered nothing in time",
    );
}

#[test]
fn code_that_must_be_writable_is_found() {
    let Some(report) = report("writes-code", &["--only", "S4,S6"]) else {
        return;
    };
    let verdict = check(&report, "S6")["verdict"].clone();
    // Skipped where another user cannot reach the interpreter.
    assert!(verdict == "warn" || verdict == "skip", "{report:#}");
}
