//! Replays the sessions of README's first section, and those of the page for other languages. Times, ids and ports differ from run to run; everything else is compared.

use std::fs;
use std::path::Path;

use crate::support::{Gateway, coldstart_in, file, free_port, interpreter, server, stderr, stdout};

const README: &str = include_str!("../../README.md");
const OTHER_LANGUAGES: &str = include_str!("../../../docs/other-languages.md");
/// A Node server as most people write it.
const NODE_SERVER: &str = "const http = require('http');
http.createServer((request, response) => {
  let length = 0;
  request.on('data', (piece) => { length += piece.length; });
  request.on('end', () => {
    console.log(`${request.method} ${request.url}`);
    response.end(`${length} bytes\\n`);
  });
}).listen(process.env.FC_CUSTOM_LISTEN_PORT || 9000, '0.0.0.0');
";

/// The output of the session number `index` in `## Thirty seconds`, without its commands, and the exit status it ends with.
fn session(index: usize, command: &str) -> (Vec<String>, Option<i32>) {
    let section = README
        .split_once("## Thirty seconds")
        .expect("the section")
        .1;
    let block = section
        .split("```console\n")
        .nth(index + 1)
        .expect("a session");
    let block = block.split("```").next().unwrap_or_default();
    let mut lines = block.lines();
    assert_eq!(lines.next(), Some(format!("$ {command}").as_str()));
    let mut output: Vec<String> = lines.map(normal).collect();
    let asked = output.iter().position(|line| line == "$ echo $?");
    let status = asked.map(|at| output.split_off(at));
    let status = status.map(|lines| lines[1].parse().expect("a status"));
    (output, status)
}

/// A line without what differs from run to run.
fn normal(line: &str) -> String {
    let line = line.replace('\u{2587}', " ");
    let mut words: Vec<String> = Vec::new();
    for word in line.split_whitespace() {
        let is_unit = ["µs", "ms", "s"].contains(&word.trim_end_matches(','));
        let is_number = |word: &String| word.parse::<f64>().is_ok();
        if is_unit && words.last().is_some_and(is_number) {
            words.pop();
            words.push("TIME".to_owned());
        } else if word == "of" && words.last().is_some_and(is_number) {
            words.pop();
            words.push("SIZE of".to_owned());
        } else if word.contains('T') && word.starts_with("20") && word.matches(':').count() == 2 {
            words.push("STAMP".to_owned());
        } else if word.starts_with("1-") && word.matches('-').count() == 3 {
            words.push("ID".to_owned());
        } else {
            words.push(without_id(word));
        }
    }
    words.join(" ")
}

/// The request id inside of an error.
fn without_id(word: &str) -> String {
    let Some((before, rest)) = word.split_once("\"RequestId\":\"") else {
        return word.to_owned();
    };
    let after = rest.split_once('"').map_or("", |(_, after)| after);
    format!("{before}\"RequestId\":\"ID\"{after}")
}

/// What was printed, with the places of the README's machine.
fn output(text: &str, folder: &Path, port: u16, gateway: &str) -> Vec<String> {
    let folder = folder.canonicalize().expect("the folder");
    let text = text
        .replace(&folder.display().to_string(), "/tmp/demo")
        .replace(gateway, "127.0.0.1:8080")
        .replace(&port.to_string(), "9000");
    text.lines().map(normal).collect()
}

fn assert_all_in(expected: &[String], printed: &[String]) {
    for line in expected {
        assert!(
            printed.contains(line),
            "README has\n{line}\nand the output is\n{}",
            printed.join("\n")
        );
    }
}

/// A folder with `server.py`, which listens on the address.
fn python_project(host: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let text = fs::read_to_string(server("server.py")).expect("the server");
    let text = text.replace("0.0.0.0", host);
    file(folder.path(), "server.py", text, 0o644);
    folder
}

#[test]
fn the_first_session_finds_the_loopback_bind() {
    if interpreter(&["python3"]).is_none() {
        return;
    }
    let (expected, status) = session(0, "coldstart run -- python3 server.py");
    let folder = python_project("127.0.0.1");
    let port = free_port();
    let number = port.to_string();
    let run = [
        "run",
        "--gateway",
        "127.0.0.1:0",
        "--port",
        &number,
        "--",
        "python3",
        "server.py",
    ];
    let done = coldstart_in(folder.path(), &run);
    assert_eq!(done.status.code(), status, "{}", stderr(&done));
    let printed = output(
        &(stdout(&done) + &stderr(&done)),
        folder.path(),
        port,
        "no gateway",
    );
    assert_all_in(&expected, &printed);
}

#[test]
fn the_second_session_serves_a_call_and_an_event() {
    if interpreter(&["python3"]).is_none() {
        return;
    }
    let (expected, _) = session(1, "coldstart run -- python3 server.py");
    let folder = python_project("0.0.0.0");
    let port = free_port();
    let number = port.to_string();
    let path = folder.path().to_str().expect("text");
    let mut gateway = Gateway::start(&["--port", &number, path, "--", "python3", "server.py"]);
    assert_eq!(
        gateway.call("GET", "/hello?x=1", "").body,
        "GET /hello?x=1\n"
    );
    let target = "/2023-03-30/functions/local/invocations";
    assert_eq!(gateway.call("POST", target, "{}").body, "POST /invoke\n");
    gateway.wait_for("invocations 200");
    assert_eq!(gateway.interrupt(), Some(0));
    let text = gateway.wait_for("stopping");
    let printed = output(&text, folder.path(), port, &gateway.address);
    assert_all_in(&expected, &printed);
}

#[test]
fn the_third_session_checks_a_node_server() {
    if interpreter(&["node"]).is_none() {
        return;
    }
    let (expected, status) = session(2, "coldstart check -- node server.js");
    let folder = tempfile::tempdir().expect("a folder");
    file(folder.path(), "server.js", NODE_SERVER, 0o644);
    let port = free_port();
    let number = port.to_string();
    let check = ["check", "--port", &number, "--", "node", "server.js"];
    let done = coldstart_in(folder.path(), &check);
    assert_eq!(
        done.status.code(),
        status,
        "{}{}",
        stdout(&done),
        stderr(&done)
    );
    let printed = output(&stdout(&done), folder.path(), port, "no gateway");
    // How many checks apply, and how SIGTERM ends the server, depends on what this machine allows.
    let depends = |line: &String| line.starts_with("warn X1 ") || line.contains(" passed, ");
    let (depending, expected): (Vec<_>, Vec<_>) = expected.into_iter().partition(depends);
    assert_eq!(depending.len(), 2, "{depending:?}");
    assert_all_in(&expected, &printed);
    let found = |start: &str| printed.iter().any(|line| line.contains(start));
    assert!(
        found("warn X1 ") && found(" 1 failed, 2 warnings"),
        "{printed:?}"
    );
}

/// The first block of this language on the page for other languages.
fn block(language: &str) -> &'static str {
    let begin = format!("```{language}\n");
    let (_, rest) = OTHER_LANGUAGES.split_once(&begin).expect("a block");
    rest.split_once("```").expect("its end").0
}

#[test]
fn the_page_for_other_languages_finds_the_loopback_bind() {
    if interpreter(&["python3"]).is_none() {
        return;
    }
    let folder = python_project("127.0.0.1");
    let port = free_port();
    let number = port.to_string();
    let check = ["check", "--port", &number, "--", "python3", "server.py"];
    let done = coldstart_in(folder.path(), &check);
    assert_eq!(done.status.code(), Some(1), "{}", stderr(&done));
    let printed = output(&stdout(&done), folder.path(), port, "no gateway");
    let mut expected = block("console").lines();
    assert_eq!(
        expected.next(),
        Some("$ coldstart check -- python3 server.py")
    );
    let expected: Vec<String> = expected.map(normal).collect();
    assert_all_in(&expected, &printed);
}

#[test]
fn the_server_of_the_page_for_other_languages_keeps_every_rule_and_is_packed() {
    if interpreter(&["python3"]).is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("code")).expect("a folder");
    file(folder.path(), "code/server.py", block("python"), 0o644);
    file(folder.path(), "s.yaml", block("yaml"), 0o644);
    let port = free_port().to_string();
    let done = coldstart_in(folder.path(), &["check", "--port", &port]);
    let text = stdout(&done);
    assert_eq!(done.status.code(), Some(0), "{text}{}", stderr(&done));
    assert!(text.contains(" passed, 0 failed, 0 warnings, "), "{text}");
    let packed = coldstart_in(folder.path(), &["pack"]);
    assert_eq!(packed.status.code(), Some(0), "{}", stderr(&packed));
    assert!(folder.path().join("function.zip").exists(), "it is written");
}
