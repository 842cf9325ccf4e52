//! Contract §3: requests.

use std::time::Duration;

use crate::platform::{CANARIES, Call, Instance, bootstrap, example, under_test};
use crate::under_test::FROM_ENVIRONMENT;

#[test]
fn an_http_call_passes_any_method_path_and_query_as_they_were_sent() {
    let instance = Instance::start(under_test(""));
    let mut connection = instance.connect();
    for (method, target) in [
        ("GET", "/"),
        ("DELETE", "/a%2Fb/%E4%BD%A0?q=1&q=%20+&empty="),
        ("PATCH", "//double//slashes/../dots"),
        ("PURGE", "/custom?"),
        ("OPTIONS", "*"),
        ("POST", "/invoke"),
        ("POST", "/initialize"),
        ("GET", "/pre-stop"),
        ("GET", "/pre-freeze"),
    ] {
        let response = connection.call(&Call::http(method, target).body("b\0dy"));
        assert_eq!(
            response.field("x-seen"),
            Some(&*format!("{method} {target}"))
        );
        assert_eq!(response.outcome(), (200, "", "b\0dy".into()), "{target}");
    }
}

#[test]
fn an_event_receives_its_payload_and_the_caller_its_result() {
    for function in [
        bootstrap(),
        under_test(""),
        under_test("threads"),
        under_test("async"),
    ] {
        let instance = Instance::start(function);
        let mut connection = instance.connect();
        let binary: Vec<u8> = (0..=255).cycle().take(70_000).collect();
        for payload in [
            b"{}".to_vec(),
            Vec::new(),
            b"\0\xff\r\n\r\n".to_vec(),
            binary,
        ] {
            let response = connection.call(&Call::event(payload.clone()));
            assert_eq!(
                (response.status, response.field("x-fc-status")),
                (200, Some("200"))
            );
            assert!(response.body == payload, "the payload is echoed");
        }
    }
}

#[test]
fn an_event_of_32_mb_is_accepted() {
    let instance = Instance::start(bootstrap());
    let payload = vec![b'x'; 32 * 1024 * 1024];
    let response = instance.call(&Call::event(payload.clone()));
    assert_eq!(response.status, 200);
    assert!(response.body == payload, "the payload is echoed");
}

#[test]
fn the_content_type_of_an_event_is_not_checked() {
    let instance = Instance::start(bootstrap());
    for content_type in ["", "application/json", "no type at all"] {
        let call = Call::event("x").field("content-type", content_type);
        assert_eq!(instance.call(&call).outcome(), (200, "200", "x".into()));
    }
}

#[test]
fn the_control_path_decides_and_the_path_only_if_there_is_none() {
    let instance = Instance::start(under_test(""));
    let mut connection = instance.connect();
    let event = (200, "200", "e".to_owned());
    let http = (200, "", "e".to_owned());
    for (method, target, control_path, outcome) in [
        ("POST", "/invoke", Some("/invoke"), &event),
        ("POST", "/somewhere", Some("/invoke"), &event),
        ("POST", "/invoke", Some("/http-invoke"), &http),
        ("POST", "/invoke", None, &event),
        ("POST", "/invoke", Some(""), &event),
        ("PUT", "/invoke", None, &http),
        ("POST", "/invoked", None, &http),
        ("POST", "/initialize", Some("/http-invoke"), &http),
        ("POST", "/pre-stop", None, &http),
        ("POST", "/x", Some("/of-a-later-day"), &http),
    ] {
        let mut call = Call::plain(method, target).body("e");
        if let Some(control_path) = control_path {
            call = call.field("X-FC-Control-Path", control_path);
        }
        let response = connection.call(&call);
        assert_eq!(
            &response.outcome(),
            outcome,
            "{method} {target} {control_path:?}"
        );
    }
}

#[test]
fn a_web_function_keeps_its_own_route_invoke() {
    let instance = Instance::start(example("hello"));
    // On another platform, which sends none of these fields.
    let response = instance.call(&Call::plain("POST", "/invoke").body("x"));
    assert!(response.text().ends_with("at /invoke\n"), "{response:?}");
    let response = instance.call(&Call::http("POST", "/invoke").body("x"));
    assert_eq!(
        response.outcome(),
        (200, "", "hello from orders, at /invoke\n".into())
    );
}

#[test]
fn a_call_of_the_wrong_kind_gets_a_message_with_the_fix() {
    let instance = Instance::start(example("event"));
    let (status, signal, text) = {
        let response = instance.call(&Call::http("GET", "/"));
        (
            response.status,
            response.field("x-fc-status").map(str::to_owned),
            response.text(),
        )
    };
    assert_eq!((status, signal.as_deref()), (404, Some("404")));
    assert!(
        text.contains("handles events only") && text.contains("`http`"),
        "{text}"
    );

    let instance = Instance::start(example("hello"));
    let response = instance.call(&Call::event("{}"));
    let (status, signal, text) = response.outcome();
    assert_eq!((status, signal), (404, "404"));
    assert!(
        text.contains("handles HTTP requests only") && text.contains("`event`"),
        "{text}"
    );
    assert!(text.contains("\"errorType\":\"NoEventFunction\""), "{text}");
}

#[test]
fn a_context_has_the_values_of_the_fields_and_empty_means_absent() {
    let instance = Instance::start(under_test(""));
    let text = instance.call(&Call::event("context")).text();
    let facts = "Some(\"1-65f0aa11-0badcafe-0123456789ab\") Some(\"orders\") Some(\"cn-hangzhou\") \
         Some(\"123456789\") Some(\"LATEST\") None Some(512) Some(2) Some(60s)\n";
    assert!(text.contains(facts), "{text}");
    let left: u64 = text
        .rsplit_once("Some(")
        .unwrap()
        .1
        .trim_end_matches(')')
        .parse()
        .unwrap();
    assert!(
        (50..=60).contains(&left),
        "the deadline counts from the arrival: {left} s left"
    );
    let bare = instance.call(&Call::plain("POST", "/invoke").body("context"));
    let facts = "None None None None None None None None None\nNone";
    assert!(bare.text().ends_with(facts), "{bare:?}");
}

#[test]
fn credentials_come_from_the_environment_first_and_are_never_printed() {
    let variables = [
        "ALIBABA_CLOUD_ACCESS_KEY_ID",
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
        "ALIBABA_CLOUD_SECURITY_TOKEN",
    ];
    let with_variables = |values: [&str; 3]| {
        let mut command = under_test("markers");
        command.envs(variables.into_iter().zip(values));
        command
    };
    let set = CANARIES.map(|canary| format!("{canary}{FROM_ENVIRONMENT}"));
    let [id, secret, token] = set.each_ref().map(String::as_str);
    for (function, place) in [
        (with_variables(["", "", ""]), "fields"),
        (with_variables([id, secret, token]), "environment"),
        (with_variables([id, secret, ""]), "environment"),
        (with_variables([id, "", token]), "fields"),
        (under_test("threads"), "fields"),
        (under_test("async"), "fields"),
    ] {
        let instance = Instance::start(function);
        let mut bodies = String::new();
        for call in [
            Call::event("context"),
            Call::event("fail parse"),
            Call::event("fail planned"),
            Call::event("panic"),
            Call::event("log message"),
            Call::initialize(),
            Call::initialize(),
            Call::initialize(),
            Call::pre_stop().field("x-fc-qualifier", "failing"),
            Call::pre_freeze(),
            Call::http("GET", "/debug"),
            Call::http("GET", "/panic"),
            Call::http("GET", "/broken"),
            Call::http("GET", "/accept-panic"),
            Call::http("POST", "/upload").body("panic"),
            Call::http("GET", "bad target"),
        ] {
            let response = instance.call(&call);
            bodies.push_str(&format!("{:?} {}\n", response.fields, response.text()));
        }
        let line = format!("has credentials: {place}, all from one source: true");
        assert!(bodies.contains(&line), "{bodies}");
        let (_, stdout, stderr) = instance.stop();
        for output in [bodies, stdout, stderr] {
            assert!(!output.contains("canary"), "{output}");
        }
    }
}

#[test]
fn a_failed_event_is_404_with_the_field_and_the_convention() {
    for options in ["", "threads", "async", "async threads"] {
        let instance = Instance::start(under_test(options));
        let mut connection = instance.connect();
        for (payload, json) in [
            (
                "fail no \"order\" came",
                r#"{"errorMessage":"no \"order\" came","errorType":"Planned","stackTrace":[]}"#,
            ),
            (
                "fail parse",
                r#"{"errorMessage":"invalid digit found in string","errorType":"core::num::error::ParseIntError","stackTrace":[]}"#,
            ),
            (
                "panic",
                r#"{"errorMessage":"the event's panic","errorType":"Panic","stackTrace":[]}"#,
            ),
        ] {
            let response = connection.call(&Call::event(payload));
            assert_eq!(response.outcome(), (404, "404", json.into()));
            assert_eq!(response.field("content-type"), Some("application/json"));
        }
        // The connection stays open.
        assert_eq!(connection.call(&Call::event("well")).text(), "well");
    }
}

#[test]
fn a_panic_anywhere_in_an_http_call_is_500_with_the_field() {
    for options in ["", "threads"] {
        let instance = Instance::start(under_test(options));
        let mut connection = instance.connect();
        for target in ["/panic", "/accept-panic", "/broken", "/blocking-panic"] {
            let response = connection.call(&Call::http("GET", target));
            assert_eq!(
                response.outcome(),
                (500, "404", "the handler failed\n".into()),
                "{target}"
            );
        }
        let response = connection.call(&Call::http("POST", "/upload").body("panic"));
        assert_eq!(
            response.outcome(),
            (500, "404", "the handler failed\n".into())
        );
        let (_, _, stderr) = instance.stop();
        assert_eq!(
            stderr.matches("the handler's panic").count(),
            2,
            "reported once each: {stderr}"
        );
    }
}

#[test]
fn the_status_of_an_http_handler_is_passed_on() {
    let instance = Instance::start(under_test(""));
    let mut connection = instance.connect();
    let response = connection.call(&Call::http("GET", "/teapot"));
    assert_eq!(response.outcome(), (418, "", "short and stout".into()));
    let response = connection.call(&Call::http("GET", "/refuse"));
    assert_eq!(response.outcome(), (403, "", String::new()));
}

#[test]
fn heads_at_the_platforms_limits_are_accepted() {
    let instance = Instance::start(under_test(""));
    let target = format!("/{}", "p".repeat(4095));
    let call = Call::http("GET", &target).field("x-filler", &"f".repeat(8 * 1024 - 6000));
    let mut call = call;
    while call.to_bytes().len() < 8 * 1024 + target.len() {
        let name = format!("x-{}", call.fields.len());
        call = call.field(&name, &"f".repeat(100));
    }
    let response = instance.call(&call);
    assert_eq!(response.field("x-seen"), Some(&*format!("GET {target}")));
    let response = instance.call(&Call::http("GET", "/large-fields"));
    assert_eq!(response.field("x-filler").map(str::len), Some(7000));
}

#[test]
fn an_upload_and_an_upgrade_reach_the_handler() {
    let instance = Instance::start(under_test("markers"));
    let response = instance.call(&Call::http("POST", "/upload").body(vec![0; 300_000]));
    assert_eq!(response.text(), "300000");
    let call = Call::http("GET", "/socket").field("Connection", "Upgrade");
    let response = instance.call(&call.field("Upgrade", "bytes"));
    assert_eq!(
        (response.status, response.field("upgrade")),
        (101, Some("bytes"))
    );
}

#[test]
fn a_stream_is_chunked_and_its_first_event_leaves_before_the_last() {
    let instance = Instance::start(example("sse"));
    let mut connection = instance.connect();
    connection.send(&Call::http("GET", "/").to_bytes());
    let head = connection.head();
    assert_eq!(head.field("transfer-encoding"), Some("chunked"));
    assert_eq!(head.field("content-length"), None);
    assert_eq!(head.field("content-type"), Some("text/event-stream"));
    let mut seen = connection.chunk().unwrap();
    while !seen.ends_with(b"\n\n") {
        seen.extend(connection.chunk().unwrap());
    }
    // The last event comes nine seconds later.
    assert_eq!(String::from_utf8(seen).unwrap(), "id: 1\ndata: tick 1\n\n");
}

#[test]
fn a_call_is_given_up_before_the_platform_gives_up() {
    use coldstart::{Context, Request, TestRequest, sleep};

    let left = |request: &Request<'_>| format!("{:?}", Context::new(request.head()).remaining());
    let plain = TestRequest::get("/");
    assert_eq!(plain.run(left).text(), "None");
    let passed = TestRequest::get("/").header("x-fc-function-timeout", "0");
    assert_eq!(passed.run(left).text(), "Some(0ns)");
    let work = |request: &Request<'_>| {
        let margin = Duration::from_millis(3_599_990);
        let wait = Duration::from_millis(if request.path() == "/slow" { 5_000 } else { 1 });
        Context::new(request.head()).before_deadline(margin, async move {
            sleep(wait).await;
            "done"
        })
    };
    // Ten milliseconds are left.
    let slow = TestRequest::get("/slow").header("x-fc-function-timeout", "3600");
    assert_eq!(slow.run(work).status(), 504);
    // With no deadline, or one that has passed, what is ready wins.
    assert_eq!(TestRequest::get("/").run(work).text(), "done");
    let ready = |request: &Request<'_>| {
        Context::new(request.head()).before_deadline(Duration::ZERO, async { "done" })
    };
    assert_eq!(passed.run(ready).text(), "done");
}
