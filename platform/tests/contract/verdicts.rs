//! The verdicts of `check` on right and wrong servers: no false alarm, and no mistake that is missed.
//!
//! Each server runs in one of the modes; `VERDICTS=all` runs each in every mode, which takes minutes (`.ci/long verdicts`).

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Condvar, Mutex};
use std::thread;

use serde_json::Value;

use crate::corpus::{self, Case};
use crate::support::{coldstart_in, file, free_port, interpreter, server, stderr};

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
const AT_A_TIME: usize = 6;
/// In a sandbox with and without a network of its own, if this kernel allows one, and without a sandbox.
const MODES: [&[&str]; 3] = [&[], &["--network=host"], &["--no-sandbox"]];

/// Servers of `mistakes.py` that keep every rule, each in its own way.
const RIGHT: [(&str, &[&str]); 8] = [
    ("", &[]),
    ("echo", &[]),
    ("no-root", &["--path=/health"]),
    ("quick-events", &[]),
    ("late-event", &[]),
    ("endless-events", &[]),
    ("slow-start", &[]),
    ("moody-health", &[]),
];

/// Mistakes of `mistakes.py`, and the findings that name each.
const WRONG: [(&str, &[&str]); 44] = [
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
    ("slow-max-age", &["K2b fail"]),
    ("closes", &["K3 fail"]),
    ("freeze", &["K1 fail"]),
    ("initialize-once", &["H1 fail"]),
    ("pre-stop-fails", &["H2 fail"]),
    ("slow-health", &["S3 fail"]),
    ("sick-health", &["H4 fail"]),
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
    ("wears-out", &["R1 fail"]),
    ("zombies", &["R3 warn"]),
    ("writes-code", &["S6 warn"]),
    ("writes-later", &["S6 warn"]),
    ("fixed-port", &["S4 warn"]),
];

#[test]
fn right_servers_raise_no_alarm() {
    let Some(python) = interpreter(&["python3", "python"]) else {
        return;
    };
    let cases: Vec<Case> = RIGHT
        .iter()
        .map(|(kind, options)| of_mistakes(&python, &format!("KIND={kind}"), options, &[]))
        .collect();
    judge(&cases);
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
    judge(&cases);
}

#[test]
fn servers_as_people_write_them_get_the_findings_that_they_deserve() {
    let mut cases = corpus::servers();
    if runs_all() {
        cases.extend(corpus::slow_servers());
    }
    judge(&cases);
}

fn of_mistakes(
    python: &str,
    variable: &str,
    options: &[&str],
    expected: &'static [&'static str],
) -> Case {
    let source = std::fs::read(server("mistakes.py")).expect("the server");
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

/// Runs all and shows every difference.
fn judge(cases: &[Case]) {
    // The tests of this file run at the same time, and share the machine.
    static PLACES: Places = Places::new(AT_A_TIME);
    let runs = cases.iter().enumerate().flat_map(|(number, case)| {
        let is_chosen = move |mode: &usize| runs_all() || *mode == number % MODES.len();
        (0..MODES.len())
            .filter(is_chosen)
            .map(move |mode| (case, MODES[mode]))
    });
    let wrong: Vec<String> = thread::scope(|scope| {
        let judging: Vec<_> = runs
            .map(|(case, mode)| scope.spawn(move || PLACES.take(|| difference(case, mode))))
            .collect();
        let judged = judging
            .into_iter()
            .map(|judging| judging.join().expect("judged"));
        judged.flatten().collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests read the environment that they run in"
)]
fn runs_all() -> bool {
    std::env::var("VERDICTS").as_deref() == Ok("all")
}

/// This many runs go on at a time.
struct Places {
    free: Mutex<usize>,
    freed: Condvar,
}

impl Places {
    const fn new(count: usize) -> Self {
        Self {
            free: Mutex::new(count),
            freed: Condvar::new(),
        }
    }

    fn take<T>(&self, run: impl FnOnce() -> T) -> T {
        let free = self.free.lock().expect("the places");
        let mut free = self
            .freed
            .wait_while(free, |free| *free == 0)
            .expect("the places");
        *free -= 1;
        drop(free);
        let result = run();
        *self.free.lock().expect("the places") += 1;
        self.freed.notify_one();
        result
    }
}

fn difference(case: &Case, mode: &[&str]) -> Option<String> {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in &case.files {
        file(folder.path(), name, content, 0o755);
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
