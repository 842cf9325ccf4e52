//! Waiting for a server's bytes on behalf of a caller that may leave meanwhile.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How often a caller that has ended its sending side is looked at again.
const LOOK_PERIOD: Duration = Duration::from_millis(100);

/// Which of two connections had an event first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    Response,
    CallerGone,
    Neither,
}

/// Waits for the server's bytes, or for the caller to leave. A caller that only ended its sending side still waits for
/// its response (RFC 9112 §9.6).
pub(super) fn response_or_departure(
    server: &TcpStream,
    caller: &TcpStream,
    deadline: Instant,
) -> First {
    let gone = PollFlags::HUP | PollFlags::ERR;
    let mut has_ended = false;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let (wanted, patience) = if has_ended {
            (gone, left.min(LOOK_PERIOD))
        } else {
            (gone | PollFlags::RDHUP, left)
        };
        let mut both = [
            PollFd::new(server, PollFlags::IN | PollFlags::RDHUP),
            PollFd::new(caller, wanted),
        ];
        match poll(&mut both, Some(&timespec(patience))) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return First::Neither,
        }
        if !both[0].revents().is_empty() {
            return First::Response;
        }
        let seen = both[1].revents();
        has_ended |= seen.contains(PollFlags::RDHUP);
        if seen.intersects(gone) || (has_ended && is_closed(caller)) {
            return First::CallerGone;
        }
        if left.is_zero() {
            return First::Neither;
        }
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

/// The time that a poll may take.
pub(super) fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, TcpListener};

    /// The caller's end, and the gateway's end of the same connection.
    fn connection(address: IpAddr) -> Option<(TcpStream, TcpStream)> {
        let listener = TcpListener::bind((address, 0)).ok()?;
        let caller = TcpStream::connect(listener.local_addr().ok()?).ok()?;
        Some((caller, listener.accept().ok()?.0))
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn a_half_closed_caller_still_waits_and_a_closed_one_is_gone() {
        let (mut server, ours) = connection(Ipv4Addr::LOCALHOST.into()).expect("a connection");
        for address in [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            Ipv6Addr::LOCALHOST.into(),
        ] {
            // A machine may lack IPv6.
            let Some((caller, end)) = connection(address) else {
                continue;
            };
            caller.shutdown(Shutdown::Write).expect("half-closed");
            let briefly = Instant::now() + LOOK_PERIOD * 3;
            assert_eq!(response_or_departure(&ours, &end, briefly), First::Neither);
            drop(caller);
            assert_eq!(
                response_or_departure(&ours, &end, soon()),
                First::CallerGone
            );
        }
        let (_caller, end) = connection(Ipv4Addr::LOCALHOST.into()).expect("a connection");
        server.write_all(b"x").expect("sent");
        assert_eq!(response_or_departure(&ours, &end, soon()), First::Response);
    }
}
