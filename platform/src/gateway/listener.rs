//! The gateway's listening socket, with one thread per connection.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;

use super::call::{After, refuse_head, serve};
use super::fleet::Fleet;
use crate::exit::{Failure, Status};
use crate::wire::Wire;

const CONNECTIONS_MAX: usize = 1024;
/// Above the platform's limits, so that a request over them gets a proper error response.
const HEAD_LEN_MAX: usize = 64 * 1024;
const IDLE: Duration = Duration::from_secs(3600);
const RETRY_PAUSE: Duration = Duration::from_millis(50);
const LINGER: Duration = Duration::from_secs(1);

/// Binds the gateway's address.
pub(crate) fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).map_err(|error| {
        Failure::new(
            Status::PortTaken,
            format!("the gateway cannot listen on {address}: {error}"),
        )
        .fix("choose another address with --gateway, such as 127.0.0.1:8081")
    })
}

/// Accepts and serves connections until the program ends.
pub(crate) fn spawn(listener: TcpListener, fleet: &Arc<Fleet>) -> io::Result<()> {
    let fleet = Arc::clone(fleet);
    thread::Builder::new()
        .name("gateway".to_owned())
        .spawn(move || accept(&listener, &fleet))
        .map(drop)
}

fn accept(listener: &TcpListener, fleet: &Arc<Fleet>) {
    let open = Arc::new(AtomicUsize::new(0));
    for caller in listener.incoming() {
        // Out of file descriptors, threads or places: connections wait in the backlog until one is free.
        let Ok(caller) = caller else {
            thread::sleep(RETRY_PAUSE);
            continue;
        };
        while open.load(Ordering::Relaxed) >= CONNECTIONS_MAX
            || spawn_connection(&caller, fleet, &open).is_err()
        {
            thread::sleep(RETRY_PAUSE);
        }
    }
}

fn spawn_connection(
    caller: &TcpStream,
    fleet: &Arc<Fleet>,
    open: &Arc<AtomicUsize>,
) -> io::Result<()> {
    // A thread that cannot start drops what it was given.
    let caller = caller.try_clone()?;
    let (fleet, counted) = (Arc::clone(fleet), Arc::clone(open));
    let serving = move || {
        serve_connection(caller, &fleet);
        counted.fetch_sub(1, Ordering::Relaxed);
    };
    open.fetch_add(1, Ordering::Relaxed);
    let spawned = thread::Builder::new()
        .name("caller".to_owned())
        .spawn(serving);
    if spawned.is_err() {
        open.fetch_sub(1, Ordering::Relaxed);
    }
    spawned.map(drop)
}

fn serve_connection(caller: TcpStream, fleet: &Arc<Fleet>) {
    let Ok(mut wire) = Wire::of(caller) else {
        return;
    };
    loop {
        match wire.read_request(HEAD_LEN_MAX, Instant::now() + IDLE) {
            Ok(Some(request)) => match serve(fleet, request, &mut wire) {
                After::Keep => {}
                After::Close => break,
                After::Abort => {
                    set_socket_linger(wire.stream(), Some(Duration::ZERO)).ok();
                    return;
                }
            },
            Ok(None) => return,
            Err(fault) => match refuse_head(fleet, fault, &wire) {
                Some(_) => break,
                None => return,
            },
        }
    }
    linger(&mut wire);
}

/// Reads what still arrives: closing with unread bytes would reset the connection and lose the response.
fn linger(wire: &mut Wire) {
    wire.stream().shutdown(Shutdown::Write).ok();
    let deadline = Instant::now() + LINGER;
    while wire.fill(deadline).unwrap_or(false) {
        wire.take(usize::MAX);
    }
}
