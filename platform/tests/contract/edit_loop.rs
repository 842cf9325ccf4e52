//! The edit loop: `run --watch`, builds before a start, and `invoke`.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use crate::support::{
    DEADLINE, Gateway, coldstart, coldstart_in, file, free_port, interpreter, stderr, stdout,
};

/// A server that responds with its version; `at_start` and `at_call` run at these points.
fn program(version: u32, at_start: &str, at_call: &str) -> String {
    format!(
        "import os, sys\n\
         from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer\n\
         class Handler(BaseHTTPRequestHandler):\n    \
             protocol_version = 'HTTP/1.1'\n    \
             def log_message(self, *_): pass\n    \
             def any(self):\n        \
                 event = self.rfile.read(int(self.headers.get('content-length') or 0))\n        \
                 {at_call}\n        \
                 body = b'version {version} ' + event\n        \
                 self.send_response(404 if event == b'fail' else 200)\n        \
                 if event == b'fail': self.send_header('x-fc-status', '404')\n        \
                 self.send_header('Content-Length', str(len(body)))\n        \
                 self.end_headers()\n        \
                 self.wfile.write(body)\n    \
             do_GET = do_POST = any\n\
         {at_start}\n\
         print('started version {version}', flush=True)\n\
         ThreadingHTTPServer(('0.0.0.0', int(os.environ['FC_CUSTOM_LISTEN_PORT'])), Handler).serve_forever()\n"
    )
}

/// A folder with the server, and a gateway that watches it.
struct Loop {
    folder: tempfile::TempDir,
    gateway: Gateway,
}

impl Loop {
    fn start(program: &str, ignored: &str) -> Option<Self> {
        let python = interpreter(&["python3", "python"])?;
        let folder = tempfile::tempdir().expect("a folder");
        file(folder.path(), "server.py", program, 0o644);
        file(folder.path(), ".gitignore", ignored, 0o644);
        let port = free_port().to_string();
        let path = folder.path().to_str().expect("text").to_owned();
        let gateway = Gateway::start(&[
            "--watch",
            "--port",
            &port,
            &path,
            "--",
            &python,
            "server.py",
        ]);
        Some(Self { folder, gateway })
    }

    fn write(&self, name: &str, text: &str) {
        file(self.folder.path(), name, text, 0o644);
    }

    fn starts(&self) -> usize {
        let output = self.gateway.output.lock().expect("the output");
        output.matches("started version").count()
    }

    /// Asks until the version is served.
    fn wait_for_version(&self, version: u32) {
        let deadline = Instant::now() + DEADLINE;
        let wanted = format!("version {version} ");
        while self.gateway.call("GET", "/", "").body != wanted {
            assert!(
                Instant::now() < deadline,
                "version {version} is never served"
            );
        }
    }
}

#[test]
fn an_edit_is_served_and_no_request_is_dropped() {
    let Some(edited) = Loop::start(&program(1, "", "pass"), "") else {
        return;
    };
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let calling = scope.spawn(|| {
            let mut calls = 0_u32;
            while !is_over.load(Ordering::Relaxed) {
                let reply = edited.gateway.call("POST", "/", "x");
                assert_eq!(reply.status, 200, "{}", reply.body);
                calls += 1;
            }
            calls
        });
        for version in 2..=3 {
            edited.write("server.py", &program(version, "", "pass"));
            edited.wait_for_version(version);
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(calling.join().expect("no request was dropped") > 0);
    });
    edited.gateway.wait_for("changed: server.py");
    edited.gateway.wait_for("started version 3");
}

/// Never ends while the code holds a file with this name.
const HANGS: &str =
    "while os.path.exists('hang'): print('hanging', flush=True); __import__('time').sleep(0.05)";

#[test]
fn an_edit_calls_off_a_start_that_hangs_and_its_calls_are_served() {
    let at_call = "if event == b'end': os._exit(0)";
    let Some(edited) = Loop::start(&program(1, HANGS, at_call), "hang") else {
        return;
    };
    edited.write("hang", "");
    assert_eq!(edited.gateway.call("POST", "/", "end").status, 502);
    thread::scope(|scope| {
        let calling = scope.spawn(|| edited.gateway.call("GET", "/", ""));
        edited.gateway.wait_for("hanging");
        edited.write("server.py", &program(2, "", "pass"));
        let reply = calling.join().expect("a reply");
        assert_eq!((reply.status, reply.body.as_str()), (200, "version 2 "));
    });
}

/// Waits until a file exists.
fn wait_for_file(path: &Path) {
    let deadline = Instant::now() + DEADLINE;
    while !path.exists() {
        assert!(Instant::now() < deadline, "{} never exists", path.display());
        thread::yield_now();
    }
}

/// Says that it hangs, and never goes on while the code holds a file with the name `hang`.
fn hangs(version: u32) -> String {
    format!("print('hanging {version}', flush=True); open('hanging', 'w').close()\n{HANGS}")
}

#[test]
#[cfg_attr(not(on_linux), ignore = "what the function writes is not seen")]
fn edits_call_off_a_restart_each_time_and_the_newest_code_is_served() {
    let Some(edited) = Loop::start(&program(1, "", "pass"), "hang*") else {
        return;
    };
    edited.write("hang", "");
    // More than interpreters write before they run it, so that it can only be its author who writes it.
    let padding = format!("# {}\n", "long ".repeat(20_000));
    for version in 2..=4 {
        let text = program(version, &hangs(version), "pass");
        edited.write("server.py", &(padding.clone() + &text));
        edited.gateway.wait_for(&format!("hanging {version}"));
    }
    edited.write("server.py", &program(5, "", "pass"));
    edited.wait_for_version(5);
    assert_eq!(edited.starts(), 2, "versions 2 to 4 never started");
    let output = edited.gateway.wait_for("called off");
    assert!(!output.contains("not started"), "{output}");
}

#[test]
fn an_edit_calls_off_the_first_start() {
    let Some(python) = interpreter(&["python3", "python"]) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    file(folder.path(), "hang", "", 0o644);
    file(folder.path(), ".gitignore", "hang*", 0o644);
    let text = program(1, &hangs(1), "pass");
    file(folder.path(), "server.py", text, 0o644);
    thread::scope(|scope| {
        scope.spawn(|| {
            wait_for_file(&folder.path().join("hanging"));
            file(folder.path(), "server.py", program(2, "", "pass"), 0o644);
        });
        let port = free_port().to_string();
        let path = folder.path().to_str().expect("text");
        let all = ["--watch", "--port", &port, path, "--", &python, "server.py"];
        let gateway = Gateway::start(&all);
        assert_eq!(gateway.call("GET", "/", "").body, "version 2 ");
        let output = gateway.wait_for("called off");
        assert!(!output.contains("not started"), "{output}");
    });
}

#[test]
fn what_the_function_writes_in_each_start_calls_off_one_of_them() {
    let Some(edited) = Loop::start(&program(1, "", "pass"), "hang*") else {
        return;
    };
    edited.write("hang", "");
    // Other content of the same length each time.
    let writes = "open('state.json', 'w').write(os.urandom(20).hex())";
    let at_start = format!("{writes}\n{}", hangs(2));
    edited.write("server.py", &program(2, &at_start, "pass"));
    edited.gateway.wait_for("changed: state.json");
    edited
        .gateway
        .wait_for("state.json is written by the function");
    fs::remove_file(edited.folder.path().join("hang")).expect("removed");
    edited.wait_for_version(2);
    let output = edited.gateway.wait_for("started version 2");
    assert_eq!(output.matches("called off").count(), 1, "{output}");
}

#[test]
fn a_file_that_is_saved_unchanged_calls_off_no_start() {
    let Some(edited) = Loop::start(&program(1, "", "pass"), "hang*") else {
        return;
    };
    edited.write("hang", "");
    let text = program(2, &hangs(2), "pass");
    edited.write("server.py", &text);
    edited.gateway.wait_for("hanging 2");
    edited.write("server.py", &text);
    edited.write("other.py", "1 + 1");
    let output = edited.gateway.wait_for("called off");
    let lines = output.lines().filter(|line| line.starts_with("changed: "));
    let lines: Vec<&str> = lines.collect();
    assert_eq!(lines, ["changed: server.py", "changed: other.py"]);
}

#[test]
fn an_edit_during_a_build_is_built_before_the_start() {
    let Some(python) = interpreter(&["python3", "python"]) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let action =
        "cp server.py dist/; touch dist/built; while [ -e dist/hold ]; do sleep 0.02; done";
    project(folder.path(), &python, free_port(), action);
    let (built, hold) = (
        folder.path().join("dist/built"),
        folder.path().join("dist/hold"),
    );
    let write = |version| {
        file(
            folder.path(),
            "server.py",
            program(version, "", "pass"),
            0o644,
        )
    };
    fs::write(&hold, "").expect("written");
    let path = folder.path().to_str().expect("text");
    let gateway = thread::scope(|scope| {
        scope.spawn(|| {
            wait_for_file(&built);
            write(2);
            fs::remove_file(&hold).expect("removed");
        });
        Gateway::start(&["--build", "--watch", path])
    });
    gateway.wait_for("started version 2");
    fs::write(&hold, "").expect("written");
    fs::remove_file(&built).expect("removed");
    write(3);
    wait_for_file(&built);
    let called_off = |output: &str| output.matches("called off").count();
    let before = called_off(&gateway.output.lock().expect("the output"));
    write(4);
    let deadline = Instant::now() + DEADLINE;
    while called_off(&gateway.output.lock().expect("the output")) == before {
        assert!(Instant::now() < deadline, "the restart is never called off");
        thread::yield_now();
    }
    fs::remove_file(&hold).expect("removed");
    let output = gateway.wait_for("started version 4");
    assert!(!output.contains("started version 3"), "{output}");
}

#[test]
fn an_interrupt_calls_off_a_restart() {
    let Some(mut edited) = Loop::start(&program(1, "", "pass"), "hang") else {
        return;
    };
    edited.write("hang", "");
    edited.write("server.py", &program(2, HANGS, "pass"));
    edited.gateway.wait_for("hanging");
    let processes = edited.gateway.descendants();
    assert!(!processes.is_empty(), "nothing is being started");
    assert_eq!(edited.gateway.interrupt(), Some(0));
    assert!(
        !processes.iter().any(|process| process.exists()),
        "a process is left behind"
    );
    let output = edited.gateway.wait_for("stopping");
    assert!(!output.contains("not started"), "{output}");
}

#[test]
fn what_the_function_writes_does_not_restart_it() {
    let at_start = "open('start.log', 'a').write('x'); open('state.json', 'a').write('x')";
    let at_call = "open('calls.db', 'a').write('x')";
    let Some(edited) = Loop::start(&program(1, at_start, at_call), "") else {
        return;
    };
    for _ in 0..5 {
        edited.wait_for_version(1);
    }
    // An edit proves that the files were looked at meanwhile.
    edited.write("server.py", &program(2, at_start, at_call));
    edited.wait_for_version(2);
    edited
        .gateway
        .wait_for("calls.db is written by the function");
    edited.write("server.py", &program(3, at_start, at_call));
    edited.wait_for_version(3);
    // state.json looks like source: it may cost one restart, and never a second one.
    assert!(edited.starts() <= 4, "{} starts", edited.starts());
}

#[test]
fn ignored_files_do_not_restart_the_function() {
    let Some(edited) = Loop::start(&program(1, "", "pass"), "/notes.py\n") else {
        return;
    };
    edited.write("notes.py", "1");
    edited.write("node_modules/x/index.js", "1");
    edited.write(".server.py.swp", "1");
    edited.write("server.py", &program(2, "", "pass"));
    edited.wait_for_version(2);
    let output = edited.gateway.wait_for("changed: ");
    let line = output.lines().find(|line| line.starts_with("changed: "));
    assert_eq!(line, Some("changed: server.py"), "{output}");
}

/// A project whose code is a copy that `actions.pre-deploy` makes.
fn project(folder: &Path, python: &str, port: u16, action: &str) {
    file(folder, "server.py", program(1, "", "pass"), 0o644);
    file(folder, "dist/server.py", program(0, "", "pass"), 0o644);
    let yaml = format!(
        "edition: 3.0.0\nname: demo\nresources:\n  demo:\n    component: fc3\n    actions:\n      pre-deploy:\n\
         \x20       - run: {action}\n          path: ./\n    props:\n      runtime: custom.debian12\n      functionName: demo\n\
         \x20     code: ./dist\n      customRuntimeConfig:\n        command: [{python}]\n        args: [server.py]\n\
         \x20       port: {port}\n"
    );
    file(folder, "s.yaml", yaml, 0o644);
}

#[test]
fn pre_deploy_actions_build_when_asked_and_old_code_is_named_otherwise() {
    let Some(python) = interpreter(&["python3", "python"]) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    project(
        folder.path(),
        &python,
        free_port(),
        "cp server.py dist/server.py",
    );
    let old = fs::File::options()
        .write(true)
        .open(folder.path().join("dist/server.py"))
        .expect("opened");
    old.set_modified(std::time::SystemTime::UNIX_EPOCH)
        .expect("the time");
    let path = folder.path().to_str().expect("text");
    let gateway = Gateway::start(&[path]);
    assert_eq!(gateway.call("GET", "/", "").body, "version 0 ");
    gateway.wait_for("dist is older than server.py");
    drop(gateway);
    let gateway = Gateway::start(&["--build", "--watch", path]);
    assert_eq!(gateway.call("GET", "/", "").body, "version 1 ");
    // A build that fails leaves the old code serving.
    file(folder.path(), "server.py", program(2, "", "pass"), 0o644);
    fs::remove_dir_all(folder.path().join("dist")).expect("removed");
    gateway.wait_for("stays as it was");
    assert_eq!(gateway.call("GET", "/", "").body, "version 1 ");
    // What the build writes is no change: one start for each edit.
    fs::create_dir(folder.path().join("dist")).expect("created");
    for version in 3..=4 {
        let text = program(version, "", "pass");
        file(folder.path(), "server.py", text, 0o644);
        let output = gateway.wait_for(&format!("started version {version}"));
        assert_eq!(output.matches("started version 3").count(), 1, "{output}");
    }
}

#[test]
fn the_build_sees_the_variables_of_the_file_beside_the_deployment() {
    let Some(python) = interpreter(&["python3", "python"]) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    project(folder.path(), &python, free_port(), "exit $CS_CODE");
    file(
        folder.path(),
        ".env",
        "CS_DIGIT=7\nCS_CODE=1$CS_DIGIT\n",
        0o644,
    );
    let run = ["run", "--gateway", "127.0.0.1:0", "--build"];
    let text = stderr(&coldstart_in(folder.path(), &run));
    assert!(text.contains("failed: exit status: 17"), "{text}");
}

#[test]
fn a_build_that_fails_ends_run_before_the_start() {
    let Some(python) = interpreter(&["python3", "python"]) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    project(folder.path(), &python, free_port(), "exit 7");
    let run = ["run", "--gateway", "127.0.0.1:0", "--build"];
    let output = coldstart_in(folder.path(), &run);
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("pre-deploy `exit 7` failed"),
        "{}",
        stderr(&output)
    );
    fs::remove_file(folder.path().join("s.yaml")).expect("removed");
    let output = coldstart_in(folder.path(), &run);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
}

#[test]
fn a_running_function_is_invoked_through_its_gateway() {
    let Some(edited) = Loop::start(&program(1, "", "pass"), "") else {
        return;
    };
    let invoke = |event: &str| {
        let path = file(edited.folder.path(), "event", event, 0o644);
        let path = path.to_str().expect("text").to_owned();
        coldstart(&[
            "invoke",
            "--gateway",
            &edited.gateway.address,
            "--event",
            &path,
        ])
    };
    let output = invoke("one");
    assert_eq!(
        (output.status.code(), stdout(&output).as_str()),
        (Some(0), "version 1 one")
    );
    let output = invoke("fail");
    assert_eq!(
        (output.status.code(), stdout(&output).as_str()),
        (Some(1), "version 1 fail")
    );
    assert!(
        stderr(&output).contains("failed: UnhandledInvocationError"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_function_that_does_not_run_is_started_for_one_call() {
    let Some(python) = interpreter(&["python3", "python"]) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    file(folder.path(), "server.py", program(1, "", "pass"), 0o644);
    let nobody = format!("127.0.0.1:{}", free_port());
    let port = free_port().to_string();
    let path = folder.path().to_str().expect("text");
    let invoke = |program: &str, event: &str| -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_coldstart"))
            .args([
                "invoke",
                "--gateway",
                &nobody,
                "--port",
                &port,
                "--event",
                "-",
                path,
                "--",
            ])
            .args([&python, program])
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut input = child.stdin.take().expect("its input");
        input.write_all(event.as_bytes()).expect("sent");
        drop(input);
        child.wait_with_output().expect("it ends")
    };
    let output = invoke("server.py", "one");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    // The response alone: the function's output goes to standard error.
    assert_eq!(stdout(&output), "version 1 one");
    assert!(
        stderr(&output).contains("started version 1"),
        "{}",
        stderr(&output)
    );
    assert_eq!(invoke("server.py", "fail").status.code(), Some(1));
    assert_eq!(invoke("missing.py", "one").status.code(), Some(4));
}

#[test]
fn invoke_does_not_take_another_server_for_the_gateway() {
    let Some(python) = interpreter(&["python3", "python"]) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    file(folder.path(), "server.py", program(1, "", "pass"), 0o644);
    let port = free_port();
    let path = folder.path().to_str().expect("text");
    let _gateway = Gateway::start(&[
        "--port",
        &port.to_string(),
        path,
        "--",
        &python,
        "server.py",
    ]);
    let output = coldstart(&["invoke", "--gateway", &format!("127.0.0.1:{port}")]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("is not the gateway"),
        "{}",
        stderr(&output)
    );
}
