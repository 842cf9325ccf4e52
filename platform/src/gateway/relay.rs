//! A connection after `101 Switching Protocols`: bytes in both directions until one side ends or the deadline passes.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Instant;

use crate::wire::Wire;

/// Relays until the end. As on the platform, the function's time-out bounds a WebSocket.
pub(crate) fn relay(caller: &mut Wire, server: &mut Wire, deadline: Instant) {
    let waiting = (caller.take(usize::MAX), server.take(usize::MAX));
    if server.send(&waiting.0).is_err() || caller.send(&waiting.1).is_err() {
        return;
    }
    let (caller, server) = (caller.stream(), server.stream());
    thread::scope(|scope| {
        scope.spawn(|| pump(caller, server, deadline));
        pump(server, caller, deadline);
    });
}

fn pump(mut from: &TcpStream, mut to: &TcpStream, deadline: Instant) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || from.set_read_timeout(Some(left)).is_err() {
            break;
        }
        match from.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(length) => {
                if to.write_all(&buffer[..length]).is_err() {
                    break;
                }
            }
        }
    }
    // End the other direction too.
    from.shutdown(Shutdown::Both).ok();
    to.shutdown(Shutdown::Both).ok();
}
