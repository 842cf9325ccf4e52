//! Whether a caller has left, from the kernel's tables.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};

use rustix::event::PollFlags;

use crate::system::Caller;

/// What a caller is polled for: the end of its sending side.
pub(crate) const ENDED: PollFlags = PollFlags::RDHUP;

/// Looks at a caller that has ended its sending side.
pub(crate) fn look(caller: &TcpStream) -> Caller {
    if is_closed(caller) {
        Caller::Left
    } else {
        Caller::Waits(Some(PollFlags::HUP | PollFlags::ERR))
    }
}

/// Whether a caller that has sent its FIN has closed its socket. On the wire a half-close looks the same; but on the same
/// machine the kernel's table has the caller's end as well, with inode 0 once no process holds it. A caller on another
/// machine counts as waiting until a write to it fails.
fn is_closed(caller: &TcpStream) -> bool {
    let (Ok(theirs), Ok(ours)) = (caller.peer_addr(), caller.local_addr()) else {
        return true;
    };
    let mut has_table = false;
    for (table, spelled) in [
        (
            "/proc/net/tcp",
            spell_v4 as fn(SocketAddr) -> Option<String>,
        ),
        ("/proc/net/tcp6", spell_v6),
    ] {
        let (Some(from), Some(to)) = (spelled(theirs), spelled(ours)) else {
            continue;
        };
        let Ok(text) = fs::read_to_string(table) else {
            continue;
        };
        has_table = true;
        if let Some(inode) = inode_of(&text, &from, &to) {
            return inode == "0";
        }
    }
    // The kernel forgets a closed end after a minute.
    has_table && theirs.ip().to_canonical().is_loopback()
}

/// The inode of the socket with these two addresses.
fn inode_of<'a>(table: &'a str, local: &str, remote: &str) -> Option<&'a str> {
    table.lines().find_map(|line| {
        let mut columns = line.split_ascii_whitespace().skip(1);
        let is_it = columns.next() == Some(local) && columns.next() == Some(remote);
        is_it.then(|| columns.nth(6)).flatten()
    })
}

/// As `/proc/net/tcp` spells an address: the bytes as a number of this machine.
fn spell_v4(address: SocketAddr) -> Option<String> {
    let IpAddr::V4(ip) = address.ip().to_canonical() else {
        return None;
    };
    let number = u32::from_ne_bytes(ip.octets());
    Some(format!("{number:08X}:{:04X}", address.port()))
}

/// As `/proc/net/tcp6` spells an address: four such numbers. An IPv4 address may be there in its mapped form.
fn spell_v6(address: SocketAddr) -> Option<String> {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let octets = ip.octets();
    let words: String = octets
        .as_chunks::<4>()
        .0
        .iter()
        .map(|word| format!("{:08X}", u32::from_ne_bytes(*word)))
        .collect();
    Some(format!("{words}:{:04X}", address.port()))
}
