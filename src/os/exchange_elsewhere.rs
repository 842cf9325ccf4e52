//! The two system calls of each request, by mio and std: for systems and processors that `exchange.rs` does not know, and for the
//! smallest build.

use std::io::{self, Read, Write};

/// Receives bytes into `buffer`; 0 at the end.
#[inline]
pub(super) fn receive(mut socket: impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    socket.read(buffer)
}

/// Sends bytes, without a signal if the peer is gone.
#[inline]
pub(super) fn send(mut socket: impl Write, bytes: &[u8]) -> io::Result<usize> {
    socket.write(bytes)
}
