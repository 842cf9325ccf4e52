//! Who listens where, read from the kernel's tables.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::processes;
use crate::system::Listener;

const LISTENING: &str = "0A";

/// The listeners of the network that a process is in; `None` if they are not known.
pub(crate) fn listeners(process: i32) -> Option<Vec<Listener>> {
    let mut found = Vec::new();
    let read = |table: &str| fs::read_to_string(format!("/proc/{process}/net/{table}")).ok();
    found.extend(read("tcp")?.lines().skip(1).filter_map(listener));
    // A kernel without IPv6 has no such table.
    let ipv6 = read("tcp6").unwrap_or_default();
    found.extend(ipv6.lines().skip(1).filter_map(listener));
    Some(found)
}

/// Names the process that has a listener.
pub(crate) fn holder(listener: &Listener) -> String {
    match owner(listener.inode) {
        Some(process) => {
            let name = processes::name(process).unwrap_or_default();
            format!("{name} (process {process})")
        }
        None => format!("a process of user {}", listener.user),
    }
}

/// Returns the process that has a socket.
pub(crate) fn owner(inode: u64) -> Option<i32> {
    processes::ids()
        .find(|process| sockets_of(*process).is_some_and(|sockets| sockets.contains(&inode)))
}

/// Returns the inodes of a process's sockets, or `None` if the kernel does not show them.
pub(crate) fn sockets_of(process: i32) -> Option<HashSet<u64>> {
    let descriptors = match fs::read_dir(format!("/proc/{process}/fd")) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return None,
        // A process that has ended meanwhile has none.
        descriptors => descriptors.into_iter().flatten().flatten(),
    };
    let targets = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
    let inode = |target: std::path::PathBuf| {
        let name = target.to_str()?;
        name.strip_prefix("socket:[")?
            .strip_suffix(']')?
            .parse()
            .ok()
    };
    Some(targets.filter_map(inode).collect())
}

/// Parses a line of the table: number, local address, remote address, state, …, user, …, inode.
fn listener(line: &str) -> Option<Listener> {
    let columns: Vec<&str> = line.split_whitespace().collect();
    let (address, port) = columns.get(1)?.split_once(':')?;
    (*columns.get(3)? == LISTENING).then_some(())?;
    Some(Listener {
        address: ip(address)?,
        port: u16::from_str_radix(port, 16).ok()?,
        inode: columns.get(9)?.parse().ok()?,
        user: columns.get(7)?.parse().ok()?,
    })
}

/// Parses an address: groups of eight digits, each a number in this machine's byte order.
fn ip(text: &str) -> Option<IpAddr> {
    let mut octets = Vec::new();
    for start in (0..text.len()).step_by(8) {
        let group = u32::from_str_radix(text.get(start..start + 8)?, 16).ok()?;
        octets.extend(group.to_ne_bytes());
    }
    if let Ok(octets) = <[u8; 4]>::try_from(&*octets) {
        return Some(Ipv4Addr::from(octets).into());
    }
    let octets = <[u8; 16]>::try_from(octets).ok()?;
    // An IPv4 address mapped into IPv6 is that IPv4 address.
    Some(Ipv6Addr::from(octets).to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        "0: 0100007F:2328 00000000:0000 0A 00000000:00000000 00:00000000 00000000 33 0 77 1 0";

    fn at(address: &str) -> Listener {
        Listener {
            address: address.parse().unwrap(),
            port: 9000,
            inode: 77,
            user: 33,
        }
    }

    #[test]
    fn a_process_that_is_gone_hides_no_sockets() {
        assert_eq!(sockets_of(i32::MAX), Some(HashSet::new()));
    }

    #[test]
    fn the_kernels_table_is_read() {
        assert_eq!(listener(LINE), Some(at("127.0.0.1")));
        for (text, address) in [
            ("00000000", "0.0.0.0"),
            ("00000000000000000000000000000000", "::"),
            ("00000000000000000000000001000000", "::1"),
            ("0000000000000000FFFF00000100007F", "127.0.0.1"),
            ("020200C0", "192.0.2.2"),
        ] {
            assert_eq!(listener(&LINE.replace("0100007F", text)), Some(at(address)));
        }
        assert_eq!(listener(&LINE.replace(" 0A ", " 01 ")), None, "connected");
        assert_eq!(listener("sl local_address"), None, "the heading");
    }
}
