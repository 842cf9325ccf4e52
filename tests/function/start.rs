//! Section 2: the start.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::platform::{Call, Instance, PORT_VARIABLES, bootstrap, free_port, under_test};
use crate::under_test::THREADS;

/// For what must not happen: as long as one is willing to wait for nothing.
const A_WHILE: Duration = Duration::from_millis(200);

#[test]
fn it_listens_on_the_port_of_each_variable() {
    for variable in PORT_VARIABLES {
        let instance = Instance::launch(bootstrap(), variable);
        let heard = instance.stderr_with("listening on");
        assert!(
            heard.contains(&format!("0.0.0.0:{}", instance.port)),
            "{variable}: {heard}"
        );
        assert_eq!(instance.call(&Call::http("GET", "/")).status, 200);
    }
}

#[test]
fn an_argument_goes_before_each_variable() {
    let port = free_port();
    let mut command = bootstrap();
    command.args(["--port", &port.to_string()]);
    let instance = Instance::start(command);
    let heard = instance.stderr_with("listening on");
    assert!(heard.contains(&format!(":{port}\n")), "{heard}");
}

#[test]
fn a_value_that_is_no_port_ends_the_start_with_one_line() {
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
fn it_is_reached_from_outside_the_loopback_address() {
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
fn probes_that_send_nothing_are_silent_and_harmless() {
    let instance = Instance::start(bootstrap());
    drop(instance.connect());
    let half_open = instance.connect();
    // Closed with an answer unread: the kernel resets the connection.
    let mut reset = instance.connect();
    reset.send(&Call::http("GET", "/").to_bytes());
    while reset.0.get_ref().peek(&mut [0]).unwrap() == 0 {}
    drop(reset);
    assert_eq!(instance.call(&Call::http("GET", "/")).status, 200);
    drop(half_open);
    let (status, stdout, stderr) = instance.stop();
    assert_eq!((status.code(), stdout.as_str()), (Some(0), ""));
    assert_eq!(stderr.lines().count(), 1, "only that it listens: {stderr}");
}

#[test]
fn a_health_check_is_answered_while_every_thread_is_busy() {
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
        assert_eq!(connection.answer_to(&call).status, 200);
    }
    // Another method is the handler's.
    let answer = health.call(&Call::plain("POST", "/healthz").body("mine"));
    assert_eq!(answer.text(), "mine");
}

#[test]
fn the_port_is_open_while_the_users_start_still_runs() {
    let mut instance = Instance::launch(under_test("waits"), "FC_CUSTOM_LISTEN_PORT");
    instance.stdout_with("init begins");
    let mut probe = instance.connect();
    let call = Call::event("early");
    probe.send(&call.to_bytes());
    assert!(
        probe.is_silent_for(A_WHILE),
        "nothing is answered before init"
    );
    instance.stdin.write_all(b"\n").unwrap();
    assert_eq!(
        probe.answer_to(&call).outcome(),
        (200, "200", "early".into())
    );
}

#[test]
fn a_signal_during_the_users_start_ends_the_process_well() {
    let mut instance = Instance::launch(under_test("waits"), "FC_CUSTOM_LISTEN_PORT");
    instance.stdout_with("init begins");
    instance.signal("-TERM");
    instance.stdin.write_all(b"\n").unwrap();
    assert_eq!(instance.end().0.code(), Some(0));
}

#[test]
fn a_users_start_that_fails_ends_the_process_and_says_why() {
    let instance = Instance::launch(under_test("fails"), "FC_CUSTOM_LISTEN_PORT");
    let (status, _, stderr) = instance.end();
    assert!(!status.success());
    assert!(
        stderr.contains("coldstart: init failed: FunctionError: the model is not there\n"),
        "{stderr}"
    );
}
