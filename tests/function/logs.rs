//! Contract §5: log lines and marker lines.

use std::collections::HashMap;

use crate::platform::{Call, Connection, Instance, example, under_test};

/// Splits `<UTC yyyy-MM-ddTHH:mm:ss.fff> <requestId> [<Level>] <message>` into the parts after the time.
fn record(line: &str) -> Option<(&str, &str, &str)> {
    let (time, rest) = line.split_once(' ')?;
    let shape: String = time
        .chars()
        .map(|letter| if letter.is_ascii_digit() { '9' } else { letter })
        .collect();
    let (id, rest) = rest.split_once(" [")?;
    let (level, message) = rest.split_once("] ")?;
    (shape == "9999-99-99T99:99:99.999").then_some((id, level, message))
}

#[test]
fn a_line_has_time_request_id_level_and_message() {
    let instance = Instance::start(under_test(""));
    instance.call(&Call::event("log a message").request_id("the-id"));
    let stdout = instance.stdout_with("[INFO] a message");
    let records: Vec<_> = stdout.lines().filter_map(record).collect();
    let expected = [
        ("the-id", "WARN", "a message"),
        ("the-id", "INFO", "a message"),
    ];
    assert_eq!(records, expected, "{stdout}");
    instance.call(&Call::plain("POST", "/invoke").body("log nameless"));
    let stdout = instance.stdout_with("[INFO] nameless");
    let last = stdout.lines().filter_map(record).next_back();
    assert_eq!(last, Some(("-", "INFO", "nameless")), "{stdout}");
}

#[test]
fn each_of_200_concurrent_requests_logs_its_own_id() {
    for options in ["", "threads", "async", "async threads"] {
        let instance = Instance::start(under_test(options));
        let mut connections: Vec<Connection> = (0..200).map(|_| instance.connect()).collect();
        let call = |number: usize| {
            let token = format!("token-{number}");
            let call = match number % 6 {
                0 => Call::event(format!("log {token}")),
                1 => Call::http("GET", &format!("/log?{token}")),
                2 => Call::http("GET", &format!("/blocking-log?{token}")),
                3 => Call::http("GET", &format!("/future?{token}")),
                4 => Call::http("GET", &format!("/blocking-future?{token}")),
                _ => Call::http("GET", &format!("/promise?{token}")),
            };
            call.request_id(&format!("id-of-{token}"))
        };
        for (number, connection) in connections.iter_mut().enumerate() {
            connection.send(&call(number).to_bytes());
        }
        for (number, connection) in connections.iter_mut().enumerate() {
            assert_eq!(connection.response_to(&call(number)).status, 200);
        }
        let (_, stdout, _) = instance.stop();
        let mut seen = HashMap::new();
        for (id, _, message) in stdout.lines().filter_map(record) {
            assert_eq!(id, format!("id-of-{message}"), "{stdout}");
            *seen.entry(message.to_owned()).or_insert(0) += 1;
        }
        for number in 0..200 {
            let lines = if number % 6 == 0 { 2 } else { 1 };
            assert_eq!(seen.get(&format!("token-{number}")), Some(&lines));
        }
    }
}

#[test]
fn a_record_over_32_kb_is_split_into_marked_parts() {
    let instance = Instance::start(under_test(""));
    let message = "0123456789abcdéf".repeat(4500);
    instance.call(&Call::event(format!("log {message}")).request_id("long"));
    let (_, stdout, _) = instance.stop();
    let parts: Vec<_> = stdout
        .lines()
        .filter(|line| line.contains("[WARN]"))
        .collect();
    assert_eq!(parts.len(), 3);
    assert!(
        parts.iter().all(|part| part.len() < 32 * 1024),
        "each part fits"
    );
    let mut whole = String::new();
    for (place, part) in parts.iter().enumerate() {
        let (id, _, text) = record(part).unwrap();
        assert_eq!(id, "long");
        whole.push_str(text.strip_suffix(&format!(" ({}/3)", place + 1)).unwrap());
    }
    assert!(whole == message, "no byte is lost");
}

#[test]
fn a_message_of_many_lines_stays_one_record() {
    let instance = Instance::start(under_test(""));
    let forged = "2026-01-01T00:00:00.000 other [ERROR] forged";
    instance.call(&Call::event(format!("log first\n{forged}\nlast\n")).request_id("mine"));
    let (_, stdout, _) = instance.stop();
    let records: Vec<_> = stdout.lines().filter_map(record).collect();
    assert_eq!(
        records,
        [("mine", "WARN", "first"), ("mine", "INFO", "first")],
        "{stdout}"
    );
    assert!(
        stdout.contains(&format!("first\n\t{forged}\n\tlast\n")),
        "{stdout}"
    );
}

#[test]
fn no_text_and_no_id_forges_a_record_or_commands_a_terminal() {
    let instance = Instance::start(under_test("markers"));
    let text = "a\rb\u{1b}[2Jc\u{9b}d\u{85}e\u{2028}f\u{7f}\tg\r\nh";
    let forged = "x [ERROR] forged, Error: Unhandled function error";
    instance.call(&Call::event(format!("log {text}")).request_id(forged));
    let (_, stdout, _) = instance.stop();
    let id = "x__ERROR__forged,_Error:_Unhandled_function_error";
    let message = "ab\u{fffd}[2Jc\u{fffd}d\u{fffd}e\u{fffd}f\u{fffd}\tg";
    let records: Vec<_> = stdout.lines().filter_map(record).collect();
    assert_eq!(
        records,
        [(id, "WARN", message), (id, "INFO", message)],
        "{stdout}"
    );
    assert!(stdout.contains("\tg\n\th\n"), "{stdout:?}");
    let end = format!("\nFC Invoke End RequestId: {id}\n");
    assert!(stdout.contains(&end), "{stdout:?}");
}

#[test]
fn printed_text_is_written_before_the_response() {
    let instance = Instance::start(under_test(""));
    let response = instance.call(&Call::event("print without an end"));
    instance.signal("-STOP");
    assert_eq!(response.status, 200);
    // The process is stopped and cannot write: the text was written before.
    instance.stdout_with("without an end");
    instance.signal("-CONT");
}

#[test]
fn markers_are_off_by_default() {
    for function in [under_test(""), example("hello")] {
        let instance = Instance::start(function);
        instance.call(&Call::event("panic"));
        instance.call(&Call::http("GET", "/"));
        instance.call(&Call::pre_stop());
        let (_, stdout, _) = instance.stop();
        assert!(!stdout.contains("FC "), "{stdout}");
    }
}

#[test]
fn markers_enclose_each_call_and_name_failures() {
    for options in [
        "markers",
        "markers threads",
        "markers async",
        "markers async threads",
    ] {
        let instance = Instance::start(under_test(options));
        let failed = ", Error: Unhandled function error";
        let cases = [
            (Call::event("well"), "Invoke", ""),
            (Call::event("fail it"), "Invoke", failed),
            (Call::event("panic"), "Invoke", failed),
            (Call::http("GET", "/teapot"), "Invoke", ""),
            (Call::http("GET", "/panic"), "Invoke", failed),
            (Call::http("GET", "/refuse"), "Invoke", ""),
            (Call::http("GET", "/future"), "Invoke", ""),
            (Call::http("GET", "/future?panic"), "Invoke", failed),
            (Call::http("POST", "/upload").body("fine"), "Invoke", ""),
            (
                Call::http("POST", "/upload").body("panic"),
                "Invoke",
                failed,
            ),
            (Call::http("POST", "/pull").body("fine"), "Invoke", ""),
            (Call::http("POST", "/pull").body("panic"), "Invoke", failed),
            (Call::initialize(), "Initialize", failed),
            (Call::initialize(), "Initialize", failed),
            (Call::initialize(), "Initialize", ""),
            (Call::pre_freeze(), "PreFreeze", ""),
            (Call::pre_stop(), "PreStop", ""),
        ];
        let mut expected = String::new();
        for (number, (call, name, end)) in cases.into_iter().enumerate() {
            instance.call(&call.request_id(&number.to_string()));
            expected.push_str(&format!(
                "FC {name} Start RequestId: {number}\nFC {name} End RequestId: {number}{end}\n"
            ));
        }
        let (_, stdout, _) = instance.stop();
        let markers: Vec<_> = stdout
            .lines()
            .filter(|line| line.starts_with("FC "))
            .collect();
        assert_eq!(markers.join("\n") + "\n", expected);
    }
}
