//! The verdicts of `check` on right and wrong servers: no false alarm, and no mistake that is missed.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use serde_json::Value;

use crate::support::{coldstart_in, express_server, free_port, interpreter, server, stderr};

/// Every check has something to look at.
const ALL: [&str; 7] = [
    "--initializer",
    "--pre-stop",
    "--health=/health",
    "--fault-path=/fault",
    "--stream-path=/events",
    "--env=COLDSTART_CHECK=1",
    "--json",
];
/// Each run waits most of its time.
const AT_A_TIME: usize = 4;
/// In a sandbox, if this kernel allows one, and without.
const MODES: [&[&str]; 2] = [&[], &["--no-sandbox"]];

/// Servers of `mistakes.py` that keep every rule, each in its own way.
const RIGHT: [(&str, &[&str]); 7] = [
    ("", &[]),
    ("echo", &[]),
    ("no-root", &["--path=/health"]),
    ("quick-events", &[]),
    ("late-event", &[]),
    ("endless-events", &[]),
    ("slow-start", &[]),
];

/// Mistakes of `mistakes.py`, and the findings that name each.
const WRONG: [(&str, &[&str]); 41] = [
    ("one-worker", &["S5 fail"]),
    ("needs-variables", &["S7 warn"]),
    ("ends-early", &["S3 fail"]),
    ("small-body", &["P1 fail"]),
    ("no-empty-event", &["P1 fail"]),
    ("route-hidden", &["P3 warn"]),
    ("no-method", &["P2 fail"]),
    ("small-head", &["P4 fail"]),
    ("small-together", &["P4 fail"]),
    ("big-response-head", &["P5 warn"]),
    ("whole-events", &["P6 fail"]),
    ("held-events", &["P6 fail"]),
    ("head-body", &["P7 fail"]),
    ("short-idle", &["K1 fail"]),
    ("unused", &["K1b warn"]),
    ("max-requests", &["K2 fail"]),
    ("max-age", &["K2b fail"]),
    ("closes", &["K3 fail"]),
    ("freeze", &["K1 fail"]),
    ("initialize-once", &["H1 fail"]),
    ("pre-stop-fails", &["H2 fail"]),
    ("slow-health", &["S3 fail"]),
    ("mixed-up", &["C1 fail"]),
    ("serial", &["C1 warn"]),
    ("crash", &["C2 fail"]),
    ("malformed-crash", &["C2 fail"]),
    ("dies-with-callers", &["S5 fail"]),
    ("unmarked", &["E1 warn"]),
    ("late-log", &["L1 warn"]),
    ("buffered-log", &["L1 warn"]),
    ("logs-secrets", &["L2 fail"]),
    ("unbalanced", &["L3 warn"]),
    ("ignores-sigterm", &["X1 warn"]),
    ("cuts-off", &["X1 warn"]),
    ("silent-port", &["X2 warn"]),
    ("leak", &["R1 warn"]),
    ("descriptors", &["R2 warn"]),
    ("zombies", &["R3 warn"]),
    ("writes-code", &["S6 warn"]),
    ("writes-later", &["S6 warn"]),
    ("fixed-port", &["S4 warn"]),
];

/// A server: how it starts, and the findings that it has to get.
struct Case {
    name: &'static str,
    words: Vec<String>,
    options: Vec<String>,
    files: Vec<(&'static str, String)>,
    expected: &'static [&'static str],
}

#[test]
fn right_servers_raise_no_alarm() {
    let Some(python) = interpreter(&["python3", "python"]) else {
        return;
    };
    let cases: Vec<Case> = RIGHT
        .iter()
        .map(|(kind, options)| of_mistakes(&python, &format!("KIND={kind}"), options, &[]))
        .collect();
    judge(cases);
}

#[test]
fn each_mistake_gets_its_finding_and_no_other() {
    let Some(python) = interpreter(&["python3", "python"]) else {
        return;
    };
    let cases: Vec<Case> = WRONG
        .iter()
        .map(|(mistake, expected)| {
            of_mistakes(&python, &format!("MISTAKE={mistake}"), &[], expected)
        })
        .collect();
    judge(cases);
}

#[test]
fn servers_as_people_write_them_get_the_findings_that_they_deserve() {
    judge(others());
}

fn of_mistakes(
    python: &str,
    variable: &str,
    options: &[&str],
    expected: &'static [&'static str],
) -> Case {
    let source = std::fs::read_to_string(server("mistakes.py")).expect("the server");
    let mut all: Vec<String> = ALL.iter().map(|option| (*option).to_owned()).collect();
    all.push(format!("--env={variable}"));
    all.extend(options.iter().map(|option| (*option).to_owned()));
    Case {
        name: "mistakes.py",
        words: vec![python.to_owned(), "mistakes.py".to_owned()],
        options: all,
        files: vec![("mistakes.py", source)],
        expected,
    }
}

fn others() -> Vec<Case> {
    let mut all = Vec::new();
    let mut add = |name, words: &[&str], files: Vec<(&'static str, String)>, expected| {
        all.push(Case {
            name,
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            options: vec!["--json".to_owned()],
            files,
            expected,
        });
    };
    let read = |name| std::fs::read_to_string(server(name)).expect("the server");
    if let Some(python) = interpreter(&["python3", "python"]) {
        let files = || vec![("server.py", read("server.py"))];
        // No handler for SIGTERM.
        add("threads", &[&python, "server.py"], files(), &["X1 warn"]);
        let script = format!("{python} server.py; exit $?");
        add(
            "a shell around it",
            &["sh", "-c", &script],
            files(),
            &["X1 warn"],
        );
        // HTTP/1.0: the connection ends with each response.
        let script = format!("exec {python} -m http.server $FC_CUSTOM_LISTEN_PORT");
        add(
            "http.server",
            &["sh", "-c", &script],
            Vec::new(),
            &["K3 fail", "X1 warn"],
        );
    }
    if let Some(php) = interpreter(&["php"]) {
        let files = vec![("server.php", read("server.php"))];
        add(
            "streams",
            &[&php, "server.php"],
            files,
            &["X1 warn", "X2 warn"],
        );
        let files = vec![("index.php", "<?php echo 'hello';".to_owned())];
        let script = format!("exec {php} -S 0.0.0.0:$FC_CUSTOM_LISTEN_PORT");
        add(
            "php -S",
            &["sh", "-c", &script],
            files,
            &["K3 fail", "X1 warn"],
        );
    }
    if let (Some(node), Some(express)) = (interpreter(&["node", "nodejs"]), express_server()) {
        // Express calls the listener with the error of a port in use, and the process ends as if all were well.
        add(
            "Express",
            &[&node, &express],
            Vec::new(),
            &["X1 warn", "X2 warn"],
        );
        let plain = "require('http').createServer((request, response) => request.resume().on('end', () => response.end('ok')))\
                     .listen(process.env.FC_CUSTOM_LISTEN_PORT)";
        let files = vec![("server.js", plain.to_owned())];
        // Node closes a connection that is idle for 5 s; a port that is not a number is a path to it.
        add(
            "Node",
            &[&node, "server.js"],
            files,
            &["K1 fail", "X1 warn", "X2 warn"],
        );
    }
    all
}

/// Runs all and shows every difference.
fn judge(cases: Vec<Case>) {
    let cases = Mutex::new(cases);
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let Some(case) = cases.lock().expect("the cases").pop() else {
                        return;
                    };
                    for mode in MODES {
                        if let Some(difference) = difference(&case, mode) {
                            wrong.lock().expect("the differences").push(difference);
                        }
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("the differences");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn difference(case: &Case, mode: &[&str]) -> Option<String> {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in &case.files {
        std::fs::write(folder.path().join(name), content).expect("written");
    }
    let port = free_port().to_string();
    let built_in = format!("--env=BUILT_IN={port}");
    let mut arguments = vec!["check", "--port", &port, &built_in];
    arguments.extend(mode);
    arguments.extend(case.options.iter().map(String::as_str));
    arguments.push("--");
    arguments.extend(case.words.iter().map(String::as_str));
    let output = coldstart_in(folder.path(), &arguments);
    let what = format!("{} {}", case.name, arguments.join(" "));
    let Ok(report) = serde_json::from_slice::<Value>(&output.stdout) else {
        return Some(format!("{what}: {}", stderr(&output)));
    };
    let mut left = files_of(folder.path());
    left.retain(|name| !case.files.iter().any(|(known, _)| known == name));
    let expected: BTreeSet<String> = case
        .expected
        .iter()
        .map(|text| (*text).to_owned())
        .collect();
    let found = roots(&report);
    let is_same = found.keys().eq(expected.iter()) && left.is_empty();
    (!is_same).then(|| {
        format!("{what}\n  expected {expected:?}\n  found {found:#?}\n  left behind {left:?}")
    })
}

/// The findings to act on, each with what was seen.
fn roots(report: &Value) -> std::collections::BTreeMap<String, String> {
    let checks = report["checks"].as_array().expect("a list").iter();
    let checks = checks.filter(|check| check["because"].is_null());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    checks
        .filter(|check| ["fail", "warn"].contains(&check["verdict"].as_str().expect("a verdict")))
        .map(|check| {
            let name = format!("{} {}", text(&check["id"]), text(&check["verdict"]));
            (name, text(&check["seen"]))
        })
        .collect()
}

fn files_of(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder").flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}
