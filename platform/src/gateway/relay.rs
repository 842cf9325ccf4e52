//! A connection after `101 Switching Protocols`: bytes in both directions until one side ends or the deadline passes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Instant;

use crate::wire::Wire;

/// Relays until the end. As on the platform, the function's time-out bounds a WebSocket.
pub(crate) fn relay(caller: &mut Wire, server: &mut Wire, deadline: Instant) {
    let waiting = (caller.take(usize::MAX), server.take(usize::MAX));
    if server.send_by(&waiting.0, deadline).is_err()
        || caller.send_by(&waiting.1, deadline).is_err()
    {
        return;
    }
    let (caller, server) = (caller.stream(), server.stream());
    thread::scope(|scope| {
        let other = thread::Builder::new().name("relay".to_owned());
        // Without a thread for the other direction the connection ends.
        if other
            .spawn_scoped(scope, || pump(caller, server, deadline))
            .is_ok()
        {
            pump(server, caller, deadline);
        }
    });
}

fn pump(mut from: &TcpStream, to: &TcpStream, deadline: Instant) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || from.set_read_timeout(Some(left)).is_err() {
            break;
        }
        match from.read(&mut buffer) {
            // The other direction may go on: a side may only have ended what it sends.
            Ok(0) if to.shutdown(Shutdown::Write).is_ok() => return,
            Ok(length) if length > 0 && send(to, &buffer[..length], deadline) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => break,
        }
    }
    // End the other direction too.
    from.shutdown(Shutdown::Both).ok();
    to.shutdown(Shutdown::Both).ok();
}

fn send(mut to: &TcpStream, bytes: &[u8], deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    !left.is_zero() && to.set_write_timeout(Some(left)).is_ok() && to.write_all(bytes).is_ok()
}
