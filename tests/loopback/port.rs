//! Ports for servers that the tests start as processes.

use std::net::{Ipv4Addr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the ports that the kernel gives to clients: one of those may be taken between this look and the server's.
const FIRST: u32 = 12_000;
const COUNT: u32 = 15_000;

/// A port that is free, and that no other test of this process gets.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let offset = process::id().wrapping_mul(131) % COUNT;
    loop {
        let number = offset + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(FIRST + number % COUNT).unwrap_or(0);
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return port;
        }
    }
}
