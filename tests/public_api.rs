//! Which types of other crates the public API names: a breaking release of theirs would be one of ours.
//!
//! rustdoc writes the API down as JSON, whose format is not stable. Only its references are read here: an object with a
//! path and an id, and the table that says which crate an id belongs to.
#![expect(clippy::expect_used, reason = "what a test cannot set up must fail it")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Features, and the types of other crates that the API names with them. A new one is a decision: its crate's breaking
/// releases become breaking releases of this crate.
const FOREIGN: &[(&str, &[&str])] = &[
    ("", &["bytes::bytes::Bytes"]),
    (
        "files,form,http,json,log,websocket",
        &[
            "bytes::bytes::Bytes",
            "http::error::Error",
            "http::header::map::HeaderMap",
            "http::header::name::HeaderName",
            "http::header::value::HeaderValue",
            "http::request::Request",
            "http::response::Response",
            "http::status::StatusCode",
            "http_body::Body",
            "http_body::frame::Frame",
            "http_body::size_hint::SizeHint",
            "serde_core::de::DeserializeOwned",
            "serde_core::ser::Serialize",
        ],
    ),
];

#[test]
fn the_api_names_no_other_foreign_type() {
    for (features, expected) in FOREIGN {
        let found = foreign(&described(features));
        let expected: BTreeSet<String> = expected.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(found, expected, "with the features {features:?}");
    }
}

#[test]
fn a_foreign_type_is_found_wherever_it_is_named() {
    let reference = |id| serde_json::json!({ "path": "T", "id": id, "args": null });
    let described = serde_json::json!({
        "index": {
            "1": { "inner": { "function": { "sig": { "inputs": [["a", { "resolved_path": reference(7) }]] } } } },
            "2": { "inner": { "impl": { "trait": reference(8), "for": { "resolved_path": reference(1) } } } },
            "3": { "inner": { "use": { "source": "http::Uri", "name": "Uri", "id": 9, "is_glob": false } } },
            "4": { "inner": { "function": { "sig": { "output": { "resolved_path": reference(10) } } } } },
            "5": { "inner": { "impl": { "trait": reference(11), "blanket_impl": { "generic": "T" } } } },
            "6": { "inner": { "impl": { "trait": reference(12), "blanket_impl": null } } },
        },
        "paths": {
            "1": { "crate_id": 0, "path": ["ours", "Ours"] },
            "7": { "crate_id": 5, "path": ["mio", "Token"] },
            "8": { "crate_id": 6, "path": ["tower", "Service"] },
            "9": { "crate_id": 6, "path": ["http", "Uri"] },
            "10": { "crate_id": 2, "path": ["core", "time", "Duration"] },
            "11": { "crate_id": 6, "path": ["tower", "ServiceExt"] },
            "12": { "crate_id": 6, "path": ["tower", "Layer"] },
        },
        "external_crates": {
            "2": { "name": "core" }, "5": { "name": "mio" }, "6": { "name": "tower" },
        },
    });
    let found: Vec<String> = foreign(&described).into_iter().collect();
    assert_eq!(
        found,
        ["http::Uri", "mio::Token", "tower::Layer", "tower::Service"]
    );
}

/// The public API with these features, as rustdoc describes it.
fn described(features: &str) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("public-api");
    let output = Command::new(env!("CARGO"))
        .current_dir(root)
        .args(["rustdoc", "--quiet", "--locked", "-p", "coldstart", "--lib"])
        .args(["--features", features, "--target-dir"])
        .arg(&target)
        .args(["--", "-Z", "unstable-options", "--output-format", "json"])
        // The option is unstable, and the stable toolchain takes it with this variable.
        .env("RUSTC_BOOTSTRAP", "1")
        // What instruments the tests is not wanted here.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .output()
        .expect("cargo can be started");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let json = fs::read(target.join("doc/coldstart.json")).expect("rustdoc wrote its file");
    serde_json::from_slice(&json).expect("rustdoc writes JSON")
}

/// The items of other crates than std's that `described` refers to.
fn foreign(described: &Value) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    collect_references(&described["index"], &mut ids);
    let resolve = |id: String| {
        let item = &described["paths"][&id];
        let of_crate = item["crate_id"].to_string();
        let name = described["external_crates"][&of_crate]["name"].as_str();
        let is_foreign = name.is_some_and(|name| !["std", "core", "alloc"].contains(&name));
        let path = item["path"].as_array().filter(|_| is_foreign)?;
        let parts: Vec<&str> = path.iter().filter_map(Value::as_str).collect();
        Some(parts.join("::"))
    };
    ids.into_iter().filter_map(resolve).collect()
}

/// The ids in references: to a type or trait in a signature, or to what a `pub use` exports. What another crate implements for
/// every type is described with each of ours, and is not part of the API.
fn collect_references(value: &Value, ids: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) if fields.get("blanket_impl").is_some_and(Value::is_object) => {}
        Value::Object(fields) => {
            let is_path = fields.contains_key("path") && fields.contains_key("args");
            let is_export = fields.contains_key("source") && fields.contains_key("is_glob");
            if let Some(id) = fields.get("id").filter(|_| is_path || is_export) {
                ids.insert(id.to_string());
            }
            for field in fields.values() {
                collect_references(field, ids);
            }
        }
        Value::Array(values) => {
            for value in values {
                collect_references(value, ids);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
