//! Contract §2: the start.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::platform::{Call, Instance, PORT_VARIABLES, bootstrap, under_test};
use crate::port::free_port;
use crate::under_test::THREADS;

/// How long to watch that something does not happen.
const A_WHILE: Duration = Duration::from_millis(200);

#[test]
fn it_listens_on_the_port_of_each_variable() {
    for variable in PORT_VARIABLES {
        let instance = Instance::launch(bootstrap(), variable);
        let line = instance.stderr_with("listening on");
        assert!(
            line.contains(&format!("0.0.0.0:{}", instance.port)),
            "{variable}: {line}"
        );
        assert_eq!(instance.call(&Call::http("GET", "/")).status, 200);
    }
}

#[test]
fn an_argument_takes_precedence_over_each_variable() {
    let port = free_port();
    let mut command = bootstrap();
    command.args(["--port", &port.to_string()]);
    let instance = Instance::start(command);
    let line = instance.stderr_with("listening on");
    assert!(line.contains(&format!(":{port}\n")), "{line}");
}

#[test]
fn an_invalid_port_ends_the_start_with_one_line() {
    for variable in PORT_VARIABLES {
        let mut command = bootstrap();
        for other in PORT_VARIABLES {
            command.env_remove(other);
        }
        let output = command.env(variable, "http").output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78));
        assert!(
            stderr.contains(variable) && stderr.lines().count() == 1,
            "{stderr}"
        );
    }
}

#[test]
fn it_is_reachable_on_other_addresses_than_localhost() {
    let instance = Instance::start(bootstrap());
    let mut outside = instance.connect_to(Ipv4Addr::new(127, 0, 0, 2));
    assert_eq!(outside.call(&Call::http("GET", "/")).status, 200);
}

#[test]
fn it_starts_with_every_variable_missing_or_empty() {
    let documented = [
        "FC_FUNC_CODE_PATH",
        "FC_ACCOUNT_ID",
        "FC_REGION",
        "FC_FUNCTION_NAME",
        "FC_FUNCTION_HANDLER",
        "FC_FUNCTION_MEMORY_SIZE",
        "FC_INSTANCE_ID",
        "FC_SERVICE_NAME",
        "ALIBABA_CLOUD_ACCESS_KEY_ID",
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
        "ALIBABA_CLOUD_SECURITY_TOKEN",
        "TZ",
    ];
    let mut missing = bootstrap();
    missing.env_clear();
    let mut empty = bootstrap();
    empty.envs(documented.map(|variable| (variable, "")));
    for command in [missing, empty] {
        let instance = Instance::start(command);
        assert_eq!(instance.call(&Call::http("GET", "/")).status, 200);
        assert_eq!(instance.call(&Call::event("ping")).text(), "ping");
    }
}

#[test]
fn empty_port_variables_count_as_absent() {
    let mut command = bootstrap();
    for variable in PORT_VARIABLES {
        command.env(variable, "");
    }
    let instance = Instance::launch(command, "PORT");
    instance.stderr_with(&format!(":{}\n", instance.port));
}

#[test]
fn probes_that_send_nothing_leave_no_line_and_no_harm() {
    let instance = Instance::start(bootstrap());
    drop(instance.connect());
    let half_open = instance.connect();
    // Closed with an unread response, which makes the kernel reset the connection.
    let mut reset = instance.connect();
    reset.send(&Call::http("GET", "/").to_bytes());
    while reset.0.get_ref().peek(&mut [0]).unwrap() == 0 {}
    drop(reset);
    assert_eq!(instance.call(&Call::http("GET", "/")).status, 200);
    drop(half_open);
    let (status, stdout, stderr) = instance.stop();
    assert_eq!((status.code(), stdout.as_str()), (Some(0), ""));
    assert_eq!(
        stderr.lines().count(),
        1,
        "only the line about listening: {stderr}"
    );
}

#[test]
fn a_health_check_succeeds_while_every_thread_is_busy() {
    let mut instance = Instance::start(under_test("threads"));
    let mut busy: Vec<_> = (0..THREADS).map(|_| instance.connect()).collect();
    for (number, connection) in (1..).zip(&mut busy) {
        connection.send(&Call::event(format!("wait {number}")).to_bytes());
        instance.stdout_with(&format!("[INFO] waiting {number}\n"));
    }
    let mut health = instance.connect();
    assert_eq!(health.call(&Call::plain("GET", "/healthz")).status, 200);
    assert_eq!(health.call(&Call::plain("HEAD", "/healthz")).status, 200);
    assert_eq!(health.call(&Call::http("GET", "/healthz")).text(), "ok\n");
    instance.stdin.write_all(&[b'\n'; THREADS]).unwrap();
    for (number, connection) in (1..).zip(&mut busy) {
        let call = Call::event(format!("wait {number}"));
        assert_eq!(connection.response_to(&call).status, 200);
    }
    // Other methods go to the handler.
    let response = health.call(&Call::plain("POST", "/healthz").body("mine"));
    assert_eq!(response.text(), "mine");
}

#[test]
fn the_port_is_open_while_init_still_runs() {
    let mut instance = Instance::launch(under_test("waits"), "FC_CUSTOM_LISTEN_PORT");
    instance.stdout_with("init begins");
    let mut probe = instance.connect();
    let call = Call::event("early");
    probe.send(&call.to_bytes());
    assert!(
        probe.is_silent_for(A_WHILE),
        "no response before init has finished"
    );
    instance.stdin.write_all(b"\n").unwrap();
    assert_eq!(
        probe.response_to(&call).outcome(),
        (200, "200", "early".into())
    );
}

#[test]
fn a_signal_during_init_ends_the_process_cleanly() {
    let mut instance = Instance::launch(under_test("waits"), "FC_CUSTOM_LISTEN_PORT");
    instance.stdout_with("init begins");
    instance.signal("-TERM");
    instance.stdin.write_all(b"\n").unwrap();
    assert_eq!(instance.end().0.code(), Some(0));
}

#[test]
fn a_failed_init_ends_the_process_and_says_why() {
    for options in ["fails", "fails-later"] {
        let instance = Instance::launch(under_test(options), "FC_CUSTOM_LISTEN_PORT");
        let (status, _, stderr) = instance.end();
        assert!(!status.success());
        assert!(
            stderr.contains("coldstart: init failed: FunctionError: the model is not there\n"),
            "{stderr}"
        );
    }
}
