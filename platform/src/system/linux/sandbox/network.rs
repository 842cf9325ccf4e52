//! A network namespace that has loopback and one address that is not loopback, and no way out.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with,
};

/// The instance's address. The platform's instances have addresses of this network as well.
pub(in super::super) const ADDRESS: Ipv4Addr = Ipv4Addr::new(21, 0, 0, 2);

/// From the kernel's `rtnetlink.h`, `if.h` and `if_addr.h`.
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_CREATE: u16 = 0x400;
const NLMSG_ERROR: u16 = 2;
const IFF_UP: u32 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const HEADER_LEN: usize = 16;
/// The loopback interface is the first of every namespace.
const LOOPBACK: u32 = 1;
const PREFIX_LEN: u8 = 32;

/// Brings the namespace up that this process is in.
pub(super) fn set_up() -> io::Result<()> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        // The protocol of routes and addresses is number 0.
        None,
    )?;
    request(&socket, RTM_NEWLINK, &link_up())?;
    request(&socket, RTM_NEWADDR, &address())?;
    // On the platform functions usually run as root, so that port 80 is nothing special.
    fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0").ok();
    Ok(())
}

/// `struct ifinfomsg`: family, padding, type, index, flags, mask of changed flags.
fn link_up() -> Vec<u8> {
    let mut message = vec![0; 4];
    message.extend(LOOPBACK.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    message
}

/// `struct ifaddrmsg`: family, length of the prefix, flags, scope, index; then two attributes.
fn address() -> Vec<u8> {
    let family = u8::try_from(AddressFamily::INET.as_raw()).unwrap_or_default();
    let mut message = vec![family, PREFIX_LEN, 0, 0];
    message.extend(LOOPBACK.to_ne_bytes());
    for attribute in [IFA_LOCAL, IFA_ADDRESS] {
        message.extend(8_u16.to_ne_bytes());
        message.extend(attribute.to_ne_bytes());
        message.extend(ADDRESS.octets());
    }
    message
}

/// Sends a request and waits for the kernel's acknowledgement.
fn request(socket: &OwnedFd, kind: u16, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(HEADER_LEN + body.len()).unwrap_or_default();
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE).to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    let kernel = SocketAddrNetlink::new(0, 0);
    sendto(socket, &message, SendFlags::empty(), &kernel)?;
    let mut buffer = [0; 1024];
    let (_, received) = recv(socket, &mut buffer, RecvFlags::empty())?;
    let reply = buffer.get(..received).unwrap_or_default();
    match acknowledged(reply) {
        Some(0) => Ok(()),
        Some(errno) => Err(io::Error::from_raw_os_error(-errno)),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// `struct nlmsgerr` begins with the negative error number, which is 0 in an acknowledgement.
fn acknowledged(reply: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(reply.get(4..6)?.try_into().ok()?);
    let errno = i32::from_ne_bytes(reply.get(HEADER_LEN..HEADER_LEN + 4)?.try_into().ok()?);
    (kind == NLMSG_ERROR).then_some(errno)
}
