//! The machine: its processors, its load, and the options of sockets and threads.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;

use rustix::net::sockopt::set_tcp_quickack;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity, set_current_timer_slack};

use super::sandbox::network;
use crate::sandbox::Network;

/// Where executables for the platform do not run: not here.
pub(crate) const FOREIGN: Option<&str> = None;

/// Returns the address that the router dials: one that only a server bound to every address accepts on.
pub(crate) const fn router_address(network: Network) -> IpAddr {
    IpAddr::V4(match network {
        Network::Host => Ipv4Addr::new(127, 0, 0, 2),
        Network::Own => network::ADDRESS,
    })
}

/// A TCP socket that does not block, in as few system calls as possible, since a measurement contains them.
pub(crate) fn socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    Ok(socket)
}

/// Acknowledges at once what arrives next.
pub(crate) fn acknowledge_at_once(stream: &TcpStream) {
    set_tcp_quickack(stream, true).ok();
}

/// Lets the calling thread's sleeps end on time, until it is dropped.
#[derive(Debug)]
pub(crate) struct Punctual;

impl Punctual {
    pub(crate) fn begin() -> Self {
        set_current_timer_slack(Some(NonZeroU64::MIN)).ok();
        Self
    }
}

impl Drop for Punctual {
    fn drop(&mut self) {
        // A process that this thread creates inherits the slack.
        set_current_timer_slack(None).ok();
    }
}

/// Returns the processors that a thread of this program can be moved to; `None` if none can be chosen.
pub(crate) fn pinnable() -> Option<Vec<usize>> {
    let allowed = sched_getaffinity(None).ok()?;
    let numbers = (0..CpuSet::MAX_CPU).filter(|number| allowed.is_set(*number));
    Some(numbers.collect())
}

/// Moves the calling thread to these processors. Threads and processes that it creates inherit this.
pub(crate) fn pin(processors: &[usize]) {
    let mut set = CpuSet::new();
    for number in processors {
        set.set(*number);
    }
    sched_setaffinity(None, &set).ok();
}

/// The hardware threads of a processor's core, itself included.
pub(crate) fn siblings(number: usize) -> Vec<usize> {
    let path = format!("/sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list");
    fs::read_to_string(path).map_or_else(|_| Vec::new(), |list| of_list(&list))
}

/// The kernel's list format: `0-2,5`.
fn of_list(list: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    list.trim().split(',').filter_map(range).flatten().collect()
}

/// Runnable processes in the last minute, on average.
pub(crate) fn load() -> Option<String> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split(' ').next().map(str::to_owned)
}

/// The name of the processor.
pub(crate) fn processor() -> Option<String> {
    named(&fs::read_to_string("/proc/cpuinfo").ok()?)
}

fn named(cpuinfo: &str) -> Option<String> {
    let names = cpuinfo
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let mut names = names.map(|(_, name)| name.split_whitespace().collect::<Vec<_>>().join(" "));
    names.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors_are_read_as_the_kernel_writes_them() {
        assert_eq!(of_list("0-2,5\n"), [0, 1, 2, 5]);
        assert_eq!(of_list("7\n"), [7]);
        assert!(of_list("").is_empty());
    }

    #[test]
    fn the_processor_is_named_as_the_kernel_names_it() {
        let text = "processor\t: 0\nmodel name\t: Some(R)  CPU @ 2.00GHz\nprocessor\t: 1\n";
        assert_eq!(named(text).as_deref(), Some("Some(R) CPU @ 2.00GHz"));
        assert_eq!(named("CPU part\t: 0xd0c\n"), None);
    }
}
