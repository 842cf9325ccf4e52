//! The files that `new --deploy` writes, held to the schemas that the engines publish.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{coldstart_in, interpreter, missing, stderr, stdout};

const FILES: [&str; 3] = ["kubernetes.yaml", "knative.yaml", "cloud-run.yaml"];

/// A project for every engine that takes this kind.
fn project(folder: &Path, kind: &str, engines: &str) -> PathBuf {
    let name = format!("demo-{kind}");
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut arguments = vec!["new", &name, "--kind", kind, "--deploy", engines];
    arguments.extend(["--library", library.to_str().expect("text")]);
    let made = coldstart_in(folder, &arguments);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    folder.join(name)
}

fn read(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("the file");
    assert!(!text.contains("{{"), "{text}");
    let documents = text.split("\n---\n");
    let parsed = documents.map(|text| serde_saphyr::from_str(text).expect("YAML"));
    parsed.collect()
}

/// What the validators that `ci-setup` installs say; `None` without them.
fn verdicts(files: &[PathBuf]) -> Option<Vec<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests");
    let python = folder.join("venv/bin/python");
    if !python.is_file() || !folder.join("node_modules/list").is_file() {
        return missing("the schemas of engines");
    }
    let node = interpreter(&["node", "nodejs"])?;
    let mut said = vec![said(
        Command::new(python)
            .arg(folder.join("validate.py"))
            .args(files),
        "",
    )];
    for file in files.iter().filter(|file| file.ends_with("knative.yaml")) {
        let service = read(file).remove(0).to_string();
        let mut command = Command::new(&node);
        said.push(self::said(
            command.arg(folder.join("knative.mjs")),
            &service,
        ));
    }
    Some(said)
}

fn said(command: &mut Command, input: &str) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("its input");
    stdin.write_all(input.as_bytes()).expect("written");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    stdout(&output) + &stderr(&output)
}

#[test]
fn every_file_has_the_keys_of_its_engine_and_no_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut files = Vec::new();
    for kind in ["http", "sse", "mcp", "axum"] {
        let project = project(folder.path(), kind, "knative,cloud-run,kubernetes");
        files.extend(FILES.map(|file| project.join(file)));
    }
    let Some(said) = verdicts(&files) else {
        return;
    };
    assert!(
        said.len() == 5 && said.iter().all(|text| text.trim() == "0 wrong"),
        "{said:#?}"
    );
}

#[test]
fn a_key_that_the_engine_does_not_know_is_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let project = project(folder.path(), "http", "knative,cloud-run,kubernetes");
    let files = FILES.map(|file| project.join(file));
    for (right, wrong) in [
        ("path: /healthz", "pth: /healthz"),
        ("containerPort: 9000", "containerPort: nine"),
        ("resources:", "resource:"),
    ] {
        let whole: Vec<String> = files
            .iter()
            .map(|file| fs::read_to_string(file).expect("the file"))
            .collect();
        for (file, text) in files.iter().zip(&whole) {
            assert!(text.contains(right), "{text}");
            fs::write(file, text.replace(right, wrong)).expect("written");
        }
        let Some(said) = verdicts(&files) else {
            return;
        };
        assert!(said[0].ends_with("3 wrong\n"), "{wrong}: {said:#?}");
        for (file, text) in files.iter().zip(&whole) {
            fs::write(file, text).expect("written");
        }
    }
    // What a service has beside a pod.
    let text = fs::read_to_string(&files[1]).expect("the file");
    let wrong = text.replace("timeoutSeconds: 60", "timeoutSeconds: \"60\"");
    fs::write(&files[1], wrong).expect("written");
    if let Some(said) = verdicts(&files[1..2]) {
        assert!(said[1].starts_with("1 wrong"), "{said:#?}");
    }
}

/// The value at the keys, of which a number is an index.
fn at<'a>(document: &'a Value, path: &str) -> &'a Value {
    let pointer = format!("/{}", path.replace('.', "/"));
    let found = document.pointer(&pointer);
    found.unwrap_or_else(|| panic!("no {path} in {document}"))
}

#[test]
fn every_engine_gets_the_same_function() {
    let folder = tempfile::tempdir().expect("a folder");
    let all = "fc,fc-image,knative,cloud-run,kubernetes";
    let project = project(folder.path(), "http", all);
    let [zip, image, knative, cloud_run] =
        ["s.yaml", "s-image.yaml", "knative.yaml", "cloud-run.yaml"]
            .map(|file| read(&project.join(file)).remove(0));
    let kubernetes = read(&project.join("kubernetes.yaml"));
    let props = "resources.demo-http.props";
    let spec = "spec.template.spec";
    let container = "spec.template.spec.containers.0";
    let name = "registry.example/team/demo-http:0.1.0";
    for (document, port, concurrency, place) in [
        (&zip, "customRuntimeConfig.port", "instanceConcurrency", ""),
        (
            &image,
            "customContainerConfig.port",
            "instanceConcurrency",
            "customContainerConfig.image",
        ),
    ] {
        assert_eq!(*at(document, &format!("{props}.{port}")), 9000);
        assert_eq!(*at(document, &format!("{props}.{concurrency}")), 200);
        assert!(place.is_empty() || *at(document, &format!("{props}.{place}")) == name);
    }
    for document in [&knative, &cloud_run] {
        assert_eq!(*at(document, &format!("{spec}.containerConcurrency")), 200);
        assert_eq!(
            *at(document, &format!("{spec}.timeoutSeconds")),
            *at(&zip, &format!("{props}.timeout"))
        );
    }
    for document in [&knative, &cloud_run, &kubernetes[0]] {
        assert_eq!(*at(document, "metadata.name"), "demo-http");
        assert_eq!(*at(document, &format!("{container}.image")), name);
        assert_eq!(
            *at(document, &format!("{container}.ports.0.containerPort")),
            9000
        );
        assert_eq!(
            *at(document, &format!("{container}.resources.limits.memory")),
            "512Mi"
        );
    }
    let readme = fs::read_to_string(project.join("README.md")).expect("the page");
    for file in [
        "s-image.yaml",
        "knative.yaml",
        "cloud-run.yaml",
        "kubernetes.yaml",
    ] {
        assert!(readme.contains(file), "{readme}");
    }
    assert!(readme.contains(&format!("docker://{name}\n")), "{readme}");
}

#[test]
fn a_rollout_in_kubernetes_outlasts_the_hook_and_the_drain() {
    let folder = tempfile::tempdir().expect("a folder");
    let project = project(folder.path(), "http", "kubernetes");
    let kubernetes = read(&project.join("kubernetes.yaml"));
    let spec = "spec.template.spec";
    let container = "spec.template.spec.containers.0";
    // Kubernetes does not set the port. What a rollout selects is what the service sends to.
    assert_eq!(
        *at(&kubernetes[0], &format!("{container}.env.0.value")),
        "9000"
    );
    assert_eq!(
        at(&kubernetes[0], "spec.template.metadata.labels"),
        at(&kubernetes[1], "spec.selector")
    );
    assert_eq!(
        at(&kubernetes[0], "spec.selector.matchLabels"),
        at(&kubernetes[1], "spec.selector")
    );
    let hook = at(
        &kubernetes[0],
        &format!("{container}.lifecycle.preStop.sleep.seconds"),
    );
    let grace = at(
        &kubernetes[0],
        &format!("{spec}.terminationGracePeriodSeconds"),
    );
    assert!(
        grace.as_u64() > hook.as_u64().map(|hook| hook + 10),
        "{grace} {hook}"
    );
    // The image runs as the user whom the cluster expects.
    assert_eq!(
        *at(&kubernetes[0], &format!("{spec}.securityContext.runAsUser")),
        65534
    );
}

#[test]
fn what_an_engine_would_refuse_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    for (arguments, why) in [
        (
            &["a_b", "--deploy", "knative"][..],
            "Knative takes no _ in names; choose another, such as a-b",
        ),
        (
            &["ends-", "--deploy", "kubernetes"],
            "ends with -; choose another, such as ends",
        ),
        (
            &["a", "--kind", "event", "--deploy", "fc,cloud-run"],
            "Cloud Run sends no events to /invoke",
        ),
        (
            &["null"],
            "YAML does not read it as text; choose another, such as null-function",
        ),
    ] {
        let refused = coldstart_in(folder.path(), &[&["new"], arguments].concat());
        assert_eq!(refused.status.code(), Some(3), "{arguments:?}");
        assert!(stderr(&refused).contains(why), "{}", stderr(&refused));
        assert!(
            !folder.path().join(arguments[0]).exists(),
            "nothing is left"
        );
    }
    // Function Compute takes the name, and sends events.
    let fc = ["new", "a_b", "--kind", "event", "--deploy", "fc,fc-image"];
    let made = coldstart_in(folder.path(), &fc);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    // An image is not run as code, and the message says so.
    let run = coldstart_in(&folder.path().join("a_b"), &["run", "s-image.yaml"]);
    assert_eq!(run.status.code(), Some(3));
    assert!(
        stderr(&run).contains("starts from an image"),
        "{}",
        stderr(&run)
    );
}
