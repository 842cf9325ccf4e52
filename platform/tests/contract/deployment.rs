//! Deployment files as people write them, each with a real server.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{Gateway, coldstart_in, file, free_port, interpreter, server, stderr};

/// Runs the file's function, and returns what was printed until it is ready, its environment included.
fn run(folder: &Path, port: u16) -> String {
    let path = folder.join("s.yaml");
    let port = port.to_string();
    let gateway = Gateway::start(&[path.to_str().expect("text"), "--port", &port]);
    gateway.wait_for("ready:")
}

/// A folder with the code in it.
fn project(text: &str) -> Option<(tempfile::TempDir, u16)> {
    let python = interpreter(&["python3", "python"])?;
    let folder = tempfile::tempdir().expect("a folder");
    let lab = fs::read(server("lab.py")).expect("the server");
    file(folder.path(), "code/lab.py", lab, 0o644);
    let start = format!("#!/bin/sh\nenv\nexec {python} \"$FC_FUNC_CODE_PATH\"/lab.py\n");
    file(folder.path(), "code/bin/serve", start, 0o755);
    file(folder.path(), "s.yaml", text, 0o644);
    Some((folder, free_port()))
}

const APPLICATION: &str = "
edition: 3.0.0
name: app
access: default
vars:
  region: ${env('NO_SUCH_VARIABLE', 'cn-shanghai')}
  common: {STAGE: test, DEPTH: 3}
template:
  base:
    runtime: custom.debian12
    environmentVariables: ${vars.common}
resources:
  web:
    component: devsapp/fc3@0.1.5
    extend: {name: base}
    actions:
      pre-deploy: [{run: make, path: ./code}]
    props:
      region: ${vars.region}
      functionName: ${this.name}-${vars.common.STAGE}
      code: {src: ./code}
      cpu: 0.35
      layers: [acs:fc:layers/One/versions/1]
      environmentVariables:
        PATH: /code/bin:${env('PATH')}
        NAME: ${resources.web.props.functionName}
      customRuntimeConfig:
        command: [serve]
      instanceLifecycleConfig:
        initializer: {handler: ''}
      triggers:
  domain:
    component: fc3-domain
    props: {routeConfig: {routes: [{functionName: '${resources.web.props.functionName}'}]}}
";

#[test]
fn an_application_with_everything_in_it_starts() {
    let Some((folder, port)) = project(APPLICATION) else {
        return;
    };
    let printed = run(folder.path(), port);
    for expected in [
        "STAGE=test",
        "DEPTH=3",
        "NAME=web-test",
        "FC_FUNCTION_NAME=web-test",
        "FC_REGION=cn-shanghai",
        "note: ",
        "not run here: pre-deploy `make` in ./code",
        "layers are missing: their files are not in /opt: acs:fc:layers/One/versions/1",
        "no effect here: cpu",
    ] {
        assert!(printed.contains(expected), "{expected}: {printed}");
    }
    assert_eq!(printed.matches("no effect here").count(), 1, "{printed}");
}

#[test]
fn a_file_of_component_fc_starts() {
    let text = "
edition: 1.0.0
services:
  two:
    component: fc
    props:
      region: cn-hangzhou
      service: {name: svc}
      function: {name: '${two.props.service.name}-fn', runtime: custom, codeUri: ./code, customRuntimeConfig: {command: [/code/bin/serve]}}
";
    let Some((folder, port)) = project(text) else {
        return;
    };
    let printed = run(folder.path(), port);
    assert!(printed.contains("FC_FUNCTION_NAME=svc-fn"), "{printed}");
}

#[test]
fn a_jar_stays_a_file_for_java_jar_and_is_unpacked_otherwise() {
    let (Some(java), Some(compiler)) = (interpreter(&["java"]), interpreter(&["javac"])) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let classes = folder.path().join("classes");
    let compiled = Command::new(compiler)
        .arg("-d")
        .arg(&classes)
        .arg(server("Demo.java"))
        .status();
    assert!(compiled.expect("javac runs").success(), "compiled");
    let jar = fs::File::create(folder.path().join("web.jar")).expect("a file");
    let mut zip = zip::ZipWriter::new(jar);
    let options = zip::write::SimpleFileOptions::default();
    let manifest = b"Manifest-Version: 1.0\r\nMain-Class: Demo\r\n\r\n";
    let mut entry = |name: &str, content: &[u8]| {
        zip.start_file(name, options).expect("an entry");
        std::io::Write::write_all(&mut zip, content).expect("its content");
    };
    entry("META-INF/MANIFEST.MF", manifest);
    for class in fs::read_dir(&classes).expect("the classes").flatten() {
        let name = class.file_name();
        entry(
            name.to_str().expect("text"),
            &fs::read(class.path()).expect("a class"),
        );
    }
    zip.finish().expect("finished");
    for command in [format!("{java}, -jar, web.jar"), format!("{java}, Demo")] {
        let text = format!(
            "resources:\n  web:\n    component: fc3\n    props:\n      code: ./web.jar\n      \
             customRuntimeConfig: {{command: [{command}]}}\n"
        );
        file(folder.path(), "s.yaml", text, 0o644);
        let path = folder.path().join("s.yaml");
        let port = free_port().to_string();
        Gateway::start(&[path.to_str().expect("text"), "--port", &port]);
    }
}

/// The keys that a new project's `s.yaml` may have, with what the published schema of fc3 allows (devsapp/fc3, 2026-05).
#[derive(Clone, Copy)]
enum Allowed {
    Text,
    OneOf(&'static [&'static str]),
    /// At least, at most, and a multiple of.
    Number(f64, f64, f64),
    Each(&'static [&'static str]),
    Map(&'static [(&'static str, Self)]),
    List(&'static [(&'static str, Self)]),
}

const HOOK: Allowed = Allowed::Map(&[
    ("handler", Allowed::Text),
    ("timeout", Allowed::Number(1.0, f64::MAX, 1.0)),
]);
const PROPS: &[(&str, Allowed)] = &[
    (
        "region",
        Allowed::OneOf(&[
            "cn-hangzhou",
            "cn-shanghai",
            "cn-beijing",
            "cn-shenzhen",
            "cn-hongkong",
        ]),
    ),
    ("functionName", Allowed::Text),
    ("description", Allowed::Text),
    ("logConfig", Allowed::OneOf(&["auto"])),
    (
        "runtime",
        Allowed::OneOf(&[
            "custom",
            "custom.debian10",
            "custom.debian11",
            "custom.debian12",
        ]),
    ),
    ("handler", Allowed::Text),
    ("code", Allowed::Text),
    ("cpu", Allowed::Number(0.05, 16.0, 0.05)),
    ("memorySize", Allowed::Number(128.0, 32_768.0, 64.0)),
    ("diskSize", Allowed::Number(512.0, 10_240.0, 512.0)),
    ("timeout", Allowed::Number(1.0, 86_400.0, 1.0)),
    ("instanceConcurrency", Allowed::Number(1.0, 200.0, 1.0)),
    (
        "customRuntimeConfig",
        Allowed::Map(&[("port", Allowed::Number(1.0, 65_535.0, 1.0))]),
    ),
    (
        "instanceLifecycleConfig",
        Allowed::Map(&[("initializer", HOOK), ("preStop", HOOK)]),
    ),
    (
        "triggers",
        Allowed::List(&[
            ("triggerName", Allowed::Text),
            ("triggerType", Allowed::OneOf(&["http"])),
            (
                "triggerConfig",
                Allowed::Map(&[
                    (
                        "authType",
                        Allowed::OneOf(&["anonymous", "function", "jwt"]),
                    ),
                    (
                        "methods",
                        Allowed::Each(&[
                            "GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS",
                        ]),
                    ),
                ]),
            ),
        ]),
    ),
];

impl Allowed {
    fn accepts(self, value: &serde_json::Value, path: &str) -> Result<(), String> {
        let fits = match self {
            Self::Text => value.is_string(),
            Self::OneOf(words) => value.as_str().is_some_and(|word| words.contains(&word)),
            Self::Number(low, high, step) => value.as_f64().is_some_and(|number| {
                let steps = number / step;
                (low..=high).contains(&number) && (steps - steps.round()).abs() < 1e-9
            }),
            Self::Each(words) => value.as_array().is_some_and(|items| {
                let known = |item: &serde_json::Value| {
                    item.as_str().is_some_and(|word| words.contains(&word))
                };
                items.iter().all(known)
            }),
            Self::Map(keys) => return accepts_map(keys, value, path),
            Self::List(keys) => {
                let items = value
                    .as_array()
                    .ok_or_else(|| format!("{path} is no list"))?;
                return items
                    .iter()
                    .try_for_each(|item| accepts_map(keys, item, path));
            }
        };
        fits.then_some(()).ok_or_else(|| format!("{path}: {value}"))
    }
}

fn accepts_map(
    keys: &[(&str, Allowed)],
    value: &serde_json::Value,
    path: &str,
) -> Result<(), String> {
    let fields = value
        .as_object()
        .ok_or_else(|| format!("{path} is no map"))?;
    fields.iter().try_for_each(|(key, value)| {
        let path = format!("{path}.{key}");
        let known = keys.iter().find(|(name, _)| name == key);
        let (_, allowed) = known.ok_or_else(|| format!("{path} is not in the schema"))?;
        allowed.accepts(value, &path)
    })
}

#[test]
fn what_new_writes_is_valid_and_has_no_unknown_key() {
    for kind in ["http", "event", "sse", "mcp", "axum"] {
        let folder = tempfile::tempdir().expect("a folder");
        let made = coldstart_in(folder.path(), &["new", "demo", "--kind", kind]);
        assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
        let text = fs::read_to_string(folder.path().join("demo/s.yaml")).expect("the file");
        let tree: serde_json::Value = serde_saphyr::from_str(&text).expect("YAML");
        assert_eq!(tree["edition"], "3.0.0");
        let resource = &tree["resources"]["demo"];
        assert_eq!(resource["component"], "fc3");
        let props = &resource["props"];
        for required in ["functionName", "region", "runtime", "code"] {
            assert!(props[required].is_string(), "{kind}: {required}");
        }
        assert_eq!(accepts_map(PROPS, props, "props"), Ok(()), "{kind}");
        // Our own reader agrees.
        let read = coldstart_in(
            &folder.path().join("demo"),
            &["run", "--no-build", "--gateway", "127.0.0.1:0"],
        );
        assert_eq!(read.status.code(), Some(3), "{}", stderr(&read));
        let message = stderr(&read);
        assert!(
            message.contains("function.zip does not exist; build it first"),
            "{message}"
        );
    }
}

#[test]
fn an_error_in_the_file_is_one_line_with_its_place() {
    let Some((folder, _)) = project(&APPLICATION.replace("cpu: 0.35", "memorySize: lots")) else {
        return;
    };
    for command in ["run", "check", "pack"] {
        let output = coldstart_in(folder.path(), &[command]);
        assert_eq!(output.status.code(), Some(3), "{command}");
        let message = stderr(&output);
        let expected = "error: ./s.yaml:22: resources.web.props.memorySize: expected a number, found the text `lots`\n";
        assert_eq!(message, expected, "{command}");
    }
}
