//! Sockets that listen, and what their connections get from them, through socket2.
#![expect(
    clippy::disallowed_types,
    reason = "this file is part of the fence around socket2"
)]

use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use super::file::{Access, open};

/// How the listening socket, and by inheritance each accepted one, is set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SocketOptions {
    pub(crate) address: SocketAddr,
    pub(crate) backlog: i32,
    pub(crate) keepalive: Option<KeepaliveTimes>,
    pub(crate) sharing: PortSharing,
}

/// When the kernel probes whether an idle peer is still alive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeepaliveTimes {
    pub(crate) idle: Duration,
    pub(crate) interval: Duration,
    pub(crate) count: u32,
}

/// Whether other servers may listen on the same port, each with a backlog of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PortSharing {
    Alone,
    Shared,
}

/// A listening socket that is not polled yet.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: std::net::TcpListener,
    early: Early,
}

impl Listener {
    /// Binds and listens. Options are set on the listener: on Linux each connection that is made later inherits them. What can wait
    /// is set once it listens.
    ///
    /// # Errors
    ///
    /// The kernel's error: the port is in use, no interface has the address, the permission is missing.
    pub(crate) fn open(options: &SocketOptions) -> io::Result<Self> {
        let domain = Domain::for_address(options.address);
        let socket = above_standard(new_socket(domain)?)?;
        socket.set_reuse_address(true)?;
        if options.sharing == PortSharing::Shared {
            socket.set_reuse_port(true)?;
        }
        socket.set_tcp_nodelay(true)?;
        // The smallest build has no room for early connections.
        if cfg!(smallest) {
            set_keepalive(&socket, options.keepalive)?;
        }
        socket.bind(&options.address.into())?;
        socket.listen(options.backlog)?;
        if cfg!(not(smallest)) {
            set_keepalive(&socket, options.keepalive)?;
        }
        Ok(Self {
            socket: socket.into(),
            early: Early::new(options.keepalive),
        })
    }

    /// Takes over a socket that listens already. Its address, its backlog and whether the port is shared are settled.
    ///
    /// # Errors
    ///
    /// The socket does not listen, or the kernel denies an option.
    pub(crate) fn adopt(
        listener: std::net::TcpListener,
        options: &SocketOptions,
    ) -> io::Result<Self> {
        let socket = above_standard(listener.into())?;
        // Only Linux says so before the first accept.
        #[cfg(target_os = "linux")]
        if !socket.is_listener()? {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        set_keepalive(&socket, options.keepalive)?;
        Ok(Self {
            socket: socket.into(),
            early: Early::new(options.keepalive),
        })
    }

    /// For the loop that will poll it.
    pub(super) fn into_parts(self) -> (std::net::TcpListener, Early) {
        let early = self.early.still_waiting(&self.socket);
        (self.socket, early)
    }

    pub(crate) fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The same socket for another loop: they accept from one backlog, so a loop that is blocked keeps no connection from
    /// the others.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            socket: self.socket.try_clone()?,
            early: self.early,
        })
    }
}

/// A stream socket that does not block.
fn new_socket(domain: Domain) -> io::Result<Socket> {
    #[cfg(target_os = "linux")]
    return Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP));
    #[cfg(not(target_os = "linux"))]
    {
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }
}

/// Connections that were made before their listener had all its options, which they lack. The smallest build has no room for them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Early {
    /// They are the first in the backlog: none is left once it was empty.
    #[cfg(not(smallest))]
    Waiting(Option<KeepaliveTimes>),
    Gone,
}

#[cfg(not(smallest))]
impl Early {
    const fn new(keepalive: Option<KeepaliveTimes>) -> Self {
        Self::Waiting(keepalive)
    }

    /// Asked as late as can be: by then also those wait that the kernel was making when the last option was set.
    fn still_waiting(self, listener: &std::net::TcpListener) -> Self {
        if super::descriptors::is_readable(listener.as_raw_fd()) {
            self
        } else {
            Self::Gone
        }
    }

    /// Sets on an accepted socket what it may lack.
    #[inline]
    pub(super) fn complete(&self, accepted: &Socket) {
        if let Self::Waiting(keepalive) = self {
            set_all(accepted, *keepalive);
        }
    }
}

#[cfg(smallest)]
impl Early {
    const fn new(_: Option<KeepaliveTimes>) -> Self {
        Self::Gone
    }

    const fn still_waiting(self, _: &std::net::TcpListener) -> Self {
        self
    }

    pub(super) const fn complete(&self, _: &Socket) {}
}

/// A peer that has left already needs no options.
#[cfg(not(smallest))]
#[cold]
#[inline(never)]
fn set_all(accepted: &Socket, keepalive: Option<KeepaliveTimes>) {
    drop(accepted.set_tcp_nodelay(true));
    drop(set_keepalive(accepted, keepalive));
}

fn set_keepalive(socket: &Socket, times: Option<KeepaliveTimes>) -> io::Result<()> {
    let Some(times) = times else {
        // Only a socket that another program has opened can have it.
        return if cfg!(smallest) {
            Ok(())
        } else {
            socket.set_keepalive(false)
        };
    };
    let keepalive = TcpKeepalive::new()
        .with_time(times.idle)
        .with_interval(times.interval)
        .with_retries(times.count);
    socket.set_tcp_keepalive(&keepalive)
}

/// Moves a socket that got the number of a standard stream, and occupies all such numbers: what a handler prints must not
/// reach a peer. std opens closed streams before `main`; a start from C's `main` does not.
fn above_standard(socket: Socket) -> io::Result<Socket> {
    if socket.as_raw_fd() > libc::STDERR_FILENO {
        return Ok(socket);
    }
    // A copy of an `OwnedFd` gets a number above 2.
    let socket = OwnedFd::from(socket);
    let moved = socket.try_clone()?;
    drop(socket);
    loop {
        let placeholder = match open("/dev/null", Access::ReadAndWrite) {
            Ok(file) => OwnedFd::from(file),
            // There may be no `/dev`: any descriptor that is not a connection will do.
            Err(_) => Socket::new(Domain::UNIX, Type::DGRAM, None)?.into(),
        };
        if placeholder.as_raw_fd() > libc::STDERR_FILENO {
            return Ok(moved.into());
        }
        std::mem::forget(placeholder);
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicBool;
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::sync::Arc;

    use socket2::SockRef;

    use super::{Duration, KeepaliveTimes, Listener, PortSharing, SocketOptions};
    use crate::os::{Fault, Os as _, RealOs, Signals, StopFlag, Wake};

    const TIMES: KeepaliveTimes = KeepaliveTimes {
        idle: Duration::from_secs(61),
        interval: Duration::from_secs(16),
        count: 7,
    };

    fn options(keepalive: Option<KeepaliveTimes>) -> SocketOptions {
        SocketOptions {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            backlog: 16,
            keepalive,
            sharing: PortSharing::Alone,
        }
    }

    fn loop_on(listener: Listener) -> RealOs {
        let stop = StopFlag {
            flag: Arc::new(AtomicBool::new(false)),
            signals: Signals::Left,
        };
        RealOs::new(listener, Wake::new().expect("a descriptor"), stop).expect("a poll")
    }

    /// Accepts one connection, and says which options it has.
    fn accepted(os: &mut RealOs) -> (bool, Option<(Duration, Duration, u32)>) {
        let socket = os.accept().expect("one waits");
        let socket = SockRef::from(&socket);
        let is_kept = socket.keepalive().expect("an option");
        let times = is_kept.then(|| {
            (
                socket.tcp_keepalive_time().expect("an option"),
                socket.tcp_keepalive_interval().expect("an option"),
                socket.tcp_keepalive_retries().expect("an option"),
            )
        });
        (socket.tcp_nodelay().expect("an option"), times)
    }

    #[test]
    fn connections_before_and_after_their_listener_s_options_have_them() {
        for (keepalive, expected) in [
            (Some(TIMES), Some((TIMES.idle, TIMES.interval, TIMES.count))),
            (None, None),
        ] {
            let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            let control = socket.try_clone().expect("a descriptor");
            SockRef::from(&socket)
                .set_keepalive(keepalive.is_none())
                .expect("an option");
            let address = socket.local_addr().expect("an address");
            let _early = [(); 2].map(|()| TcpStream::connect(address).expect("it listens"));
            let listener = Listener::adopt(socket, &options(keepalive)).expect("it listens");
            let other = listener.try_clone().expect("a descriptor");
            let [mut os, mut other] = [listener, other].map(loop_on);
            assert_eq!(accepted(&mut os), (true, expected), "of two that waited");
            assert_eq!(accepted(&mut other), (true, expected), "of another loop");
            assert_eq!(os.accept().err(), Some(Fault::Again));
            // Nothing is set on a later connection: it has what its listener has by then.
            let control = SockRef::from(&control);
            control.set_tcp_nodelay(false).expect("an option");
            let _later = TcpStream::connect(address).expect("it listens");
            assert_eq!(accepted(&mut os), (false, expected), "of a later one");
        }
    }

    #[test]
    fn a_listener_of_the_server_s_own_has_its_options_before_a_connection_comes() {
        let listener = Listener::open(&options(Some(TIMES))).expect("a free port");
        let address = listener.local_address().expect("an address");
        let control = listener.socket.try_clone().expect("a descriptor");
        let mut os = loop_on(listener);
        let expected = Some((TIMES.idle, TIMES.interval, TIMES.count));
        for is_at_once in [true, false] {
            let control = SockRef::from(&control);
            control.set_tcp_nodelay(is_at_once).expect("an option");
            let _client = TcpStream::connect(address).expect("it listens");
            assert_eq!(accepted(&mut os), (is_at_once, expected));
        }
    }
}
