//! Claims of the simulated kernel, checked against the real one.
//!
//! At most fifteen tests: whatever can be tested without a kernel is.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up sockets by hand and read the clock to bound their waits"
)]

mod loopback;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use coldstart::handler::{Accept, Outcome, Upgrade};
use coldstart::message::Head;
use coldstart::server::{ServerEvent, Timeouts};
use coldstart::{Handler, Request, Response, Server};
use socket2::{Domain, SockRef, Socket, Type};

use loopback::process::{Process, is_again, processor_ticks, sleeps};
use loopback::server::{Running, on_loopback};
use loopback::{Client, eventually, free_port, get, outlast, pattern, post, unix_seconds};

/// Echoes the body, or the path if there is none.
fn echo(request: &Request<'_>) -> Response {
    match request.body() {
        [] => Response::text(request.path().to_owned()),
        body => Response::bytes(body.to_vec()),
    }
}

/// A client with a tiny receive buffer.
fn narrow_client(address: SocketAddr) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a socket");
    socket.connect(&address.into()).expect("the server listens");
    Client::over(socket.into())
}

/// Counts the server's connections in a state, given by its number in `tcp_states.h`.
fn count_in_state(address: SocketAddr, state: u8) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("/proc");
    let port = format!(":{:04X}", address.port());
    let state = format!("{state:02X}");
    let rows = table.lines().skip(1).filter(|row| {
        let mut columns = row.split_whitespace().skip(1);
        let (local, _, of_row) = (columns.next(), columns.next(), columns.next());
        local.is_some_and(|local| local.ends_with(&port)) && of_row == Some(&state)
    });
    rows.count()
}

const FIN_WAIT_1: u8 = 4;
const TIME_WAIT: u8 = 6;

#[test]
fn requests_on_one_connection_are_served_in_order_pipelined_or_not() {
    let server = Running::start(on_loopback(), echo);
    let mut client = Client::connect(server.address);
    for number in 0..50 {
        let path = format!("/{number}");
        assert_eq!(client.request(get(&path)).text(), path);
    }
    let paths: Vec<String> = (0..300).map(|number| format!("/p{number}")).collect();
    client.send(paths.iter().map(|path| get(path)).collect::<String>());
    for path in &paths {
        assert_eq!(client.response().text(), *path);
    }
    server.stop();
    assert!(client.is_at_end());
}

#[test]
fn each_of_many_simultaneous_clients_gets_its_own_response() {
    let (entered, has_entered) = channel();
    let (let_go, may_go) = channel();
    let server = Running::start(on_loopback(), move |request: &Request<'_>| {
        if request.path() == "/hold" {
            entered.send(()).expect("the test waits");
            may_go.recv().expect("the test lets it go on");
        }
        echo(request)
    });
    let mut crowd = [(); 40].map(|()| Client::connect(server.address));
    for client in &mut crowd {
        assert_eq!(client.request(get("/")).status, 200);
    }
    // While the handler blocks the loop, all clients send, some of them more than one read takes.
    let mut first = Client::connect(server.address);
    first.send(get("/hold"));
    has_entered.recv().expect("the handler runs");
    let body = |at: u8| vec![at; if at.is_multiple_of(3) { 20_000 } else { 90 }];
    for (at, client) in (0..).zip(&crowd) {
        client.send(post("/", &body(at)));
    }
    let_go.send(()).expect("the handler waits");
    assert_eq!(first.response().status, 200);
    for (at, client) in (0..).zip(&mut crowd) {
        let response = client.response();
        assert_eq!(response.status, 200);
        assert!(
            response.body == body(at),
            "client {at} got another client's response"
        );
    }
}

#[test]
fn a_client_that_half_closes_after_its_requests_gets_every_response() {
    let body = pattern(3_000_000);
    let (response, expected) = (body.clone(), body);
    let server = Running::start(on_loopback(), move |_| Response::bytes(response.clone()));
    let mut client = narrow_client(server.address);
    client.send([get("/"), get("/")].concat());
    client.shut_down_output();
    assert_eq!(client.response().body, expected);
    assert_eq!(client.response().body, expected);
    assert!(client.is_at_end());
    server.stop();
}

/// A server that lingers long enough for a slow machine.
fn lingering() -> Server {
    on_loopback().timeouts(Timeouts::new().linger(loopback::PATIENCE))
}

/// Responds with a large body before it reads the request's.
struct RespondEarly(Vec<u8>);

impl Handler for RespondEarly {
    fn accept(&mut self, _: &Head<'_>) -> Accept {
        Accept::Respond(Response::bytes(self.0.clone()).into())
    }

    fn call(&mut self, _: &Request<'_>) -> Outcome {
        Response::text("unreached").into()
    }
}

#[test]
fn a_peer_that_keeps_sending_still_gets_its_response() {
    let server = Running::start(lingering(), echo);
    let mut client = Client::connect(server.address);
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 99999999999\r\n\r\n");
    for _ in 0..15 {
        client.send([0; 4_096]);
    }
    client.shut_down_output();
    let response = client.response();
    assert_eq!(
        (response.status, response.field("connection")),
        (413, Some("close"))
    );
    assert!(client.is_at_end());
    server.stop();
}

#[test]
fn bytes_sent_together_with_the_end_do_not_reset_a_response_in_flight() {
    let body = pattern(256 * 1024);
    let server = Running::start_handler(lingering(), RespondEarly(body.clone()));
    let mut client = narrow_client(server.address);
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 99999999999\r\n\r\n");
    eventually("the server has closed its side", || {
        count_in_state(server.address, FIN_WAIT_1) == 1
    });
    let sent = SockRef::from(client.stream()).send_with_flags(&[0; 4_096], libc::MSG_MORE);
    assert_eq!(sent.expect("an open socket"), 4_096);
    client.shut_down_output();
    assert_eq!(client.response().body, body);
    assert!(client.is_at_end());
    server.stop();
}

#[test]
fn connections_without_a_request_get_nothing_and_disturb_no_other() {
    let server = Running::start(on_loopback(), echo);
    let silent = Client::connect(server.address);
    let mut half_open = Client::connect(server.address);
    half_open.send("GET / HT");
    for bytes in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: test\r\n\r\n"] {
        let reset = Client::connect(server.address);
        reset.send(bytes);
        let lingering = SockRef::from(reset.stream()).set_linger(Some(Duration::ZERO));
        lingering.expect("a socket");
    }
    drop(TcpStream::connect(server.address));
    let mut client = Client::connect(server.address);
    assert_eq!(client.request(get("/a")).text(), "/a");
    silent.stream().set_nonblocking(true).expect("a socket");
    let received = silent.stream().peek(&mut [0]).map_err(|error| error.kind());
    assert_eq!(received, Err(std::io::ErrorKind::WouldBlock));
    silent.stream().set_nonblocking(false).expect("a socket");
    // Both can still send a request.
    assert_eq!(
        half_open.request("TP/1.1\r\nHost: test\r\n\r\n").text(),
        "/"
    );
    let mut silent = silent;
    assert_eq!(silent.request(get("/late")).text(), "/late");
    server.begin_stop();
    server.ended().expect("the server ran without an error");
    let events: Vec<ServerEvent> = server.events.try_iter().skip(1).collect();
    assert_eq!(events, [ServerEvent::Draining(0), ServerEvent::Stopped(0)]);
}

#[test]
fn a_slow_reader_gets_every_byte_of_large_and_small_responses_in_order() {
    // Sizes chosen so that one write takes whole responses, parts of them, and more than its slices hold.
    let server = Running::start(on_loopback(), |request| {
        let len = request.path().get(1..).and_then(|len| len.parse().ok());
        Response::bytes(pattern(len.unwrap_or(0)))
    });
    let lens: Vec<usize> = (0..120)
        .map(|number| number * number * 11 % 70_000)
        .collect();
    let mut client = narrow_client(server.address);
    let requests: String = lens.iter().map(|len| get(&format!("/{len}"))).collect();
    client.send(requests + &get("/9000000"));
    for len in lens {
        assert_eq!(client.response().body, pattern(len), "{len}");
    }
    assert_eq!(client.response().body, pattern(9_000_000));
    assert_eq!(client.request(get("/1")).body, pattern(1));
    server.stop();
}

#[test]
fn a_large_upload_arrives_whole_in_either_framing() {
    let server = Running::start(on_loopback(), echo);
    let mut client = Client::connect(server.address);
    let body = pattern(20_000_001);
    assert_eq!(client.request(post("/", &body)).body, body);

    client.send("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
    for chunk in body.chunks(77_777) {
        client.send(format!("{:x}\r\n", chunk.len()));
        client.send([chunk, b"\r\n"].concat());
    }
    assert_eq!(client.request("0\r\n\r\n").body, body);
    server.stop();
}

/// Passes its sockets to the test.
struct GiveAway(std::sync::mpsc::Sender<TcpStream>);

impl Handler for GiveAway {
    fn accept(&mut self, _: &Head<'_>) -> Accept {
        let to = self.0.clone();
        Accept::Upgrade(Upgrade::new("socket", move |socket, _| {
            drop(to.send(socket));
        }))
    }

    fn call(&mut self, _: &Request<'_>) -> Outcome {
        Response::text("no upgrade was offered").into()
    }
}

#[test]
fn accepted_sockets_have_the_options_of_the_listener() {
    let seconds = Duration::from_secs;
    let request = |server: Running, sockets: std::sync::mpsc::Receiver<TcpStream>| {
        let mut client = Client::connect(server.address);
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: socket\r\n\r\n");
        assert_eq!(client.head().expect("a response").status, 101);
        let socket = sockets.recv_timeout(loopback::PATIENCE).expect("a socket");
        server.stop();
        socket
    };
    let (to, sockets) = channel();
    let options = on_loopback().tcp_keepalive(seconds(77), seconds(13), 5);
    let socket = request(Running::start_handler(options, GiveAway(to)), sockets);
    let options = SockRef::from(&socket);
    assert!(options.tcp_nodelay().expect("a socket"));
    assert!(options.keepalive().expect("a socket"));
    assert_eq!(options.tcp_keepalive_time().expect("a socket"), seconds(77));
    assert_eq!(
        options.tcp_keepalive_interval().expect("a socket"),
        seconds(13)
    );
    assert_eq!(options.tcp_keepalive_retries().expect("a socket"), 5);

    // A socket that listened before gets the same options, and loses those that are not wanted.
    let (to, sockets) = channel();
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let taken = on_loopback()
        .tcp_keepalive(seconds(77), seconds(13), 5)
        .listen_on(listener)
        .expect("it listens");
    let socket = request(Running::start_bound(taken, GiveAway(to)), sockets);
    let options = SockRef::from(&socket);
    assert!(options.tcp_nodelay().expect("a socket"));
    assert_eq!(options.tcp_keepalive_time().expect("a socket"), seconds(77));

    let (to, sockets) = channel();
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let asked_for = SockRef::from(&listener).set_keepalive(true);
    asked_for.expect("a socket");
    let taken = on_loopback().without_tcp_keepalive().listen_on(listener);
    let taken = taken.expect("it listens");
    let socket = request(Running::start_bound(taken, GiveAway(to)), sockets);
    assert!(!SockRef::from(&socket).keepalive().expect("a socket"));

    let (to, sockets) = channel();
    let without = on_loopback().without_tcp_keepalive();
    let socket = request(Running::start_handler(without, GiveAway(to)), sockets);
    assert!(!SockRef::from(&socket).keepalive().expect("a socket"));
}

#[test]
fn a_port_can_be_bound_again_right_after_a_stop() {
    // Not one of those that the kernel gives to clients: another test's could get it in between.
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let server = Running::start(on_loopback().address(address), echo);
    let mut clients = [(); 3].map(|()| Client::connect(address));
    for client in &mut clients {
        assert_eq!(client.request(get("/")).status, 200);
    }
    server.stop();
    for client in &mut clients {
        assert!(client.is_at_end());
    }
    drop(clients);
    eventually("the old connections are in TIME_WAIT", || {
        count_in_state(address, TIME_WAIT) == 3
    });
    let server = Running::start(on_loopback().address(address), echo);
    assert_eq!(
        Client::connect(address).request(get("/again")).text(),
        "/again"
    );
    // While the server runs, its port is taken.
    assert!(TcpListener::bind(address).is_err());
    server.stop();
}

#[test]
fn a_server_out_of_descriptors_neither_spins_nor_stops_accepting() {
    let (mut server, address) = Process::serve(|port| {
        let mut command = Command::new("sh");
        let script = "ulimit -n 20; exec \"$0\" --port \"$1\"";
        let port = port.to_string();
        command.args(["-c", script, env!("CARGO_BIN_EXE_bootstrap"), &port]);
        command
    });

    let open = std::fs::read_dir(format!("/proc/{}/fd", server.id)).expect("a process");
    // A quarter of so few descriptors stays free for handlers.
    let room = 15 - open.count();
    let mut served = Vec::new();
    for _ in 0..room {
        let mut client = Client::connect(address);
        assert_eq!(client.request(get("/healthz")).text(), "ok");
        served.push(client);
    }
    let mut waiting = [(); 2].map(|()| Client::connect(address));
    for client in &waiting {
        client.send(get("/healthz"));
    }
    let line = server.line().expect("a report");
    assert!(line.contains("no descriptor left"), "{line}");

    let (since, ticks, turns) = (
        Instant::now(),
        processor_ticks(server.id),
        sleeps(server.id),
    );
    outlast(Duration::from_millis(1_500));
    let ticks = processor_ticks(server.id) - ticks;
    let turns = u128::from(sleeps(server.id) - turns);
    let tenths = since.elapsed().as_millis() / 100;
    assert!(
        turns <= tenths + 2,
        "woke {turns} times in {tenths} tenths of a second"
    );
    assert!(ticks <= 20, "{ticks} hundredths of a second of CPU time");

    for client in &mut waiting {
        // Free one descriptor: the next waiting client gets it.
        drop(served.pop());
        assert_eq!(client.response().text(), "ok");
    }
    assert_eq!(served[0].request(get("/healthz")).text(), "ok");
    assert_eq!(server.stop(), Some(0));
    assert_eq!(server.line(), None, "only one report");
}

#[test]
fn a_stop_finishes_running_requests_and_closes_other_connections_at_once() {
    let (replies_in, replies) = channel();
    let server = Running::start(on_loopback(), move |request| {
        if request.path() != "/promised" {
            return echo(request).into();
        }
        let (outcome, reply) = Outcome::promised();
        drop(replies_in.send(reply));
        outcome
    });
    let mut idle = Client::connect(server.address);
    assert_eq!(idle.request(get("/")).status, 200);
    let mut fresh = Client::connect(server.address);
    let mut running = Client::connect(server.address);
    running.send(get("/promised"));
    let reply = replies.recv_timeout(loopback::PATIENCE).expect("a reply");

    server.begin_stop();
    assert!(idle.is_at_end());
    assert!(fresh.is_at_end());
    let refused = TcpStream::connect(server.address).map_err(|error| error.kind());
    assert_eq!(
        refused.expect_err("the listener is closed"),
        std::io::ErrorKind::ConnectionRefused
    );
    assert!(!server.has_ended(), "a request is still running");

    reply.complete(Response::text("kept"));
    let response = running.response();
    assert_eq!(response.text(), "kept");
    assert_eq!(response.field("connection"), Some("close"));
    assert!(running.is_at_end());
    drop(running);
    server.ended().expect("the server ran without an error");
    let events: Vec<ServerEvent> = server.events.try_iter().skip(1).collect();
    assert_eq!(events, [ServerEvent::Draining(1), ServerEvent::Stopped(0)]);
}

#[test]
fn several_workers_all_serve_and_all_stop() {
    let bound = on_loopback().workers(2).bind().expect("a free port");
    let (address, stopper) = (bound.local_address(), bound.stopper());
    let (ended_in, ended) = channel();
    let serve = move || {
        let name = |_: &Request<'_>| Response::text(format!("{:?}", std::thread::current().id()));
        drop(ended_in.send(bound.run(name)));
    };
    std::thread::spawn(serve);
    let mut clients = Vec::new();
    let mut names = std::collections::BTreeSet::new();
    // Whichever wakes first takes a connection.
    eventually("both workers have had a connection", || {
        let mut client = Client::connect(address);
        names.insert(client.request(get("/")).text());
        clients.push(client);
        names.len() == 2
    });
    stopper.stop();
    let outcome = ended.recv_timeout(loopback::PATIENCE);
    outcome
        .expect("the server stops")
        .expect("it ran without an error");
    assert!(clients.iter_mut().all(Client::is_at_end));
    assert!(TcpStream::connect(address).is_err());
}

/// For every timeout of a server in a process of its own.
const SHORT: Duration = Duration::from_secs(1);
const LARGE: usize = 12_000_000;

fn serve_with_short_timeouts() {
    let timeouts = Timeouts::new().head(SHORT).body(SHORT).write(SHORT);
    let server = Server::new()
        .address(SocketAddr::from(([127, 0, 0, 1], 0)))
        .timeouts(timeouts);
    let large = coldstart::Bytes::from(pattern(LARGE));
    let served = server.run(|request| match request.path() {
        "/large" => Response::bytes(large.clone()),
        _ => echo(request),
    });
    served.expect("the server ran without an error");
}

#[test]
fn clients_that_wait_on_a_frozen_server_are_served_after_the_thaw_with_the_right_date() {
    if is_again() {
        return serve_with_short_timeouts();
    }
    let mut server = Process::again(
        "clients_that_wait_on_a_frozen_server_are_served_after_the_thaw_with_the_right_date",
    );
    let address = server.address();
    let mut idle = Client::connect(address);
    let before = idle.request(get("/"));
    let (mut in_head, mut in_body, mut reader) = loop {
        let since = Instant::now();
        let in_head = Client::connect(address);
        in_head.send("GET /head HTTP/1.1\r\nHo");
        let in_body = Client::connect(address);
        in_body.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nbody");
        let mut reader = narrow_client(address);
        reader.send(get("/large"));
        assert_eq!(reader.head().expect("a head").status, 200);
        // The server has seen all of them before it freezes.
        assert_eq!(idle.request(get("/")).status, 200);
        server.freeze_asleep();
        if since.elapsed() < SHORT {
            break (in_head, in_body, reader);
        }
        // The machine is busy and their deadlines passed before the freeze: try again.
        server.thaw();
    };

    idle.send(get("/idle"));
    in_head.send("st: a\r\n\r\n");
    in_body.send("-end");
    // Allocate before the thaw: after it, a reader that does anything but read may be cut off.
    let mut large = vec![0; LARGE];
    let (start, rest) = large.split_at_mut(1_000_000);
    reader.read_exact(start);
    outlast(SHORT + SHORT / 2);
    let thawed_at = unix_seconds();
    server.thaw();

    // Read first from the client with a deadline from here on.
    reader.read_exact(rest);
    assert_eq!(large, pattern(LARGE));
    let after = idle.response();
    assert_eq!(after.text(), "/idle");
    assert_eq!(in_head.response().text(), "/head");
    assert_eq!(in_body.response().text(), "body-end");

    let at = after.date_seconds();
    assert!((thawed_at..=unix_seconds()).contains(&at), "{}", after.head);
    assert!(before.date_seconds() < at, "{}", before.head);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn clients_that_keep_a_server_waiting_get_408_or_are_cut_off() {
    if is_again() {
        return serve_with_short_timeouts();
    }
    let mut server = Process::again("clients_that_keep_a_server_waiting_get_408_or_are_cut_off");
    let address = server.address();
    let mut in_head = Client::connect(address);
    in_head.send("GET /head HTTP/1.1\r\nHo");
    let mut in_body = Client::connect(address);
    in_body.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nbody");
    let reader = narrow_client(address);
    reader.send(get("/large"));
    for client in [&mut in_head, &mut in_body] {
        assert_eq!(client.response().status, 408);
        assert!(client.is_at_end());
    }
    // The client reads nothing, so it can only be cut off: its connection leaves the table of open ones.
    eventually("the client that reads nothing is cut off", || {
        count_in_state(address, ESTABLISHED) == 0
    });
    assert_eq!(server.stop(), Some(0));
}

const ESTABLISHED: u8 = 1;
