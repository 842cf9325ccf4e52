//! The official page's example servers in each language, correct and with each mistake.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use crate::support::{
    Gateway, caller_error, coldstart, express_server, file, free_port, interpreter, server, stderr,
    stdout,
};

/// The start command of the page's example. `None` where an interpreter is missing.
fn command(language: &str) -> Option<Vec<String>> {
    match language {
        "python" => Some(vec![
            interpreter(&["python", "python3"])?,
            server("server.py"),
        ]),
        "node" => Some(vec![interpreter(&["node"])?, express_server()?]),
        "php" => Some(vec![interpreter(&["php"])?, server("server.php")]),
        "java" => {
            let words = [interpreter(&["java"])?, "-jar".to_owned(), demo_jar()?];
            Some(words.to_vec())
        }
        other => panic!("no {other} on the page"),
    }
}

/// Builds `demo.jar`, once per run.
fn demo_jar() -> Option<String> {
    static JAR: OnceLock<Option<String>> = OnceLock::new();
    JAR.get_or_init(|| {
        let (javac, jar) = (interpreter(&["javac"])?, interpreter(&["jar"])?);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("java");
        std::fs::create_dir_all(&folder).expect("created");
        let run = |program: &str, arguments: &[&str]| {
            let status = Command::new(program)
                .args(arguments)
                .current_dir(&folder)
                .status();
            assert!(status.expect("it runs").success(), "{program}");
        };
        run(&javac, &["-d", ".", &server("Demo.java")]);
        run(
            &jar,
            &[
                "--create",
                "--file",
                "demo.jar",
                "--main-class",
                "Demo",
                "-C",
                ".",
                "Demo.class",
            ],
        );
        Some(folder.join("demo.jar").to_string_lossy().into_owned())
    })
    .clone()
}

fn with_command<'a>(options: &[&'a str], command: &'a [String]) -> Vec<&'a str> {
    let mut all = options.to_vec();
    all.push("--");
    all.extend(command.iter().map(String::as_str));
    all
}

fn runs_unchanged(language: &str) {
    let Some(command) = command(language) else {
        return;
    };
    let port = free_port().to_string();
    let gateway = Gateway::start(&with_command(&["--port", &port], &command));
    let reply = gateway.call("GET", "/hello?x=1", "");
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (200, "GET /hello?x=1\n")
    );
    let reply = gateway.call(
        "POST",
        "/2023-03-30/functions/local/invocations",
        "an event",
    );
    assert_eq!((reply.status, reply.body.as_str()), (200, "POST /invoke\n"));
}

fn passes_every_check(language: &str) {
    let Some(command) = command(language) else {
        return;
    };
    let port = free_port().to_string();
    let output = coldstart(&with_command(&["check", "--port", &port], &command));
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
}

/// Runs a server with one mistake; returns its port, the callers' error and standard error.
fn not_started(language: &str, options: &[&str]) -> Option<(u16, serde_json::Value, String)> {
    let command = command(language)?;
    let port = free_port();
    let number = port.to_string();
    let mut all = vec!["run", "--gateway", "127.0.0.1:0", "--port", &number];
    all.extend(options);
    let output = coldstart(&with_command(&all, &command));
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    Some((port, caller_error(&output), stderr(&output)))
}

fn on_loopback(language: &str, fix: &str) {
    let Some((port, error, report)) = not_started(language, &["--env", "HOST=127.0.0.1"]) else {
        return;
    };
    let message = format!(
        "Function instance health check failed on port {port} in 120 seconds.\n\
         Logs:starting\nlistening on 127.0.0.1:{port}"
    );
    assert_eq!(error["Code"], "FunctionNotStarted");
    assert_eq!(error["Message"], message);
    assert!(
        report.contains("callers get 412 FunctionNotStarted"),
        "{report}"
    );
    assert!(
        report.contains(&format!(
            "listens on 127.0.0.1:{port}, which the platform's router cannot reach"
        )),
        "{report}"
    );
    assert!(report.contains(fix), "{report}");
}

fn on_another_port(language: &str) {
    let other = free_port();
    let setting = format!("OTHER_PORT={other}");
    let options = ["--start-timeout", "4", "--env", &setting];
    let Some((port, error, report)) = not_started(language, &options) else {
        return;
    };
    let message = format!(
        "Function instance health check failed on port {port} in 4 seconds.\nLogs:starting\nlistening on 0.0.0.0:{other}"
    );
    assert_eq!(error["Message"], message);
    assert!(
        report.contains(&format!(
            "listens on port {other}, the configured port is {port}"
        )),
        "{report}"
    );
    assert!(report.contains("FC_CUSTOM_LISTEN_PORT"), "{report}");
}

fn too_slow(language: &str) {
    let options = ["--start-timeout", "3", "--env", "DELAY=30"];
    let Some((port, error, report)) = not_started(language, &options) else {
        return;
    };
    let message = format!(
        "Function instance health check failed on port {port} in 3 seconds.\nLogs:starting"
    );
    assert_eq!(error["Message"], message);
    assert!(report.contains("listens on no port"), "{report}");
}

fn exits_at_once(language: &str) {
    let Some(command) = command(language) else {
        return;
    };
    let Some((_, error, report)) = not_started(language, &["--env", "EXIT=1"]) else {
        return;
    };
    let message = format!(
        "Function instance exited unexpectedly(code 1, message:operation not permitted) with start command '{} '. \
         Logs:nothing to serve",
        command.join(" ")
    );
    assert_eq!(
        (&error["Code"], &error["Message"]),
        (&"CAExited".into(), &message.into())
    );
    assert!(
        report.contains("ended with code 1 before it listened"),
        "{report}"
    );
}

fn short_keep_alive(language: &str, fix: &str) {
    let Some(command) = command(language) else {
        return;
    };
    let port = free_port().to_string();
    let options = [
        "check",
        "--port",
        &port,
        "--env",
        "KEEP_ALIVE=2",
        "--only",
        "K1",
        "--json",
    ];
    let output = coldstart(&with_command(&options, &command));
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let check = &report["checks"][0];
    let text = |field: &str| check[field].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        (text("id"), text("verdict")),
        ("K1".to_owned(), "fail".to_owned())
    );
    assert!(text("seen").contains("idle"), "{check}");
    assert!(
        text("caller").contains("Process exited unexpectedly before completing request"),
        "{check}"
    );
    assert!(text("fix").contains(fix), "{check}");
}

macro_rules! page {
    ($($language:ident: bind $bind:literal, keep-alive $keep_alive:literal;)*) => {$(
        mod $language {
            const LANGUAGE: &str = stringify!($language);

            #[test]
            fn the_example_runs() {
                super::runs_unchanged(LANGUAGE);
            }

            #[test]
            fn the_example_passes_every_check() {
                super::passes_every_check(LANGUAGE);
            }

            #[test]
            fn a_loopback_bind_is_reported() {
                super::on_loopback(LANGUAGE, $bind);
            }

            #[test]
            fn another_port_is_reported() {
                super::on_another_port(LANGUAGE);
            }

            #[test]
            fn a_slow_start_hits_the_limit() {
                super::too_slow(LANGUAGE);
            }

            #[test]
            fn an_exit_is_reported_with_its_code_and_logs() {
                super::exits_at_once(LANGUAGE);
            }

            #[test]
            fn a_short_keep_alive_is_reported() {
                super::short_keep_alive(LANGUAGE, $keep_alive);
            }
        }
    )*};
}

page! {
    python: bind "HTTPServer(('0.0.0.0', port)", keep-alive "uvicorn --timeout-keep-alive";
    node: bind "server.listen(port, '0.0.0.0')", keep-alive "server.keepAliveTimeout = 0";
    java: bind "new InetSocketAddress(port)", keep-alive "server.tomcat.keep-alive-timeout=-1";
    php: bind "stream_socket_server('tcp://0.0.0.0:9000')", keep-alive "Swoole or Workerman";
}

#[test]
fn the_old_error_text_matches_the_page() {
    let Some((port, error, _)) =
        not_started("python", &["--errors", "old", "--env", "HOST=127.0.0.1"])
    else {
        return;
    };
    assert_eq!(error["ErrorCode"], "FunctionNotStarted");
    let message = error["ErrorMessage"].as_str().expect("text");
    let start = format!(
        "The CA's http server cannot be started:ContainerStartDuration:120000000000. Ping CA failed due to: \
         dial tcp 21.0.XX.XX:{port}: getsockopt: connection refused Logs:2"
    );
    assert!(message.starts_with(&start), "{message}");
    assert!(
        message.ends_with(&format!("Z listening on 127.0.0.1:{port}")),
        "{message}"
    );
}

#[test]
fn the_pages_project_layout_starts_from_its_s_yaml() {
    let Some(python) = interpreter(&["python", "python3"]) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::copy(server("server.py"), folder.path().join("server.py")).expect("copied");
    let port = free_port();
    let yaml = format!(
        "edition: 3.0.0\nname: demo\nresources:\n  demo:\n    component: fc3\n    props:\n      runtime: custom.debian12\n\
         \x20     functionName: demo\n      code: .\n      customRuntimeConfig:\n        command: [{python}]\n\
         \x20       args: [server.py]\n        port: {port}\n"
    );
    let path = file(folder.path(), "s.yaml", yaml, 0o644);
    let gateway = Gateway::start(&[path.to_str().expect("text")]);
    assert_eq!(gateway.call("GET", "/", "").body, "GET /\n");
}
