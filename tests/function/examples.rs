//! The programs in `examples/` work and can be deployed.

use std::path::Path;

use crate::platform::{Call, Instance, example};

#[test]
fn the_event_example_adds_up_orders() {
    let instance = Instance::start(example("event"));
    let order = r#"{"customer":"Ada","items":[{"price_cents":250,"count":2},{"price_cents":99,"count":1}]}"#;
    let response = instance.call(&Call::event(order));
    let total = r#"{"customer":"Ada","total_cents":599}"#;
    assert_eq!(response.outcome(), (200, "200", total.into()));
    assert_eq!(response.field("content-type"), Some("application/json"));
    for (payload, error_type) in [
        (r#"{"customer":"Ada","items":[]}"#, "EmptyOrder"),
        (r#"{"customer":"Ada"}"#, "InvalidEvent"),
        ("", "InvalidEvent"),
    ] {
        let response = instance.call(&Call::event(payload));
        let (status, signal, text) = response.outcome();
        assert_eq!((status, signal), (404, "404"));
        assert!(
            text.contains(&format!("\"errorType\":\"{error_type}\"")),
            "{text}"
        );
    }
}

#[test]
fn the_hooks_example_runs_through_its_life_cycle() {
    let instance = Instance::start(example("hooks"));
    assert_eq!(instance.call(&Call::http("GET", "/Ada")).status, 503);
    assert_eq!(instance.call(&Call::initialize()).status, 200);
    assert_eq!(instance.call(&Call::initialize()).status, 200);
    assert_eq!(instance.call(&Call::plain("GET", "/healthz")).status, 200);
    assert_eq!(
        instance.call(&Call::http("GET", "/Ada")).text(),
        "welcome, Ada\n"
    );
    assert_eq!(instance.call(&Call::pre_stop()).status, 200);
    let (status, stdout, _) = instance.stop();
    assert_eq!(status.code(), Some(0));
    assert!(stdout.contains("[INFO] served 2 calls"), "{stdout}");
}

#[test]
fn every_example_can_be_deployed() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for name in ["hello", "event", "sse", "hooks"] {
        let text = std::fs::read_to_string(examples.join(name).join("s.yaml")).unwrap();
        for line in [
            "edition: 3.0.0",
            "component: fc3",
            "runtime: custom.debian12",
            "customRuntimeConfig:",
            "- /code/bootstrap",
            "port: 9000",
            &format!("--example {name}"),
        ] {
            assert!(text.contains(line), "{name} lacks {line:?}");
        }
        let has_hooks = text.contains("instanceLifecycleConfig:");
        assert_eq!(has_hooks, name == "hooks", "{name}");
    }
}
