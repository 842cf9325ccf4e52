//! What `check` reports, in each of its forms.

use crate::support::{
    DEADLINE, coldstart, file, free_port, interpreter, runs, server, stderr, stdout,
};

#[test]
fn a_file_that_cannot_start_fails_and_the_rest_is_not_applicable() {
    let folder = tempfile::tempdir().expect("a folder");
    file(folder.path(), "bootstrap", "#!/bin/sh\n", 0o644);
    let port = free_port().to_string();
    let source = folder.path().to_str().expect("text");
    let output = coldstart(&["check", source, "--port", &port]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let table = stdout(&output);
    assert!(table.contains("FAIL S1 "), "{table}");
    assert!(table.contains("CAFilePermission"), "{table}");
    // The start fails for the same reason, so it is no finding of its own.
    assert!(table.contains("also:   S3 for the same reason"), "{table}");
    assert!(table.contains("the server did not start"), "{table}");
    assert!(
        table.contains("0 passed") || table.contains("1 passed"),
        "{table}"
    );
}

#[test]
fn a_loopback_bind_fails_with_rule_error_and_fix() {
    let Some(python) = interpreter(&["python3", "python"]) else {
        return;
    };
    let port = free_port().to_string();
    let script = server("server.py");
    let folder = tempfile::tempdir().expect("a folder");
    let junit = folder.path().join("report.xml");
    let output = coldstart(&[
        "check",
        "--port",
        &port,
        "--env",
        "HOST=127.0.0.1",
        "--junit",
        junit.to_str().expect("text"),
        "--",
        &python,
        &script,
    ]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let table = stdout(&output);
    for expected in [
        "FAIL S3 ",
        "which the platform's router cannot reach",
        "rule:   bind 0.0.0.0 and accept within 120 s of the launch",
        &format!("Function instance health check failed on port {port} in 120 seconds.\\nLogs:"),
        "fix:    bind '0.0.0.0'",
    ] {
        assert!(table.contains(expected), "{expected} in {table}");
    }
    assert!(
        !table.contains('\u{1b}'),
        "colors where there is no terminal: {table}"
    );
    let report = std::fs::read_to_string(&junit).expect("the report");
    assert!(
        report.contains("<testcase classname=\"contract\" name=\"S3 "),
        "{report}"
    );
    assert!(report.contains("<failure message="), "{report}");
    assert!(report.contains("tests=\"36\""), "{report}");
}

#[test]
fn single_checks_can_be_selected() {
    let Some(python) = interpreter(&["python3", "python"]) else {
        return;
    };
    let port = free_port().to_string();
    let script = server("server.py");
    let output = coldstart(&[
        "check", "--port", &port, "--only", "S3,K2", "--json", "--", &python, &script,
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let ids: Vec<&str> = report["checks"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|check| check["id"].as_str())
        .collect();
    assert_eq!(ids, ["S3", "K2"]);
    assert_eq!(report["passed"], 2);
    let unknown = coldstart(&["check", "--only", "Z9", "--", "true"]);
    assert_eq!(unknown.status.code(), Some(3));
    assert!(
        stderr(&unknown).contains("there is no check `Z9`"),
        "{}",
        stderr(&unknown)
    );
}

#[test]
fn a_server_with_its_port_built_in_gets_one_warning() {
    let Some(python) = interpreter(&["python3", "python"]) else {
        return;
    };
    let port = free_port().to_string();
    let script = server("server.py");
    let setting = format!("OTHER_PORT={port}");
    let output = coldstart(&[
        "check", "--port", &port, "--env", &setting, "--only", "S3,S4,S7", "--json", "--", &python,
        &script,
    ]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let verdicts: Vec<&str> = report["checks"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|check| check["verdict"].as_str())
        .collect();
    // The port was chosen with --port and is the server's own, so it is served: a warning.
    assert_eq!(verdicts, ["pass", "warn", "pass"], "{report:#}");
}

#[test]
#[cfg_attr(not(on_linux), ignore = "other listeners are not seen")]
fn a_start_that_waits_for_the_wrong_port_says_so_while_it_waits() {
    let Some(python) = interpreter(&["python3", "python"]) else {
        return;
    };
    let (port, other) = (free_port().to_string(), free_port());
    let output = coldstart(&[
        "check",
        "--port",
        &port,
        "--env",
        &format!("OTHER_PORT={other}"),
        "--start-timeout",
        "3",
        "--only",
        "S3",
        "--",
        &python,
        &server("server.py"),
    ]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    let said = stderr(&output);
    let expected = format!(
        "note: the server listens on port {other}, the configured port is {port}; waiting on, for 3 s in all; fix: "
    );
    assert!(said.contains(&expected), "{said}");
}

#[test]
fn the_page_names_each_check_and_a_bad_path_costs_no_run() {
    let Some(python) = interpreter(&["python3", "python"]) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("page.html");
    let port = free_port().to_string();
    let script = server("server.py");
    let output = coldstart(&[
        "check",
        "--port",
        &port,
        "--env",
        "HOST=127.0.0.1",
        "--html",
        page.to_str().expect("text"),
        "--",
        &python,
        &script,
    ]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let text = std::fs::read_to_string(&page).expect("the page");
    for expected in [
        "<span class=\"mark fail\">FAIL</span>S3 ",
        "<dt>fix</dt><dd>bind '0.0.0.0'",
        "<small>the server did not start</small>",
        "1 failed",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    assert!(
        !text.contains("http://") && !text.contains("https://"),
        "{text}"
    );

    let code = tempfile::tempdir().expect("a folder");
    let mark = folder.path().join("started");
    let script = format!("#!/bin/sh\necho > {}\n", mark.display());
    let source = file(code.path(), "bootstrap", script, 0o755);
    let source = source.to_str().expect("text");
    for option in ["--html", "--junit"] {
        let missing = folder.path().join("missing/report");
        let missing = missing.to_str().expect("text");
        let output = coldstart(&["check", source, "--port", &port, option, missing]);
        assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
        assert!(stderr(&output).contains(missing), "{}", stderr(&output));
        assert!(!mark.exists(), "the function was started");
    }
}

#[test]
fn the_folder_of_temporary_files_can_be_the_code_directory() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().to_str().expect("text");
    file(folder.path(), "bootstrap", "#!/bin/sh\nexit 7\n", 0o755);
    let port = free_port().to_string();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_coldstart"))
        .args(["check", source, "--port", &port, "--only", "S3"])
        .env("TMPDIR", folder.path())
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stdout(&output).contains("ended with code 7"),
        "{}",
        stdout(&output)
    );
    let left = std::fs::read_dir(folder.path())
        .expect("the folder")
        .count();
    assert_eq!(left, 1, "a folder is left behind");
}

#[test]
fn an_interrupted_check_leaves_nothing() {
    let Some(python) = interpreter(&["python3", "python"]) else {
        return;
    };
    let scratch = tempfile::tempdir().expect("a folder");
    let code = tempfile::tempdir().expect("a folder");
    let port = free_port().to_string();
    // In the function's command line, so that no other test's function is meant.
    let own = format!("server.py interrupted-check-{port}");
    let script = format!(
        "#!/bin/sh\nexec {python} {} interrupted-check-{port}\n",
        server("server.py")
    );
    let source = file(code.path(), "bootstrap", script, 0o755);
    let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_coldstart"))
        .args(["check", source.to_str().expect("text"), "--port", &port])
        .env("TMPDIR", scratch.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("it starts");
    let deadline = std::time::Instant::now() + DEADLINE;
    while !runs(&own) {
        assert!(std::time::Instant::now() < deadline, "never launched");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let id = process.id().to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-INT", &id])
            .status()
            .expect("kill")
            .success(),
        "signalled"
    );
    assert_eq!(process.wait().expect("it ends").code(), Some(130));
    assert!(!runs(&own), "a function is left behind");
    assert_eq!(
        std::fs::read_dir(scratch.path())
            .expect("the folder")
            .count(),
        0,
        "a folder is left behind"
    );
}
