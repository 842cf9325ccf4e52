//! How many descriptors and how much address space the process may have, whether a descriptor is readable, and who is connected
//! to it. An island of unsafe code, for `prlimit`, `poll` and `getpeername`.
#![expect(unsafe_code, reason = "none of our dependencies has a safe interface")]

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Raises the soft limit to the hard one, which no process needs a right for. The number of descriptors the process may
/// have after that; `None` if the kernel does not say.
pub(super) fn raise_limit() -> Option<u64> {
    let limit = replace_limit(Resource::Descriptors, None)?;
    let raised = libc::rlimit {
        rlim_cur: limit.rlim_max,
        ..limit
    };
    if limit.rlim_cur < limit.rlim_max
        && replace_limit(Resource::Descriptors, Some(&raised)).is_some()
    {
        return Some(raised.rlim_cur);
    }
    Some(limit.rlim_cur)
}

/// The bytes of address space that the process may have (`ulimit -v`); `None` if that is not bounded.
pub(super) fn address_space() -> Option<u64> {
    let limit = replace_limit(Resource::AddressSpace, None)?;
    (limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

#[derive(Clone, Copy)]
enum Resource {
    Descriptors,
    AddressSpace,
}

/// The limit of this process so far; sets another one, if it is given. Not by `setrlimit`, with which musl brings along 1 KB
/// of code for kernels that have no `prlimit`.
#[cfg(target_os = "linux")]
fn replace_limit(resource: Resource, limit: Option<&libc::rlimit>) -> Option<libc::rlimit> {
    // Their type depends on the C library.
    let resource = match resource {
        Resource::Descriptors => libc::RLIMIT_NOFILE,
        Resource::AddressSpace => libc::RLIMIT_AS,
    };
    let limit = limit.map_or(core::ptr::null(), core::ptr::from_ref);
    let mut before = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is null or valid for a read of its type, and `before` is valid for a write of it.
    let result = unsafe { libc::prlimit(0, resource, limit, &raw mut before) };
    (result == 0).then_some(before)
}

/// The same where the two calls are two.
#[cfg(not(target_os = "linux"))]
fn replace_limit(resource: Resource, limit: Option<&libc::rlimit>) -> Option<libc::rlimit> {
    let resource = match resource {
        Resource::Descriptors => libc::RLIMIT_NOFILE,
        Resource::AddressSpace => libc::RLIMIT_AS,
    };
    let mut before = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `before` is valid for a write of its type.
    let result = unsafe { libc::getrlimit(resource, &raw mut before) };
    let is_known = result == 0;
    // SAFETY: `limit` is valid for a read of its type.
    let is_set = limit.is_none_or(|limit| unsafe { libc::setrlimit(resource, limit) } == 0);
    (is_known && is_set).then_some(before)
}

/// Whether a read would return at once; for a listener, whether a connection waits to be accepted.
pub(super) fn is_readable(descriptor: i32) -> bool {
    poll(descriptor, libc::POLLIN, 0) & libc::POLLIN != 0
}

/// Which of these events there are, after at most this time. Errors are always among them.
pub(super) fn poll(descriptor: i32, events: i16, milliseconds: i32) -> i16 {
    let mut looked_at = libc::pollfd {
        fd: descriptor,
        events,
        revents: 0,
    };
    // SAFETY: `looked_at` is one valid entry.
    let ready = unsafe { libc::poll(&raw mut looked_at, 1, milliseconds) };
    if ready > 0 { looked_at.revents } else { 0 }
}

/// The address of the peer that the socket is connected to; `None` if there is no such peer any more.
pub(super) fn peer_address(descriptor: i32) -> Option<SocketAddr> {
    // SAFETY: an all-zero address is a valid one, of no family.
    let mut found: libc::sockaddr_in6 = unsafe { core::mem::zeroed() };
    let mut len = libc::socklen_t::try_from(size_of_val(&found)).ok()?;
    // SAFETY: `found` is valid for a write of `len` bytes, and `len` for a write of its type. A number that is not of a socket
    // is an error.
    let result = unsafe { libc::getpeername(descriptor, (&raw mut found).cast(), &raw mut len) };
    if result != 0 {
        return None;
    }
    let port = u16::from_be(found.sin6_port);
    match i32::from(found.sin6_family) {
        // Its address is where the flow is in the larger structure.
        libc::AF_INET => {
            let address = Ipv4Addr::from(found.sin6_flowinfo.to_ne_bytes());
            Some(SocketAddr::V4(SocketAddrV4::new(address, port)))
        }
        libc::AF_INET6 => {
            let address = Ipv6Addr::from(found.sin6_addr.s6_addr);
            // As std has it: the flow in the byte order of the kernel.
            let (flow, scope) = (found.sin6_flowinfo, found.sin6_scope_id);
            Some(SocketAddr::V6(SocketAddrV6::new(
                address, port, flow, scope,
            )))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd as _;

    use super::{address_space, is_readable, peer_address, raise_limit};

    #[test]
    fn the_peer_of_a_socket_is_known_while_it_is_connected() {
        for at in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(at) else {
                eprintln!("SKIPPED: no {at}");
                continue;
            };
            let address = listener.local_addr().expect("it is bound");
            let client = TcpStream::connect(address).expect("it listens");
            let (accepted, _) = listener.accept().expect("a connection");
            assert_eq!(
                peer_address(accepted.as_raw_fd()),
                client.local_addr().ok(),
                "{at}"
            );
            assert_eq!(peer_address(client.as_raw_fd()), Some(address));
            assert_eq!(peer_address(listener.as_raw_fd()), None);
        }
        let (reader, _writer) = std::io::pipe().expect("a pipe");
        assert_eq!(peer_address(reader.as_raw_fd()), None, "not a socket");
        assert_eq!(peer_address(-1), None);
    }

    #[test]
    fn a_descriptor_is_readable_once_there_is_something_to_read() {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        assert!(!is_readable(reader.as_raw_fd()));
        writer.write_all(b"a").expect("there is room");
        assert!(is_readable(reader.as_raw_fd()));
    }

    #[test]
    fn the_address_space_is_bounded_as_the_kernel_says() {
        let limits = std::fs::read_to_string("/proc/self/limits").expect("Linux has the file");
        let line = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max address space"));
        let soft = line.and_then(|line| line.split_whitespace().next());
        assert_eq!(
            address_space(),
            soft.expect("a number or unlimited").parse().ok()
        );
    }

    #[test]
    fn the_limit_is_raised_once_and_then_stays() {
        let raised = raise_limit().expect("the kernel knows the limit");
        assert!(raised >= 3, "standard streams are open");
        assert_eq!(raise_limit(), Some(raised));
    }
}
