//! Who listens where, read from the kernel: ties readiness to the function's own sockets, and explains its absence.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;

use crate::sandbox::Network;
use crate::system::{self, Listener};

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
        /// Where it can be reached only from the same machine, the address: a second mistake.
        loopback: Option<IpAddr>,
        port: u16,
    },
    NoListener {
        port: u16,
    },
    /// The system does not show who listens.
    Unknown {
        port: u16,
    },
}

impl Table {
    /// Reads the listeners of the network that `process` is in, of which the members' are the function's own. Returns
    /// `None` where the system does not show them.
    pub(crate) fn read(process: i32, members: &[i32]) -> Option<Self> {
        let all = system::listeners(process)?;
        let mut own = HashSet::new();
        let mut hides_some = false;
        for member in members {
            match system::sockets_of(*member) {
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
            let hidden = foreign.extract_if(.., |listener| system::owner(listener.inode).is_none());
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
            let holder = system::holder(listener);
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
                    let address = other.address;
                    Obstacle::OtherPort {
                        found: other.port,
                        loopback: address.is_loopback().then_some(address),
                        port,
                    }
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
                || listener.address == system::router_address(Network::Host);
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
            Self::OtherPort {
                found,
                loopback,
                port,
            } => {
                let at = loopback.map_or_else(
                    || format!("port {found}"),
                    |address| {
                        format!(
                            "{}:{found}, which only this machine can reach",
                            shown(address)
                        )
                    },
                );
                write!(
                    out,
                    "the server listens on {at}, the configured port is {port}"
                )
            }
            Self::NoListener { port } => write!(
                out,
                "the process runs but listens on no port; the configured port is {port}"
            ),
            Self::Unknown { port } => write!(
                out,
                "nothing accepts on port {port}; {} it is not known where the server listens",
                system::blindness().unwrap_or("here")
            ),
        }
    }
}

/// Names the process that holds a port of this machine, if any does.
pub(crate) fn holder_of(port: u16) -> Option<String> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let all = system::listeners(own)?;
    all.iter()
        .find(|listener| listener.port == port)
        .map(system::holder)
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

    fn at(address: &str) -> Listener {
        Listener {
            address: address.parse().unwrap(),
            port: 9000,
            inode: 77,
            user: 33,
        }
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
    fn another_port_that_only_this_machine_reaches_is_two_mistakes() {
        let seen = |address| {
            let table = Table {
                own: vec![at(address)],
                foreign: Vec::new(),
            };
            table.obstacle(8000, Dialed::Refused).to_string()
        };
        assert_eq!(
            seen("127.0.0.1"),
            "the server listens on 127.0.0.1:9000, which only this machine can reach, the configured port is 8000"
        );
        assert_eq!(
            seen("0.0.0.0"),
            "the server listens on port 9000, the configured port is 8000"
        );
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
