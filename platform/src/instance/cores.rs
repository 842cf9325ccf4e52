//! The processors of a measurement: one for the probe, the others for the server.

use std::fs;
use std::sync::OnceLock;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Which processors the two sides run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cores {
    probe: CpuSet,
    servers: CpuSet,
}

impl Cores {
    /// Splits the processors that this program may use, so that the probe never takes time from the server. With a
    /// single processor both share it.
    ///
    /// Once for the whole run: a thread that is on one side sees only that side's processors.
    pub(crate) fn split() -> &'static Self {
        static SPLIT: OnceLock<Cores> = OnceLock::new();
        SPLIT.get_or_init(|| {
            let allowed = sched_getaffinity(None).unwrap_or_else(|_| set_of(&[0]));
            Self::split_of(&numbers(&allowed), siblings)
        })
    }

    fn split_of(allowed: &[usize], siblings: impl Fn(usize) -> Vec<usize>) -> Self {
        let all = set_of(allowed);
        let Some((last, others)) = allowed
            .split_last()
            .filter(|(_, others)| !others.is_empty())
        else {
            return Self {
                probe: all,
                servers: all,
            };
        };
        // The other thread of the probe's core would be slowed down by the probe.
        let siblings = siblings(*last);
        let mut apart = others.to_vec();
        apart.retain(|number| !siblings.contains(number));
        let servers = if apart.is_empty() { others } else { &apart };
        Self {
            probe: set_of(&[*last]),
            servers: set_of(servers),
        }
    }

    /// Moves the calling thread to the probe's side. Threads that it creates inherit this.
    pub(crate) fn enter_probe(&self) {
        sched_setaffinity(None, &self.probe).ok();
    }

    /// Moves the calling thread to the servers' side. Processes that it creates inherit this.
    pub(crate) fn enter_servers(&self) {
        sched_setaffinity(None, &self.servers).ok();
    }

    /// Whether the two sides share no processor.
    pub(crate) fn are_apart(&self) -> bool {
        self.probe != self.servers
    }

    /// The probe's processor.
    pub(crate) fn probe(&self) -> Vec<usize> {
        numbers(&self.probe)
    }

    /// The servers' processors.
    pub(crate) fn servers(&self) -> Vec<usize> {
        numbers(&self.servers)
    }
}

fn numbers(set: &CpuSet) -> Vec<usize> {
    (0..CpuSet::MAX_CPU)
        .filter(|number| set.is_set(*number))
        .collect()
}

fn set_of(numbers: &[usize]) -> CpuSet {
    let mut set = CpuSet::new();
    for number in numbers {
        set.set(*number);
    }
    set
}

/// The hardware threads of a processor's core, itself included.
fn siblings(number: usize) -> Vec<usize> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_gets_a_core_without_a_sibling_on_the_servers_side() {
        let pairs = |number: usize| vec![number % 2, number % 2 + 2];
        let cores = Cores::split_of(&[0, 1, 2, 3], pairs);
        assert_eq!((cores.probe(), cores.servers()), (vec![3], vec![0, 2]));
        assert!(cores.are_apart());
        // Both threads of one core are better than one thread for both sides.
        let cores = Cores::split_of(&[1, 3], pairs);
        assert_eq!((cores.probe(), cores.servers()), (vec![3], vec![1]));
    }

    #[test]
    fn a_single_processor_is_shared() {
        let cores = Cores::split_of(&[5], |number| vec![number]);
        assert_eq!((cores.probe(), cores.servers()), (vec![5], vec![5]));
        assert!(!cores.are_apart());
    }

    #[test]
    fn lists_of_processors_are_read_as_the_kernel_writes_them() {
        assert_eq!(of_list("0-2,5\n"), [0, 1, 2, 5]);
        assert_eq!(of_list("7\n"), [7]);
        assert!(of_list("").is_empty());
    }
}
