//! What the gateway forwards in both directions, and the responses of its own.

use std::fs;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{DEADLINE, Gateway, Reply, file, free_port, interpreter, server};

const INVOCATIONS: &str = "/2023-03-30/functions/local/invocations";

#[test]
fn http_calls_carry_the_platforms_fields() {
    let Some(gateway) = Gateway::lab(&[]) else {
        return;
    };
    let target = "/a%20b/%E4%BD%A0?x=1&y=%2F";
    let reply = gateway.call_with(
        "PUT",
        target,
        &["X-Fc-Function-Name: forged", "X-Client: kept"],
        "body",
    );
    let seen = reply.json();
    assert_eq!(
        (&seen["method"], &seen["target"], &seen["body"]),
        (&"PUT".into(), &target.into(), &"body".into())
    );
    let headers = &seen["headers"];
    for (name, value) in [
        ("x-fc-control-path", "/http-invoke"),
        ("x-fc-function-name", "local"),
        ("x-fc-function-memory", "512"),
        ("x-fc-base-path", "/a%20b/%E4%BD%A0"),
        ("x-fc-service-name", ""),
        ("x-fc-version-id", ""),
        ("x-client", "kept"),
    ] {
        assert_eq!(headers[name], value, "{name} in {headers}");
    }
    let names = [
        "request-id",
        "access-key-id",
        "access-key-secret",
        "security-token",
        "account-id",
        "region",
        "qualifier",
    ];
    for name in names {
        let value = headers[format!("x-fc-{name}")].as_str().unwrap_or_default();
        assert!(!value.is_empty(), "x-fc-{name} in {headers}");
    }
    assert!(
        headers.get("connection").is_none() && headers.get("keep-alive").is_none(),
        "{headers}"
    );
    let id = headers["x-fc-request-id"].as_str().expect("text");
    assert!(
        reply.head.contains(&format!("x-fc-request-id: {id}")),
        "{}",
        reply.head
    );
    assert!(reply.head.contains("x-own: yes"), "{}", reply.head);
    // The function's `Date` is replaced by the platform's.
    assert_eq!(
        reply.head.matches("\r\ndate: ").count(),
        1,
        "{}",
        reply.head
    );
    for reserved in ["server:", "x-fc-secret", "1970"] {
        assert!(
            !reply.head.contains(reserved),
            "{reserved} in {}",
            reply.head
        );
    }
}

#[test]
fn a_user_route_named_like_the_platforms_stays_an_http_call() {
    let Some(gateway) = Gateway::lab(&[]) else {
        return;
    };
    let seen = gateway.call("GET", "/invoke?mine", "").json();
    assert_eq!(seen["headers"]["x-fc-control-path"], "/http-invoke");
}

#[test]
fn api_calls_return_only_the_body() {
    let Some(gateway) = Gateway::lab(&[]) else {
        return;
    };
    let reply = gateway.call("POST", INVOCATIONS, "12345");
    assert_eq!((reply.status, reply.body.as_str()), (200, "event of 5"));
    assert!(!reply.head.contains("x-own"), "{}", reply.head);
    assert!(reply.head.contains("x-fc-request-id: 1-"), "{}", reply.head);
    let failed = gateway.call("POST", INVOCATIONS, "fail");
    assert_eq!((failed.status, failed.body.as_str()), (200, "it failed"));
    assert!(
        failed
            .head
            .contains("x-fc-error-type: unhandledinvocationerror"),
        "{}",
        failed.head
    );
    gateway.wait_for("function error");
}

#[test]
fn asynchronous_calls_get_202_and_run_later() {
    let Some(gateway) = Gateway::lab(&[]) else {
        return;
    };
    let reply = gateway.call_with(
        "POST",
        INVOCATIONS,
        &["X-Fc-Invocation-Type: Async"],
        "1234567",
    );
    assert_eq!((reply.status, reply.body.as_str()), (202, ""));
    assert!(reply.head.contains("x-fc-request-id: 1-"), "{}", reply.head);
    gateway.wait_for("event 7");
    gateway.wait_for("async event 201");
    let large = "x".repeat(128 * 1024 + 1);
    let refused = gateway.call_with(
        "POST",
        INVOCATIONS,
        &["X-Fc-Invocation-Type: Async"],
        &large,
    );
    assert_eq!(
        (refused.status, &refused.json()["Code"]),
        (400, &"InvalidArgument".into())
    );
}

#[test]
fn connections_to_the_function_are_reused() {
    let Some(gateway) = Gateway::lab(&[]) else {
        return;
    };
    let first = gateway.call("GET", "/", "").json()["connection"].clone();
    let second = gateway.call("POST", "/", "").json()["connection"].clone();
    assert_eq!(first, second);
}

#[test]
fn on_a_closed_connection_a_get_is_retried_and_a_post_is_not() {
    let Some(gateway) = Gateway::lab(&[]) else {
        return;
    };
    assert_eq!(gateway.call("GET", "/drop", "").body, "dropping");
    assert_eq!(gateway.call("GET", "/", "").status, 200);
    // That call's connection is back in the pool; this one makes the function close it.
    assert_eq!(gateway.call("GET", "/drop", "").body, "dropping");
    let reply = gateway.call("POST", "/", "x");
    assert_eq!(reply.status, 502);
    assert_eq!(
        reply.json()["Message"],
        "Process exited unexpectedly before completing request"
    );
}

#[test]
fn requests_over_the_concurrency_limit_get_429() {
    let Some(gateway) = Gateway::lab(&["--concurrency", "2"]) else {
        return;
    };
    let mut waiting: Vec<_> = (0..2)
        .map(|_| {
            let mut stream = gateway.connect();
            stream
                .write_all(b"GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                .expect("sent");
            read_until(&mut stream, "first");
            stream
        })
        .collect();
    let refused = gateway.call("GET", "/", "");
    assert_eq!(
        (refused.status, &refused.json()["Code"]),
        (429, &"ResourceExhausted".into())
    );
    // The function is busy while both wait; dropping one must free its slot.
    waiting.pop();
    let deadline = Instant::now() + DEADLINE;
    while gateway.call("GET", "/release", "").status != 200 {
        assert!(
            Instant::now() < deadline,
            "the slot of a caller that left is never freed"
        );
        thread::sleep(Duration::from_millis(10));
    }
    let mut last = waiting.pop().expect("the other");
    assert!(
        read_until(&mut last, "0\r\n\r\n").contains("second"),
        "the other is served completely"
    );
}

#[test]
fn a_function_that_exceeds_its_timeout_gets_504() {
    let Some(gateway) = Gateway::lab(&["--timeout", "1.5"]) else {
        return;
    };
    let reply = gateway.call("GET", "/never", "");
    assert_eq!(reply.status, 504);
    assert_eq!(
        reply.json()["Message"],
        "Function time out after 1.5 seconds"
    );
    let event = gateway.call("GET", "/", "");
    assert_eq!(event.status, 200, "the next call is served");
}

#[test]
fn requests_over_the_size_limits_get_400() {
    let Some(gateway) = Gateway::lab(&[]) else {
        return;
    };
    let field = format!("X-Big: {}", "b".repeat(8 * 1024));
    let long = format!("/{}", "p".repeat(4 * 1024));
    let mut stream = gateway.connect();
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 33554433\r\n\r\n")
        .expect("sent");
    let replies = [
        gateway.call_with("GET", "/", &[&field], ""),
        gateway.call("GET", &long, ""),
        Reply::read(&mut stream),
    ];
    for (reply, what) in replies.iter().zip(["headers", "path", "body"]) {
        assert_eq!(
            (reply.status, &reply.json()["Code"]),
            (400, &"InvalidArgument".into()),
            "{what}"
        );
        assert!(
            reply.json()["Message"]
                .as_str()
                .expect("text")
                .contains(what),
            "{reply:?}"
        );
    }
}

#[test]
fn malformed_or_oversized_responses_get_502() {
    let Some(gateway) = Gateway::lab(&[]) else {
        return;
    };
    for target in ["/big-head", "/broken"] {
        let reply = gateway.call("GET", target, "");
        assert_eq!(
            (reply.status, &reply.json()["Code"]),
            (502, &"BadResponse".into()),
            "{target}"
        );
    }
}

#[test]
fn a_crash_gives_502_and_the_next_call_starts_a_new_instance() {
    let Some(gateway) = Gateway::lab(&[]) else {
        return;
    };
    let before = gateway.call("GET", "/", "").json()["instance"].clone();
    let crashed = gateway.call("GET", "/crash", "");
    assert_eq!(crashed.status, 502);
    assert_eq!(
        crashed.json()["Message"],
        "Process exited unexpectedly before completing request"
    );
    let after = gateway.call("GET", "/", "").json()["instance"].clone();
    assert_ne!(before, after);
}

#[test]
#[cfg_attr(not(on_linux), ignore = "memory is not seen")]
fn a_function_over_its_memory_limit_is_killed() {
    let Some(gateway) = Gateway::lab(&["--memory", "128"]) else {
        return;
    };
    let reply = gateway.call("GET", "/memory", "");
    assert_eq!(reply.status, 502);
    assert_eq!(
        reply.json()["Message"],
        "Process exited unexpectedly before completing request"
    );
    gateway.wait_for("out of memory: ");
    assert_eq!(
        gateway.call("GET", "/", "").status,
        200,
        "a new instance serves"
    );
}

#[test]
fn a_caller_that_leaves_is_reported_and_the_function_survives() {
    let Some(gateway) = Gateway::lab(&[]) else {
        return;
    };
    let mut stream = gateway.connect();
    stream
        .write_all(b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    gateway.wait_for(" never");
    drop(stream);
    gateway.wait_for("499 in");
    gateway.wait_for("ClientClosedRequest Invocation canceled by client");
    assert_eq!(gateway.call("GET", "/", "").status, 200);
}

#[test]
fn a_streamed_response_is_forwarded_piece_by_piece() {
    let Some(gateway) = Gateway::lab(&[]) else {
        return;
    };
    let mut stream = gateway.connect();
    stream
        .write_all(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    // The function sends the rest only after the release, so the first piece arrived before the end.
    let first = read_until(&mut stream, "first");
    assert!(
        first.to_lowercase().contains("transfer-encoding: chunked"),
        "{first}"
    );
    assert!(!first.contains("second"), "{first}");
    assert_eq!(gateway.call("GET", "/release", "").body, "released");
    assert!(
        read_until(&mut stream, "0\r\n\r\n").contains("second"),
        "the rest"
    );
}

#[test]
fn an_http_1_0_caller_gets_a_stream_without_chunks() {
    let Some(gateway) = Gateway::lab(&[]) else {
        return;
    };
    assert_eq!(gateway.call("GET", "/release", "").body, "released");
    let mut stream = gateway.connect();
    stream
        .write_all(b"GET /stream HTTP/1.0\r\n\r\n")
        .expect("sent");
    let reply = Reply::read(&mut stream);
    assert_eq!(reply.body, "firstsecond");
    assert!(!reply.head.contains("transfer-encoding"), "{}", reply.head);
}

#[test]
fn a_streamed_upload_is_forwarded_piece_by_piece() {
    let Some(gateway) = Gateway::lab(&[]) else {
        return;
    };
    let mut stream = gateway.connect();
    stream
        .write_all(
            b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n",
        )
        .expect("sent");
    assert!(
        read_until(&mut stream, "one").contains("200 OK"),
        "the first piece is echoed before the second is sent"
    );
    stream.write_all(b"3\r\ntwo\r\n0\r\n\r\n").expect("sent");
    assert!(
        read_until(&mut stream, "0\r\n\r\n").contains("two"),
        "the rest"
    );
}

#[test]
fn an_upgraded_connection_carries_bytes_both_ways() {
    let Some(gateway) = Gateway::lab(&[]) else {
        return;
    };
    let mut stream = gateway.connect();
    let head =
        b"GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(head).expect("sent");
    let answer = read_until(&mut stream, "\r\n\r\n").to_lowercase();
    assert!(
        answer.starts_with("http/1.1 101") && answer.contains("upgrade: websocket"),
        "{answer}"
    );
    for message in ["\u{1}ping", "and again"] {
        stream.write_all(message.as_bytes()).expect("sent");
        assert_eq!(read_until(&mut stream, message), message);
    }
}

#[test]
fn a_frozen_function_is_stopped_between_requests() {
    let Some(gateway) = Gateway::lab(&["--freeze"]) else {
        return;
    };
    gateway.call("GET", "/", "");
    // The supervisor waits for orders; the function is its child.
    let is_stopped = || {
        gateway.descendants().iter().any(|process| {
            let line = fs::read_to_string(process.join("stat")).unwrap_or_default();
            line.rsplit_once(") ")
                .is_some_and(|(_, rest)| rest.starts_with('T'))
        })
    };
    let deadline = Instant::now() + DEADLINE;
    while !is_stopped() {
        assert!(Instant::now() < deadline, "it never stops");
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(
        gateway.call("POST", "/", "x").status,
        200,
        "and resumes for the next call"
    );
}

#[test]
fn with_stay_callers_get_the_error_until_a_start_succeeds() {
    let Some(python) = interpreter(&["python3", "python"]) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port().to_string();
    let directory = folder.path().to_str().expect("text").to_owned();
    let gateway = Gateway::start(&[&directory, "--port", &port, "--stay"]);
    let refused = gateway.call("GET", "/", "");
    assert_eq!(
        (refused.status, &refused.json()["Code"]),
        (412, &"CAFileNotFound".into())
    );
    assert!(
        refused.head.contains("x-fc-request-id: 1-"),
        "{}",
        refused.head
    );
    let script = format!("#!/bin/sh\nexec {python} {}\n", server("lab.py"));
    file(folder.path(), "bootstrap", script, 0o755);
    assert_eq!(gateway.call("GET", "/", "").status, 200);
}

#[test]
fn with_watch_a_change_restarts_the_function() {
    let Some(python) = interpreter(&["python3", "python"]) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port().to_string();
    let script = |mark: &str| {
        format!(
            "#!/bin/sh\necho version {mark}\nexec {python} {}\n",
            server("lab.py")
        )
    };
    file(folder.path(), "bootstrap", script("one"), 0o755);
    let gateway = Gateway::start(&[
        folder.path().to_str().expect("text"),
        "--port",
        &port,
        "--watch",
    ]);
    gateway.wait_for("version one");
    file(folder.path(), "bootstrap", script("two, and longer"), 0o755);
    gateway.wait_for("version two, and longer");
    let deadline = Instant::now() + DEADLINE;
    while gateway.call("GET", "/", "").status != 200 {
        assert!(Instant::now() < deadline, "it never serves again");
    }
}

#[test]
fn a_restart_drops_no_call() {
    let Some(python) = interpreter(&["python3", "python"]) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port().to_string();
    let script = |mark: &str| {
        format!(
            "#!/bin/sh\necho version {mark}\nexec {python} {}\n",
            server("lab.py")
        )
    };
    file(folder.path(), "bootstrap", script("one"), 0o755);
    let gateway = Gateway::start(&[
        folder.path().to_str().expect("text"),
        "--port",
        &port,
        "--watch",
    ]);
    // In progress when the restart begins: the old instance must live until it has responded.
    let mut waiting = gateway.connect();
    waiting
        .write_all(
            b"POST /wait HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        )
        .expect("sent");
    gateway.wait_for(" waiting");
    let ended = AtomicBool::new(false);
    let calls = thread::scope(|scope| {
        let calling: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut processes = Vec::new();
                    while !ended.load(Ordering::Relaxed) {
                        let reply = gateway.call("POST", "/", "x");
                        assert_eq!(reply.status, 200, "{reply:?}");
                        processes.push(reply.json()["instance"].to_string());
                    }
                    processes
                })
            })
            .collect();
        file(folder.path(), "bootstrap", script("two, and longer"), 0o755);
        gateway.wait_for("changed: ");
        assert_eq!(Reply::read(&mut waiting).body, "waited");
        gateway.wait_for("version two, and longer");
        let deadline = Instant::now() + DEADLINE;
        while gateway.call("POST", "/", "x").status != 200 {
            assert!(Instant::now() < deadline, "it never serves again");
        }
        ended.store(true, Ordering::Relaxed);
        let all = calling
            .into_iter()
            .flat_map(|calls| calls.join().expect("no call failed"));
        all.collect::<std::collections::BTreeSet<_>>()
    });
    assert_eq!(calls.len(), 2, "both instances served: {calls:?}");
}

#[test]
fn held_calls_get_the_error_of_the_start_that_failed() {
    let Some(python) = interpreter(&["python3", "python"]) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port().to_string();
    let script = format!("#!/bin/sh\nexec {python} {}\n", server("lab.py"));
    file(folder.path(), "bootstrap", &script, 0o755);
    let gateway = Gateway::start(&[
        folder.path().to_str().expect("text"),
        "--port",
        &port,
        "--watch",
    ]);
    assert_eq!(gateway.call("GET", "/", "").status, 200);
    let broken = "#!/bin/sh\necho broken\nexit 9\n";
    file(folder.path(), "bootstrap", broken, 0o755);
    gateway.wait_for("changed: ");
    let refused = gateway.call("POST", "/", "x");
    assert_eq!(
        (refused.status, &refused.json()["Code"]),
        (412, &"CAExited".into())
    );
    file(folder.path(), "bootstrap", &script, 0o755);
    let deadline = Instant::now() + DEADLINE;
    while gateway.call("POST", "/", "x").status != 200 {
        assert!(Instant::now() < deadline, "it never serves again");
    }
}

#[test]
fn a_callers_connection_persists_after_every_kind_of_body() {
    let Some(gateway) = Gateway::lab(&[]) else {
        return;
    };
    let mut stream = gateway.connect();
    let long = "x".repeat(300_000);
    let whole = |target: &str, body: &str| {
        let length = body.len();
        format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    let chunked = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n3\r\nabc\r\n0\r\n\r\n",
        long.len()
    );
    for (request, length) in [
        (whole("/", ""), 0),
        (whole("/", "short"), 5),
        (whole("/", &long), long.len()),
        (chunked, long.len() + 3),
    ] {
        stream.write_all(request.as_bytes()).expect("sent");
        let reply = Reply::read_one(&mut stream);
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.json()["length"], length);
        assert!(!reply.head.contains("connection:"), "{}", reply.head);
    }
    // The function responds early and closes; the rest of the body is discarded, and the connection persists.
    stream
        .write_all(whole("/early", &long).as_bytes())
        .expect("sent");
    assert_eq!(Reply::read_one(&mut stream).status, 413);
    stream
        .write_all(whole(INVOCATIONS, &long).as_bytes())
        .expect("sent");
    assert_eq!(Reply::read_one(&mut stream).body, "event of 300000");
    // Two requests at once are served one after the other.
    let both = whole("/", &long) + &whole("/", "second");
    stream.write_all(both.as_bytes()).expect("sent");
    for length in [300_000, 6] {
        assert_eq!(Reply::read_one(&mut stream).json()["length"], length);
    }
}

#[test]
fn ambiguous_or_malformed_requests_get_400_and_are_never_forwarded() {
    let Some(gateway) = Gateway::lab(&[]) else {
        return;
    };
    let chunked = "POST /seen HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let post = "POST /seen HTTP/1.1\r\nHost: a\r\n";
    let cases = [
        format!("{post}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        format!("{post}Content-Length: 1\r\nContent-Length: 1\r\n\r\na"),
        format!("{post}Content-Length: 1, 1\r\n\r\na"),
        format!("{post}Content-Length: +1\r\n\r\na"),
        format!("{post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: identity\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        "POST /seen HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        format!("{chunked}3\nabc\r\n0\r\n\r\n"),
        format!("{chunked}0x3\r\nabc\r\n0\r\n\r\n"),
        format!("{chunked}3 \r\nabc\r\n0\r\n\r\n"),
        format!("{chunked}-3\r\nabc\r\n0\r\n\r\n"),
        format!("{chunked}3;a\nb\r\nabc\r\n0\r\n\r\n"),
        format!("{chunked}3;a=\"b\r\nabc\r\n0\r\n\r\n"),
        format!("{chunked}3\r\nabcd\r\n0\r\n\r\n"),
        format!("{chunked}3\r\nabc\r\n0\r\nContent-Length: 1\r\n\r\n"),
        format!("{chunked}fffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
        "GET /seen HTTP/1.1\nHost: a\n\n".to_owned(),
        "GET /seen HTTP/1.1\r\nHost: a\n\r\n".to_owned(),
        "GET /seen HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n".to_owned(),
        "GET /seen HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n".to_owned(),
        "GET /seen HTTP/1.1\r\nHost : a\r\n\r\n".to_owned(),
        "GET /seen HTTP/1.1\r\n\r\n".to_owned(),
        "GET /seen HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n".to_owned(),
        "GET /seen HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(),
        "GET  /seen HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET seen HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET http://a@b/seen HTTP/1.1\r\nHost: b\r\n\r\n".to_owned(),
        "\r\n\r\nGET /seen HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
    ];
    for case in &cases {
        let mut stream = gateway.connect();
        let smuggled = "GET /seen HTTP/1.1\r\nHost: a\r\n\r\n";
        stream
            .write_all(format!("{case}{smuggled}").as_bytes())
            .expect("sent");
        // To the end of the connection: what follows is not read as a request.
        let reply = Reply::read(&mut stream);
        assert_eq!(
            (reply.status, &reply.json()["Code"]),
            (400, &"InvalidArgument".into()),
            "{case:?}"
        );
        assert!(reply.head.contains("x-fc-request-id: 1-"), "{case:?}");
    }
    assert_eq!(gateway.call("GET", "/", "").status, 200);
    assert!(
        !gateway.wait_for("GET / 200").contains("seen 200"),
        "none reached the function"
    );
    assert_eq!(gateway.call("GET", "/requests", "").body, "2");
}

#[test]
fn a_body_that_turns_malformed_is_never_complete_for_the_function() {
    let Some(gateway) = Gateway::lab(&[]) else {
        return;
    };
    let mut stream = gateway.connect();
    stream
        .write_all(
            b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n",
        )
        .expect("sent");
    read_until(&mut stream, "one");
    stream.write_all(b"3 \r\ntwo\r\n0\r\n\r\n").expect("sent");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).ok();
    let rest = String::from_utf8_lossy(&rest);
    assert!(
        !rest.contains("0\r\n\r\n"),
        "the response is cut off as well: {rest:?}"
    );
    gateway.wait_for("the request body is malformed");
}

#[test]
fn other_unserved_requests_get_their_own_status() {
    let Some(gateway) = Gateway::lab(&[]) else {
        return;
    };
    for (request, status) in [
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 501),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\nConnection: close\r\n\r\n",
            417,
        ),
        (
            "OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nConnection: close\r\n\r\n",
            200,
        ),
    ] {
        let mut stream = gateway.connect();
        stream.write_all(request.as_bytes()).expect("sent");
        stream
            .shutdown(std::net::Shutdown::Write)
            .expect("half-closed");
        let reply = Reply::read(&mut stream);
        assert_eq!(reply.status, status, "{request:?}");
        assert!(
            !reply.head.contains("x-own"),
            "{request:?} does not reach the function"
        );
    }
}

#[test]
fn fields_of_one_connection_are_not_forwarded() {
    let Some(gateway) = Gateway::lab(&[]) else {
        return;
    };
    let fields = [
        "Connection: X-Hop, x-other",
        "X-Hop: 1",
        "X-Other: 1",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "TE: trailers",
        "Max-Forwards: 3",
        "X-Kept: 1",
    ];
    let seen = gateway.call_with("OPTIONS", "/", &fields, "").json();
    let headers = &seen["headers"];
    for name in [
        "connection",
        "x-hop",
        "x-other",
        "keep-alive",
        "proxy-connection",
        "te",
    ] {
        assert!(headers.get(name).is_none(), "{name} in {headers}");
    }
    assert_eq!(
        (&headers["x-kept"], &headers["max-forwards"]),
        (&"1".into(), &"2".into())
    );

    // What a Java client sends first; its settings would be lost on the way.
    let offer = [
        "Connection: Upgrade, HTTP2-Settings",
        "Upgrade: h2c",
        "HTTP2-Settings: AAEAAEAA",
    ];
    let seen = gateway.call_with("GET", "/", &offer, "").json();
    for name in ["connection", "upgrade", "http2-settings"] {
        assert!(seen["headers"].get(name).is_none(), "{name} in {seen}");
    }

    let mut stream = gateway.connect();
    stream
        .write_all(b"GET /hops HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    let response = read_until(&mut stream, "X-Sum: 42\r\n\r\n");
    let (hints, rest) = response
        .split_once("\r\n\r\n")
        .expect("an interim response");
    assert!(
        hints.starts_with("HTTP/1.1 103 Early Hints\r\n"),
        "{response}"
    );
    assert!(hints.contains("Link: </a>"), "{response}");
    assert!(rest.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert!(rest.contains("Trailer: X-Sum\r\n"), "{response}");
    for gone in [
        "X-Hop",
        "X-End",
        "X-Fc-Status",
        "Proxy-Connection",
        "\r\nConnection",
    ] {
        assert!(!response.contains(gone), "{gone} in {response}");
    }
    // The connection still works, also for a caller that cannot get trailers.
    stream
        .write_all(b"GET /hops HTTP/1.0\r\n\r\n")
        .expect("sent");
    let reply = Reply::read(&mut stream);
    assert_eq!((reply.status, reply.body.as_str()), (200, "abc"));
    assert!(!reply.head.contains("trailer"), "{}", reply.head);
}

#[test]
fn trailers_of_a_request_reach_the_function() {
    let Some(gateway) = Gateway::lab(&[]) else {
        return;
    };
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    let end = "0\r\nX-Sum: 42\r\nx-fc-forged: 1\r\n\r\n";
    let long = format!("{:x}\r\n{}\r\n", 100_000, "x".repeat(100_000));
    for (body, length) in [("3;a=b\r\nabc\r\n".to_owned(), 3), (long, 100_000)] {
        let mut stream = gateway.connect();
        stream
            .write_all(format!("{head}{body}{end}").as_bytes())
            .expect("sent");
        let seen = Reply::read(&mut stream).json();
        assert_eq!(
            (&seen["length"], &seen["headers"]["trailer"]),
            (&length.into(), &"X-Sum".into())
        );
        assert_eq!(seen["trailers"], serde_json::json!({"x-sum": "42"}));
    }
}

#[test]
#[cfg_attr(not(on_linux), ignore = "a half-closed caller counts as gone")]
fn callers_of_http_1_0_and_half_closed_callers_are_served() {
    let Some(gateway) = Gateway::lab(&[]) else {
        return;
    };
    let mut stream = gateway.connect();
    for _ in 0..2 {
        stream
            .write_all(b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc")
            .expect("sent");
        let reply = Reply::read_one(&mut stream);
        assert_eq!(reply.json()["headers"]["host"], gateway.address);
        assert!(
            reply.head.contains("connection: keep-alive"),
            "{}",
            reply.head
        );
    }
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("sent");
    let last = Reply::read(&mut stream);
    assert!(last.head.contains("connection: close"), "{}", last.head);

    let long = "x".repeat(100_000);
    for (request, length) in [
        ("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 0),
        (
            format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n{long}"),
            100_000,
        ),
    ] {
        let mut stream = gateway.connect();
        stream.write_all(request.as_bytes()).expect("sent");
        stream
            .shutdown(std::net::Shutdown::Write)
            .expect("half-closed");
        let reply = Reply::read(&mut stream);
        assert_eq!(reply.status, 200, "{reply:?}");
        if length > 0 {
            assert_eq!(reply.json()["length"], length);
        }
    }
}

#[test]
fn the_authority_of_an_absolute_target_replaces_host() {
    let Some(gateway) = Gateway::lab(&[]) else {
        return;
    };
    let seen = gateway
        .call("GET", "http://site.example:8080/a/b?c=d", "")
        .json();
    assert_eq!(
        (&seen["target"], &seen["headers"]["host"]),
        (&"/a/b?c=d".into(), &"site.example:8080".into())
    );
    let absolute = format!("http://{}{INVOCATIONS}", gateway.address);
    assert_eq!(gateway.call("POST", &absolute, "12345").body, "event of 5");
    for path in [
        "/2021-04-06/services/s/functions/f/invocations",
        "/2016-08-15/services/s.LATEST/functions/f/invocations",
        "/2023-03-30/functions/f/invocations?qualifier=2",
    ] {
        assert_eq!(
            gateway.call("POST", path, "1234").body,
            "event of 4",
            "{path}"
        );
    }
}

#[test]
fn ambiguous_responses_are_replaced_or_lose_their_ambiguity() {
    let Some(gateway) = Gateway::lab(&[]) else {
        return;
    };
    let reply = gateway.call("GET", "/both", "");
    assert_eq!(reply.status, 200);
    assert!(!reply.head.contains("content-length"), "{}", reply.head);
    for response in [
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 1\n\na",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 1\r\n\r\na",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: unasked\r\n\r\n",
    ] {
        let reply = gateway.call("POST", "/raw", response);
        assert_eq!(
            (reply.status, &reply.json()["Code"]),
            (502, &"BadResponse".into()),
            "{response:?}"
        );
    }
    let cut_off =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3 \r\nabc\r\n0\r\n\r\n";
    let mut old = gateway.connect();
    let head = format!(
        "POST /raw HTTP/1.0\r\nContent-Length: {}\r\n\r\n",
        cut_off.len()
    );
    old.write_all((head + cut_off).as_bytes()).expect("sent");
    let end = old.read_to_end(&mut Vec::new());
    assert!(end.is_err(), "an orderly end would complete the response");
    let reply = gateway.call("POST", "/raw", cut_off);
    assert!(
        !reply.body.contains("0\r\n\r\n"),
        "the caller sees that it is incomplete: {reply:?}"
    );
}

#[test]
fn an_upgraded_connection_may_end_one_direction_first() {
    let Some(gateway) = Gateway::lab(&[]) else {
        return;
    };
    let mut stream = gateway.connect();
    stream
        .write_all(b"GET /half HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tunnel\r\n\r\nearly ")
        .expect("sent");
    read_until(&mut stream, "\r\n\r\n");
    stream.write_all(b"late").expect("sent");
    stream
        .shutdown(std::net::Shutdown::Write)
        .expect("half-closed");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("the response");
    assert_eq!(rest, "all of early late");
}

#[test]
fn a_function_that_binds_and_then_exits_is_named_with_its_code_and_last_lines() {
    let Some(python) = interpreter(&["python3", "python"]) else {
        return;
    };
    let port = free_port().to_string();
    // It ends at the second connection, the test's: on a busy machine any time may be over before it is seen to listen.
    let program = format!(
        "import socket\nlistener = socket.create_server(('0.0.0.0', {port}))\nfirst = listener.accept()\n\
         listener.accept()\nprint('no database')\nraise SystemExit(3)"
    );
    let gateway = Gateway::start(&["--port", &port, "--", &python, "-c", &program]);
    let address = format!("127.0.0.1:{port}");
    let _second = std::net::TcpStream::connect(address).expect("it listens");
    gateway.wait_for("ended with code 3; its last lines:");
    gateway.wait_for("no database");
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_asked_for() {
    let Some(gateway) = Gateway::lab(&[]) else {
        return;
    };
    let expect = "Host: a\r\nExpect: 100-continue\r\n";
    let event = "X-Fc-Invocation-Type: Async\r\nContent-Length: 131073\r\n";
    for request in [
        format!("POST / HTTP/1.1\r\n{expect}Content-Length: 33554433\r\n\r\n"),
        format!("POST {INVOCATIONS} HTTP/1.1\r\n{expect}{event}\r\n"),
    ] {
        let mut stream = gateway.connect();
        stream.write_all(request.as_bytes()).expect("sent");
        let reply = Reply::read(&mut stream);
        assert_eq!(reply.status, 400, "{request:?}: {reply:?}");
        assert!(reply.head.contains("connection: close"), "{}", reply.head);
    }
    let mut stream = gateway.connect();
    stream
        .write_all(format!("POST / HTTP/1.1\r\n{expect}Content-Length: 3\r\n\r\n").as_bytes())
        .expect("sent");
    assert_eq!(
        read_until(&mut stream, "\r\n\r\n"),
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    stream.write_all(b"abc").expect("sent");
    assert_eq!(Reply::read_one(&mut stream).json()["body"], "abc");
}

/// Reads until the text has arrived, and returns everything read so far.
fn read_until(stream: &mut std::net::TcpStream, text: &str) -> String {
    let mut seen = String::new();
    let mut buffer = [0; 4096];
    while !seen.contains(text) {
        let length = stream.read(&mut buffer).expect("something to read");
        assert!(length > 0, "closed after {seen:?}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    seen
}
