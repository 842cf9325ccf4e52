//! Servers on a socket that listens already: one that a service manager or a test has opened.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up sockets by hand, and start threads"
)]

mod loopback;

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::thread;

use coldstart::{Request, Response};
use socket2::{Domain, Protocol, Socket, Type};

use loopback::server::on_loopback;
use loopback::{Client, get};

fn hello(_: &Request<'_>) -> Response {
    Response::text("hello")
}

#[test]
fn a_socket_that_listens_already_serves_what_waits_in_its_backlog() {
    for workers in [1, 2] {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let mut clients = [(); 3].map(|()| Client::connect(address));
        for client in &mut clients {
            client.send(get("/"));
        }
        // The server's own address is not used.
        let server = on_loopback().address(([192, 0, 2, 1], 1).into());
        let bound = server.workers(workers).listen_on(listener);
        let bound = bound.expect("it listens");
        assert_eq!(bound.local_address(), address);
        let stopper = bound.stopper();
        let serving = thread::spawn(move || bound.run(hello));
        for client in &mut clients {
            assert_eq!(client.response().status, 200);
        }
        stopper.stop();
        let served = serving.join().expect("no panic");
        served.expect("it ran without an error");
    }
}

#[test]
fn a_socket_that_does_not_listen_is_refused() {
    for (kind, protocol) in [(Type::STREAM, Protocol::TCP), (Type::DGRAM, Protocol::UDP)] {
        let socket = Socket::new(Domain::IPV4, kind, Some(protocol)).expect("a socket");
        let refused = on_loopback().listen_on(socket.into());
        assert!(refused.is_err(), "{kind:?}");
    }
    let path = std::env::temp_dir().join(format!("coldstart-listener-{}", std::process::id()));
    let of_files = UnixListener::bind(&path).expect("a socket in the folder");
    std::fs::remove_file(&path).expect("it was made");
    let refused = on_loopback().listen_on(OwnedFd::from(of_files).into());
    assert!(refused.is_err(), "it has no address of TCP");
}
