//! Who listens where, read from the kernel: ties readiness to the function's own sockets, and explains its absence.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::processes;

const LISTENING: &str = "0A";

/// A listening TCP socket.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Listener {
    address: IpAddr,
    port: u16,
    inode: u64,
    user: u32,
}

/// The listening sockets of a network, by whether they belong to the function.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    own: Vec<Listener>,
    foreign: Vec<Listener>,
}

/// How a connection attempt to the configured port ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialed {
    Accepted,
    Refused,
    /// Neither accepted nor refused in time.
    Silent,
}

/// Why the configured port does not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// A process that is not part of the function holds the port.
    Foreign {
        port: u16,
        holder: String,
    },
    /// Only processes on the same machine can connect.
    Loopback {
        address: IpAddr,
        port: u16,
    },
    /// Only connections to one address are accepted.
    OneAddress {
        address: IpAddr,
        port: u16,
    },
    /// The socket refuses IPv4.
    OnlyIpv6 {
        port: u16,
    },
    /// The address is right, but connections stay in the queue.
    NotAccepting {
        port: u16,
    },
    OtherPort {
        found: u16,
        port: u16,
    },
    NoListener {
        port: u16,
    },
    /// Without `/proc` nothing is known.
    Unknown {
        port: u16,
    },
}

impl Table {
    /// Reads the listeners of the network that `process` is in, of which the members' are the function's own. Returns
    /// `None` without `/proc`.
    pub(crate) fn read(process: i32, members: &[i32]) -> Option<Self> {
        let all: Vec<Listener> = listeners(process)?;
        let mut own = HashSet::new();
        let mut hides_some = false;
        for member in members {
            match sockets_of(*member) {
                Some(sockets) => own.extend(sockets),
                None => hides_some = true,
            }
        }
        let (own, mut foreign): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|listener| own.contains(&listener.inode));
        let mut table = Self {
            own,
            foreign: Vec::new(),
        };
        if hides_some {
            // The kernel hides the descriptors of processes with privileges. A socket that no other process has is
            // taken for the function's.
            let hidden = foreign.extract_if(.., |listener| owner(listener.inode).is_none());
            table.own.extend(hidden);
        }
        table.foreign = foreign;
        Some(table)
    }

    /// Returns whether the function, and only the function, accepts the router's connections to the port.
    pub(crate) fn serves(&self, port: u16) -> bool {
        let serves =
            |listener: &Listener| listener.port == port && listener.address.is_unspecified();
        self.own.iter().any(serves) && self.foreign_on(port).is_none()
    }

    /// Explains why the port does not serve.
    pub(crate) fn obstacle(&self, port: u16, dialed: Dialed) -> Obstacle {
        if let Some(listener) = self.foreign_on(port) {
            let holder = holder(listener);
            return Obstacle::Foreign { port, holder };
        }
        let on_port = |listener: &&Listener| listener.port == port;
        // A server may listen twice: of several reasons, the one nearest to being right is reported.
        let nearest = self.own.iter().filter(on_port).min_by_key(|listener| {
            (
                !listener.address.is_unspecified(),
                listener.address.is_loopback(),
                listener.address.is_ipv6(),
            )
        });
        let Some(listener) = nearest else {
            return self
                .own
                .first()
                .map_or(Obstacle::NoListener { port }, |other| {
                    let found = other.port;
                    Obstacle::OtherPort { found, port }
                });
        };
        let address = listener.address;
        if !address.is_unspecified() {
            return if address.is_loopback() {
                Obstacle::Loopback { address, port }
            } else {
                Obstacle::OneAddress { address, port }
            };
        }
        match (address, dialed) {
            (IpAddr::V6(_), Dialed::Refused) => Obstacle::OnlyIpv6 { port },
            (IpAddr::V6(_), Dialed::Accepted | Dialed::Silent) | (IpAddr::V4(_), _) => {
                Obstacle::NotAccepting { port }
            }
        }
    }

    /// A foreign listener that receives what is meant for the function.
    fn foreign_on(&self, port: u16) -> Option<&Listener> {
        self.foreign.iter().find(|listener| {
            let is_dialed = listener.address.is_unspecified()
                || listener.address == IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
            listener.port == port && is_dialed
        })
    }
}

impl Obstacle {
    /// Returns whether more time cannot help: servers do not bind the same port again elsewhere.
    pub(crate) const fn is_final(&self) -> bool {
        match self {
            Self::Foreign { .. }
            | Self::Loopback { .. }
            | Self::OneAddress { .. }
            | Self::OnlyIpv6 { .. } => true,
            Self::NotAccepting { .. }
            | Self::OtherPort { .. }
            | Self::NoListener { .. }
            | Self::Unknown { .. } => false,
        }
    }

    /// Returns whether the function listens somewhere.
    pub(crate) const fn is_listener(&self) -> bool {
        match self {
            Self::Loopback { .. }
            | Self::OneAddress { .. }
            | Self::OnlyIpv6 { .. }
            | Self::NotAccepting { .. }
            | Self::OtherPort { .. } => true,
            Self::Foreign { .. } | Self::NoListener { .. } | Self::Unknown { .. } => false,
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign { port, holder } => write!(
                out,
                "port {port} is held by {holder}, which is not part of the function"
            ),
            Self::Loopback { address, port } => {
                let address = shown(*address);
                write!(
                    out,
                    "the server listens on {address}:{port}, which the platform's router cannot reach"
                )
            }
            Self::OneAddress { address, port } => {
                let address = shown(*address);
                write!(
                    out,
                    "the server listens on {address}:{port}, one address of this machine; the platform's router may \
                     dial another"
                )
            }
            Self::OnlyIpv6 { port } => write!(
                out,
                "the server listens on [::]:{port} for IPv6 only; the platform's router uses IPv4"
            ),
            Self::NotAccepting { port } => {
                write!(
                    out,
                    "the server listens on port {port} but did not accept in time"
                )
            }
            Self::OtherPort { found, port } => write!(
                out,
                "the server listens on port {found}, the configured port is {port}"
            ),
            Self::NoListener { port } => write!(
                out,
                "the process runs but listens on no port; the configured port is {port}"
            ),
            Self::Unknown { port } => write!(
                out,
                "nothing accepts on port {port}; without /proc it is not known where the server listens"
            ),
        }
    }
}

/// Names the process that holds a port of this machine, if any does.
pub(crate) fn holder_of(port: u16) -> Option<String> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let all = listeners(own)?;
    all.iter()
        .find(|listener| listener.port == port)
        .map(holder)
}

/// The listeners of the network that a process is in.
fn listeners(process: i32) -> Option<Vec<Listener>> {
    let mut found = Vec::new();
    let read = |table: &str| fs::read_to_string(format!("/proc/{process}/net/{table}")).ok();
    found.extend(read("tcp")?.lines().skip(1).filter_map(listener));
    // A kernel without IPv6 has no such table.
    let ipv6 = read("tcp6").unwrap_or_default();
    found.extend(ipv6.lines().skip(1).filter_map(listener));
    Some(found)
}

/// Names the process that has a listener.
fn holder(listener: &Listener) -> String {
    match owner(listener.inode) {
        Some(process) => {
            let name = processes::name(process).unwrap_or_default();
            format!("{name} (process {process})")
        }
        None => format!("a process of user {}", listener.user),
    }
}

fn owner(inode: u64) -> Option<i32> {
    processes::ids()
        .find(|process| sockets_of(*process).is_some_and(|sockets| sockets.contains(&inode)))
}

/// Returns the inodes of a process's sockets, or `None` if the kernel does not show them.
fn sockets_of(process: i32) -> Option<HashSet<u64>> {
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

fn shown(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
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

    #[test]
    fn each_wrong_bind_has_its_own_words() {
        let with = |own: &[&str], dialed| {
            let table = Table {
                own: own.iter().map(|address| at(address)).collect(),
                foreign: Vec::new(),
            };
            table.obstacle(9000, dialed).to_string()
        };
        for (own, dialed, expected) in [
            (
                &["127.0.0.1"][..],
                Dialed::Refused,
                "on 127.0.0.1:9000, which",
            ),
            (&["127.0.0.2"], Dialed::Accepted, "on 127.0.0.2:9000, which"),
            (&["::1"], Dialed::Refused, "on [::1]:9000, which"),
            (&["::1", "127.0.0.1"], Dialed::Refused, "on 127.0.0.1:9000"),
            (&["::"], Dialed::Refused, "[::]:9000 for IPv6 only"),
            (
                &["192.0.2.2"],
                Dialed::Refused,
                "192.0.2.2:9000, one address",
            ),
            (&["0.0.0.0"], Dialed::Silent, "did not accept in time"),
            (&["::"], Dialed::Silent, "did not accept in time"),
            (&[], Dialed::Refused, "listens on no port"),
        ] {
            let text = with(own, dialed);
            assert!(text.contains(expected), "{own:?}: {text}");
        }
    }

    #[test]
    fn only_an_own_listener_without_a_foreign_one_serves() {
        let table = |own: &[&str], foreign: &[&str]| Table {
            own: own.iter().map(|address| at(address)).collect(),
            foreign: foreign.iter().map(|address| at(address)).collect(),
        };
        assert!(table(&["0.0.0.0"], &[]).serves(9000));
        assert!(table(&["::"], &["127.0.0.1"]).serves(9000));
        assert!(!table(&["0.0.0.0"], &[]).serves(9001));
        assert!(!table(&["127.0.0.2"], &[]).serves(9000));
        assert!(!table(&[], &["0.0.0.0"]).serves(9000));
        let both = table(&["0.0.0.0"], &["0.0.0.0"]);
        assert!(!both.serves(9000), "two processes share the port");
        let text = both.obstacle(9000, Dialed::Accepted).to_string();
        assert_eq!(
            text,
            "port 9000 is held by a process of user 33, which is not part of the function"
        );
    }
}
