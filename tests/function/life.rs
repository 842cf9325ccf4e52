//! Contract §4: keep-alive, freezing, hooks and the end of a process.

use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::platform::{Call, Connection, Instance, bootstrap, example, under_test, wait};
use crate::under_test::SHORT;

#[test]
fn one_connection_serves_a_thousand_calls_and_no_response_ends_it() {
    let instance = Instance::start(bootstrap());
    let mut connection = instance.connect();
    for round in 0..1000 {
        let call = match round % 2 {
            0 => Call::event("x"),
            _ => Call::http("GET", "/hello"),
        };
        let response = connection.call(&call);
        assert_eq!(
            (response.status, response.field("connection")),
            (200, None),
            "{round}"
        );
    }
}

#[test]
fn an_idle_connection_outlives_every_timeout() {
    let instance = Instance::start(under_test("short"));
    let mut never_used = instance.connect();
    let mut used = instance.connect();
    assert_eq!(used.call(&Call::event("before")).text(), "before");
    wait(SHORT * 3);
    assert_eq!(used.call(&Call::event("after")).text(), "after");
    assert_eq!(never_used.call(&Call::event("first")).text(), "first");
}

#[test]
fn a_thawed_instance_serves_the_waiting_call_and_has_the_right_date() {
    let instance = Instance::start(under_test("short"));
    let call = Call::event("payload".repeat(1000));
    let bytes = call.to_bytes();
    let (head, body) = bytes.split_at(bytes.len() - call.body.len());
    let mut idle = instance.connect();
    assert_eq!(idle.call(&call).status, 200);
    let (mut in_head, mut in_body) = loop {
        let since = Instant::now();
        // Two connections inside a request, so that their deadlines run.
        let mut in_head = instance.connect();
        in_head.send(&head[..40]);
        let mut in_body = instance.connect();
        in_body.send(head);
        in_body.send(&body[..3000]);
        // The loop has read from both.
        assert_eq!(idle.call(&call).status, 200);
        instance.signal("-STOP");
        if since.elapsed() < SHORT {
            break (in_head, in_body);
        }
        // The machine is busy and their deadlines passed before the freeze: try again.
        instance.signal("-CONT");
    };

    wait(SHORT * 4);
    idle.send(&bytes);
    in_head.send(&bytes[40..]);
    in_body.send(&body[3000..]);
    let thawed_at = unix_seconds();
    instance.signal("-CONT");
    for connection in [&mut idle, &mut in_head, &mut in_body] {
        let response = connection.response_to(&call);
        assert!(
            response.status == 200 && response.body == body,
            "{}",
            response.status
        );
        let date = seconds_of(response.field("date").unwrap());
        assert!(
            (thawed_at..=unix_seconds()).contains(&date),
            "{date} is not between {thawed_at} and now, {}",
            unix_seconds()
        );
    }
    let (_, _, stderr) = instance.stop();
    assert!(!stderr.contains("cut"), "{stderr}");
}

fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

fn seconds_of(date: &str) -> u64 {
    let output = Command::new("date")
        .args(["-u", "-d", date, "+%s"])
        .output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    text.trim().parse().unwrap()
}

#[test]
fn a_call_that_panics_does_not_affect_others() {
    for options in ["", "threads", "async", "async threads"] {
        let instance = Instance::start(under_test(options));
        let mut connections: Vec<Connection> = (0..60).map(|_| instance.connect()).collect();
        let call = |number: usize| match number % 3 {
            0 => Call::event("panic"),
            1 => Call::http("GET", "/panic"),
            _ => Call::event(format!("call {number}")),
        };
        for (number, connection) in connections.iter_mut().enumerate() {
            connection.send(&call(number).to_bytes());
        }
        for (number, connection) in connections.iter_mut().enumerate() {
            let response = connection.response_to(&call(number));
            let expected = [404, 500, 200][number % 3];
            assert_eq!(response.status, expected);
            assert!(expected != 200 || response.text() == format!("call {number}"));
        }
    }
}

#[test]
fn a_client_that_disconnects_during_a_request_does_not_affect_others() {
    let instance = Instance::start(under_test("threads"));
    for _ in 0..20 {
        let mut leaves = instance.connect();
        let bytes = Call::event("x".repeat(10_000)).to_bytes();
        leaves.send(&bytes[..bytes.len() - 1]);
        let mut leaves_later = instance.connect();
        leaves_later.send(&Call::http("GET", "/blocking-log").to_bytes());
    }
    assert_eq!(instance.call(&Call::event("well")).text(), "well");
}

#[test]
fn the_initializer_fails_without_5xx_and_succeeds_exactly_once() {
    for options in ["", "threads", "async", "async threads"] {
        let instance = Instance::start(under_test(options));
        let mut connection = instance.connect();
        let first = connection.call(&Call::initialize());
        let json = r#"{"errorMessage":"the first try fails","errorType":"NotYet","stackTrace":[]}"#;
        assert_eq!(first.outcome(), (404, "404", json.into()));
        let second = connection.call(&Call::initialize());
        let (status, signal, text) = second.outcome();
        assert_eq!((status, signal), (404, "404"));
        assert!(text.contains("the initializer's panic"), "{text}");
        for _ in 0..3 {
            let response = connection.call(&Call::initialize());
            assert_eq!(response.outcome(), (200, "200", String::new()));
        }
        let (status, stdout, _) = instance.stop();
        assert_eq!(status.code(), Some(0));
        assert_eq!(stdout.matches("[INFO] try ").count(), 3, "{stdout}");
        let reported = "[ERROR] Initialize failed: NotYet: the first try fails";
        assert!(stdout.contains(reported), "{stdout}");
    }
}

#[test]
fn hooks_run_and_their_failures_are_reported() {
    for options in ["", "async"] {
        let instance = Instance::start(under_test(options));
        let mut connection = instance.connect();
        for (call, said) in [
            (Call::pre_stop(), "stopping"),
            (Call::pre_freeze(), "freezing"),
        ] {
            let response = connection.call(&call);
            assert_eq!(response.outcome(), (200, "200", String::new()));
            instance.stdout_with(&format!("[INFO] {said}"));
            let response = connection.call(&call.field("x-fc-qualifier", "failing"));
            assert_eq!(
                (response.status, response.field("x-fc-status")),
                (404, Some("404"))
            );
        }
        instance.stdout_with("[ERROR] PreStop failed: FunctionError: the hook fails");
        instance.stdout_with("[ERROR] PreFreeze failed: FunctionError: the hook fails");
        assert_eq!(connection.call(&Call::event("alive")).text(), "alive");
    }
}

#[test]
fn hooks_without_a_handler_succeed() {
    for function in [bootstrap(), example("hello")] {
        let instance = Instance::start(function);
        for call in [Call::initialize(), Call::pre_stop(), Call::pre_freeze()] {
            assert_eq!(instance.call(&call).outcome(), (200, "200", String::new()));
        }
        // Without the field, the path decides.
        for (method, path) in [
            ("POST", "/initialize"),
            ("GET", "/pre-stop"),
            ("GET", "/pre-freeze"),
        ] {
            let response = instance.call(&Call::plain(method, path));
            assert_eq!(response.outcome(), (200, "200", String::new()));
        }
    }
}

#[test]
fn sigterm_lets_running_calls_finish_and_ends_with_0() {
    let started_at = Instant::now();
    for function in [bootstrap(), under_test("threads")] {
        let instance = Instance::start(function);
        let call = Call::event("x".repeat(5000));
        let bytes = call.to_bytes();
        let mut idle = instance.connect();
        let mut running = instance.connect();
        running.send(&bytes[..bytes.len() - 1]);
        // The loop has read the request.
        assert_eq!(idle.call(&call).status, 200);
        instance.signal("-TERM");
        let mut end = Vec::new();
        // The idle connection is closed: the stop has begun.
        assert!(std::io::Read::read_to_end(&mut idle.0, &mut end).is_ok());
        running.send(&bytes[bytes.len() - 1..]);
        assert_eq!(running.response_to(&call).text(), "x".repeat(5000));
        assert_eq!(instance.end().0.code(), Some(0));
    }
    assert!(
        started_at.elapsed().as_secs() < 20,
        "at most ten seconds for each"
    );
}
