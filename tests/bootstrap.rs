//! The deployed program from outside: routes, arguments, exit statuses.
#![expect(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a failed set-up must fail the test, and skips are printed"
)]

mod loopback;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};

use coldstart::{Request, Response};

use loopback::process::{Process, can_run, is_again, status};
use loopback::{Client, eventually, free_port, get, pattern};

const BOOTSTRAP: &str = env!("CARGO_BIN_EXE_bootstrap");
const PORT_VARIABLES: [&str; 5] = [
    "FC_CUSTOM_LISTEN_PORT",
    "FC_SERVER_PORT",
    "_FAAS_RUNTIME_PORT",
    "AWS_LWA_PORT",
    "PORT",
];

/// `bootstrap` without a port in its environment.
fn bootstrap() -> Command {
    without_port(BOOTSTRAP)
}

/// A program without a port in its environment.
fn without_port(program: &str) -> Command {
    let mut command = Command::new(program);
    for name in PORT_VARIABLES {
        command.env_remove(name);
    }
    command
}

fn with_port(port: u16) -> Command {
    let mut command = bootstrap();
    command.args(["--port", &port.to_string()]);
    command
}

/// The address that `command` wants to listen on, whether or not it can. It must print nothing else.
fn port_wanted(mut command: Command) -> String {
    let mut process = Process::start(&mut command);
    let line = process.line().expect("a line on stderr");
    if line.starts_with("coldstart: listening on ") {
        assert_eq!(process.stop(), Some(0), "{line}");
    } else {
        eprintln!("NOTE: {line}");
        assert_eq!(process.ended().code(), Some(69), "{line}");
    }
    assert_eq!(process.line(), None, "only one line");
    let words = line
        .split([' ', ':'])
        .map(|word| word.trim_end_matches(':'));
    words
        .skip_while(|word| *word != "0.0.0.0")
        .nth(1)
        .expect("an address")
        .to_owned()
}

/// The single line and the exit status of a command that fails.
fn failure(command: &mut Command) -> (String, Option<i32>) {
    let mut process = Process::start(command);
    let line = process.line().expect("a line on stderr");
    assert_eq!(process.line(), None, "only one line");
    (line, process.ended().code())
}

#[test]
fn every_route_responds_as_documented() {
    let (mut server, address) = Process::serve(with_port);
    let mut client = Client::connect(address);
    for path in ["/", "/hello", "/hello?name=x"] {
        let response = client.request(get(path));
        assert_eq!(
            (response.status, response.text().as_str()),
            (200, "Hello, World!")
        );
        let content_type = response.field("content-type").expect("a content type");
        assert!(content_type.starts_with("text/plain"), "{content_type}");
    }
    let response = client.request(get("/healthz"));
    assert_eq!((response.status, response.text().as_str()), (200, "ok"));
    for path in ["/nowhere", "/hello/", "/echoes", "/healthz/x"] {
        assert_eq!(client.request(get(path)).status, 404, "{path}");
    }
    for path in ["/", "/hello", "/healthz", "*"] {
        let response = client.request(format!("OPTIONS {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
        let allow = response.field("allow");
        assert_eq!(
            (response.status, allow),
            (204, Some("GET, HEAD, OPTIONS")),
            "{path}"
        );
    }
    for (method, path, status) in [
        ("DELETE", "/hello", 405),
        ("PUT", "/", 405),
        ("BREW", "/healthz", 405),
        ("DELETE", "/none", 404),
        ("BREW", "/none", 501),
    ] {
        let response = client.request(format!("{method} {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
        let allow = (status == 405).then_some("GET, HEAD, OPTIONS");
        let seen = (response.status, response.field("allow"));
        assert_eq!(seen, (status, allow), "{method} {path}");
    }
    // The health check that HAProxy makes by default.
    let response = Client::connect(address).request("OPTIONS / HTTP/1.0\r\n\r\n");
    assert_eq!(response.status, 204);
    client.send("HEAD /hello HTTP/1.1\r\nHost: test\r\n\r\n");
    let head = client.head().expect("a response");
    assert_eq!(
        (head.status, head.field("content-length")),
        (200, Some("13"))
    );

    let body = pattern(100_000);
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"] {
        let len = body.len();
        client.send(format!(
            "{method} /echo HTTP/1.1\r\nHost: test\r\nContent-Type: a/b; c=d\r\nContent-Length: {len}\r\n\r\n"
        ));
        let response = client.request(&body);
        assert_eq!((response.status, &response.body), (200, &body), "{method}");
        assert_eq!(response.field("content-type"), Some("a/b; c=d"));
    }
    let response = client.request(get("/echo"));
    assert_eq!((response.status, response.body.len()), (200, 0));
    assert_eq!(response.field("content-type"), None);
    // Another loopback address than 127.0.0.1 stands in for the network: the server listens on all of them.
    let elsewhere = SocketAddr::from(([127, 0, 0, 2], address.port()));
    assert_eq!(
        Client::connect(elsewhere).request(get("/healthz")).status,
        200
    );
    assert_eq!(server.stop(), Some(0));
    assert_eq!(server.line(), None, "only the first line");
}

#[test]
fn help_and_version_go_to_stdout_and_start_nothing() {
    for (argument, start) in [
        ("--help", "bootstrap: "),
        ("-h", "bootstrap: "),
        ("--version", "bootstrap 0."),
        ("-V", "bootstrap 0."),
    ] {
        let output = bootstrap().arg(argument).output().expect("a program");
        assert_eq!(output.status.code(), Some(0));
        assert!(output.stderr.is_empty());
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(text.starts_with(start), "{text}");
        if start.ends_with(": ") {
            for word in [
                "--port",
                "FC_CUSTOM_LISTEN_PORT",
                "9000",
                "64",
                "69",
                "77",
                "78",
            ] {
                assert!(text.contains(word), "{word} is not in the help");
            }
        }
    }
}

#[test]
fn the_port_comes_from_the_argument_or_the_first_variable_that_is_not_empty() {
    let (mut server, _) = Process::serve(|port| {
        let mut command = bootstrap();
        command.arg(format!("--port={port}"));
        command
            .env("FC_CUSTOM_LISTEN_PORT", "1")
            .env("PORT", "no port");
        command
    });
    assert_eq!(server.stop(), Some(0));
    for first in 0..PORT_VARIABLES.len() {
        let (mut server, _) = Process::serve(|port| {
            let mut command = bootstrap();
            for (place, name) in PORT_VARIABLES.iter().enumerate() {
                let value = match place.cmp(&first) {
                    std::cmp::Ordering::Less => String::new(),
                    std::cmp::Ordering::Equal => port.to_string(),
                    std::cmp::Ordering::Greater => "1".to_owned(),
                };
                command.env(name, value);
            }
            command
        });
        assert_eq!(server.stop(), Some(0));
    }
}

#[test]
fn the_port_is_9000_by_default() {
    assert_eq!(port_wanted(bootstrap()), "9000");
    let mut command = bootstrap();
    for name in PORT_VARIABLES {
        command.env(name, "");
    }
    assert_eq!(port_wanted(command), "9000");
}

#[test]
fn a_port_in_use_is_named_in_one_line_with_exit_status_69() {
    let taken = TcpListener::bind("0.0.0.0:0").expect("a free port");
    let port = taken.local_addr().expect("a socket").port();
    let (line, code) = failure(&mut with_port(port));
    assert_eq!(code, Some(69), "{line}");
    assert!(line.contains(&format!("0.0.0.0:{port}")), "{line}");
    assert!(line.contains("another port"), "{line}");
}

#[test]
fn a_wrong_argument_is_named_in_one_line_with_exit_status_64() {
    for (arguments, named) in [
        (&["--port", "abc"][..], "\"abc\""),
        (&["--port", "0"], "\"0\""),
        (&["--port", "65536"], "\"65536\""),
        (&["--port", "-1"], "\"-1\""),
        (&["--port", "+80"], "\"+80\""),
        (&["--port", ""], "\"\""),
        (&["--port=8o8o"], "\"8o8o\""),
        (&["--port="], "\"\""),
        (&["--port"], "--port"),
        (&["--prot", "80"], "\"--prot\""),
        (&["8080"], "\"8080\""),
    ] {
        let (line, code) = failure(bootstrap().args(arguments));
        assert_eq!(code, Some(64), "{arguments:?}: {line}");
        assert!(line.contains(named), "{line}");
        assert!(line.contains("--help"), "{line}");
    }
}

#[test]
fn a_variable_without_a_valid_port_is_named_in_one_line_with_exit_status_78() {
    for name in PORT_VARIABLES {
        for value in ["abc", "0", "65536", "-1", "+80", " 80", "80 ", "٣"] {
            let (line, code) = failure(bootstrap().env(name, value));
            assert_eq!(code, Some(78), "{name}={value}: {line}");
            assert!(line.contains(name) && line.contains(value), "{line}");
            assert!(line.contains("from 1 to 65535"), "{line}");
        }
    }
}

#[test]
fn a_missing_permission_is_named_in_one_line_with_exit_status_77() {
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if first.is_ok_and(|first| first.trim() == "0") {
        eprintln!("SKIPPED: any user may bind any port on this machine");
        return;
    }
    let uid = status(std::process::id(), "Uid").expect("a user");
    let mut command = if uid.starts_with("0\t") {
        let without = ["--bounding-set", "-net_bind_service"];
        if !can_run(
            "a missing permission",
            &["setpriv", without[0], without[1], "true"],
        ) {
            return;
        }
        let mut command = without_port("setpriv");
        command.args(without).arg(BOOTSTRAP);
        command
    } else {
        bootstrap()
    };
    let (line, code) = failure(command.args(["--port", "81"]));
    assert_eq!(code, Some(77), "{line}");
    assert!(line.contains("0.0.0.0:81"), "{line}");
    assert!(line.contains("1024"), "{line}");
}

#[test]
fn sigint_and_sigterm_end_it_with_exit_status_0() {
    for name in ["TERM", "INT"] {
        let (mut server, address) = Process::serve(with_port);
        let mut client = Client::connect(address);
        assert_eq!(client.request(get("/healthz")).status, 200);
        server.signal(name);
        assert_eq!(server.ended().code(), Some(0), "{name}");
        assert!(client.is_at_end());
        assert_eq!(server.line(), None);
    }
}

#[test]
fn as_process_1_it_also_ends_on_a_signal() {
    let root: &[&str] = &["unshare", "--pid", "--fork", "--kill-child"];
    let user: &[&str] = &[
        "unshare",
        "--user",
        "--map-root-user",
        "--pid",
        "--fork",
        "--kill-child",
    ];
    let is_root = status(std::process::id(), "Uid").is_some_and(|uid| uid.starts_with("0\t"));
    let unshare = if is_root { root } else { user };
    if !can_run("process 1", &[unshare, &["true"]].concat()) {
        return;
    }
    for name in ["TERM", "INT"] {
        let (mut server, address) = Process::serve(|port| {
            let mut command = without_port("unshare");
            // The parent of `sleep` ends at once.
            let script = "(sleep 1000 &); exec \"$0\" --port \"$1\"";
            command.args(&unshare[1..]).args(["sh", "-c", script]);
            command.args([BOOTSTRAP, &port.to_string()]);
            command
        });
        server.id = child_of(server.id);
        let ids = status(server.id, "NSpid").expect("a process");
        assert!(ids.ends_with("\t1"), "not process 1: {ids}");
        assert_eq!(
            Client::connect(address).request(get("/healthz")).status,
            200
        );
        let kill = format!("kill {}", child_of(server.id));
        assert!(Command::new("sh").args(["-c", &kill]).status().is_ok());
        eventually("the orphan was reaped", || {
            children_of(server.id).is_empty()
        });
        server.signal(name);
        assert_eq!(server.ended().code(), Some(0), "{name}");
    }
}

/// The only child of a process.
fn child_of(id: u32) -> u32 {
    children_of(id).trim().parse().expect("one child")
}

/// The children of a process, zombies included.
fn children_of(id: u32) -> String {
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    children.expect("a process")
}

#[test]
fn closed_standard_streams_do_not_break_it() {
    let script = "exec \"$0\" --port \"$1\" <&- >&- 2>&-";
    let (mut server, address) = loop {
        let port = free_port();
        let mut command = without_port("sh");
        command.args(["-c", script, BOOTSTRAP, &port.to_string()]);
        let mut server = Process::start(&mut command);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        eventually("the server listens, or has exited", || {
            TcpStream::connect(address).is_ok() || server.has_ended()
        });
        if !server.has_ended() {
            break (server, address);
        }
    };
    let mut clients = [(); 4].map(|()| Client::connect(address));
    for client in &mut clients {
        assert_eq!(client.request(get("/healthz")).text(), "ok");
    }
    for stream in 0..3 {
        // If a connection took the place of a stream, it would receive whatever is printed.
        let link = std::fs::read_link(format!("/proc/{}/fd/{stream}", server.id));
        assert_eq!(link.expect("a descriptor").to_str(), Some("/dev/null"));
    }
    assert_eq!(server.stop(), Some(0));
    // The exit status does not change either.
    let script = "exec \"$0\" --port nonsense <&- >&- 2>&-";
    let refused = without_port("sh").args(["-c", script, BOOTSTRAP]).status();
    assert_eq!(refused.expect("a shell").code(), Some(64));
}

/// Runs the scripts that it receives.
fn serve_scripts() {
    let server = coldstart::Server::new().address(SocketAddr::from(([127, 0, 0, 1], 0)));
    let run = |request: &Request<'_>| {
        let script = String::from_utf8_lossy(request.body()).into_owned();
        Response::bytes(output_of(&script))
    };
    server.run(run).expect("the server ran without an error");
}

/// The output of a script.
fn output_of(script: &str) -> Vec<u8> {
    let mut command = Command::new("sh");
    let output = command.args(["-c", script]).stdin(Stdio::null()).output();
    output.expect("a shell").stdout
}

#[test]
fn a_child_that_a_handler_starts_inherits_no_signal_and_no_descriptor() {
    if is_again() {
        return serve_scripts();
    }
    let mut server =
        Process::again("a_child_that_a_handler_starts_inherits_no_signal_and_no_descriptor");
    let mut client = Client::connect(server.address());
    let mut outputs = |script: &str| {
        let there = client.request(loopback::post("/", script.as_bytes())).body;
        let there = String::from_utf8(there).expect("text");
        let here = String::from_utf8(output_of(script)).expect("text");
        (there, here)
    };
    // Children of this process, which serves nothing and handles no signal, are the reference.
    let (there, here) = outputs("grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status");
    assert_eq!(there, here);
    assert!(there.contains("SigBlk:\t0000000000000000"), "{there}");
    let (there, here) =
        outputs("for fd in /proc/self/fd/*; do readlink $fd; done | grep -c -E 'socket|event'");
    assert_eq!(there, here, "the server's descriptors are closed");
    let (there, _) = outputs("echo before; kill -TERM $$; echo after");
    assert_eq!(there, "before\n");
    assert_eq!(server.stop(), Some(0));
}
