//! Every system but Linux: what POSIX has, and what is not seen says so.
//!
//! `COLDSTART_SYSTEM=other` builds this on Linux too, where the tests run it.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode, ExitStatus, Stdio};
use std::sync::OnceLock;

use rustix::event::PollFlags;
use rustix::io::{Errno, FdFlags, fcntl_setfd, ioctl_fionbio};
use rustix::net::{AddressFamily, RecvFlags, SocketType, recv};

use super::seen::{Caller, Listener, Usage, Work};
use crate::sandbox::{Network, Refusal, Spec, Step};

const WHERE: &str = if cfg!(target_os = "macos") {
    "on macOS"
} else {
    "on this system"
};

/// Where executables for the platform do not run: here.
pub(crate) const FOREIGN: Option<&str> = Some(WHERE);

/// Returns why no process but a direct child can be observed.
pub(crate) const fn blindness() -> Option<&'static str> {
    Some(WHERE)
}

/// Orphans go to the system's first process.
pub(crate) const fn adopt_orphans() {}

/// Not seen.
pub(crate) const fn children() -> Vec<i32> {
    Vec::new()
}

/// Not seen.
pub(crate) const fn descendants(_: i32) -> Vec<i32> {
    Vec::new()
}

/// Not seen before the parent notices.
pub(crate) const fn is_ending(_: i32) -> bool {
    false
}

/// Not seen.
pub(crate) const fn is_zombie(_: i32) -> bool {
    false
}

/// Not seen.
pub(crate) const fn works(_: i32, _: Work) -> bool {
    false
}

/// Not known.
pub(crate) const fn handles_sigterm(_: i32) -> Option<bool> {
    None
}

/// Not known.
pub(crate) const fn program(_: i32) -> Option<PathBuf> {
    None
}

/// Not known.
pub(crate) const fn usage(_: &[i32]) -> Option<Usage> {
    None
}

/// Not known.
pub(crate) const fn written(_: i32) -> Option<u64> {
    None
}

/// Not seen.
pub(crate) const fn open_for_writing(_: &[i32]) -> BTreeSet<(u64, u64)> {
    BTreeSet::new()
}

/// Not known.
pub(crate) const fn listeners(_: i32) -> Option<Vec<Listener>> {
    None
}

/// Not known.
pub(crate) const fn sockets_of(_: i32) -> Option<HashSet<u64>> {
    None
}

/// Not known.
pub(crate) const fn owner(_: u64) -> Option<i32> {
    None
}

/// Not known.
pub(crate) fn holder(listener: &Listener) -> String {
    format!("a process of user {}", listener.user)
}

/// Returns the address that the router dials. Where the machine has `127.0.0.2`, only a server bound to every address
/// accepts there; on `127.0.0.1`, each does.
pub(crate) fn router_address(_: Network) -> IpAddr {
    static FOUND: OnceLock<Ipv4Addr> = OnceLock::new();
    let find = || {
        let second = Ipv4Addr::new(127, 0, 0, 2);
        TcpListener::bind((second, 0)).map_or(Ipv4Addr::LOCALHOST, |_| second)
    };
    (*FOUND.get_or_init(find)).into()
}

/// A TCP socket that does not block.
pub(crate) fn socket() -> io::Result<OwnedFd> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

/// There is no such option.
pub(crate) const fn acknowledge_at_once(_: &TcpStream) {}

/// Sleeps end when the system lets them.
#[derive(Debug)]
pub(crate) struct Punctual;

impl Punctual {
    pub(crate) const fn begin() -> Self {
        Self
    }
}

/// No processors can be chosen.
pub(crate) const fn pinnable() -> Option<Vec<usize>> {
    None
}

/// No processors can be chosen.
pub(crate) const fn pin(_: &[usize]) {}

/// Not known.
pub(crate) const fn siblings(_: usize) -> Vec<usize> {
    Vec::new()
}

/// Not known.
pub(crate) const fn load() -> Option<String> {
    None
}

/// Not known.
pub(crate) const fn processor() -> Option<String> {
    None
}

/// What a caller is polled for: the end of its sending side looks like bytes.
pub(crate) const ENDED: PollFlags = PollFlags::IN;

/// Looks at a caller that has sent something or ended its sending side. Whether one that has ended it still reads is not
/// seen: most have left then. What it has sent stays unread here, hides its end, and would end each poll at once.
pub(crate) fn look(caller: &TcpStream) -> Caller {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    match recv(caller, &mut [0], flags) {
        Ok((0, _)) => Caller::Left,
        Ok(_) => Caller::Waits(None),
        Err(Errno::AGAIN | Errno::INTR) => Caller::Waits(Some(ENDED)),
        Err(_) => Caller::Left,
    }
}

/// There are no stages without supervisors.
pub(crate) const fn stage() -> Option<ExitCode> {
    None
}

/// Refuses: there is no sandbox.
pub(crate) fn rehearse(_: &Path, _: Network) -> Result<(), Refusal> {
    let step = Step::Arrange("make a sandbox".to_owned());
    Err(Refusal::new(step, &unsupported()))
}

fn unsupported() -> io::Error {
    Errno::NOTSUP.into()
}

/// A supervisor, of which there are none.
#[derive(Debug)]
pub(crate) enum Supervision {}

impl Supervision {
    /// Refuses.
    pub(crate) fn begin(_: [Stdio; 2], _: Option<Network>) -> io::Result<(Child, Self)> {
        Err(unsupported())
    }

    pub(crate) const fn start(&self, _: Spec) -> Result<i32, Refusal> {
        match *self {}
    }

    pub(crate) const fn process(&self) -> i32 {
        match *self {}
    }

    pub(crate) const fn network(&self) -> Option<Network> {
        match *self {}
    }

    pub(crate) const fn terminate(&self) {
        match *self {}
    }

    pub(crate) const fn freeze(&self) {
        match *self {}
    }

    pub(crate) const fn thaw(&self) {
        match *self {}
    }

    pub(crate) const fn end(&self) {
        match *self {}
    }

    pub(crate) const fn socket(&self) -> io::Result<socket2::Socket> {
        match *self {}
    }

    pub(crate) const fn status(&self) -> Option<ExitStatus> {
        match *self {}
    }
}
