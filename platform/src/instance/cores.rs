//! The processors of a measurement: one for the probe, the others for the server.

use std::sync::OnceLock;

use crate::system;

/// Which processors the two sides run on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cores {
    probe: Vec<usize>,
    servers: Vec<usize>,
}

impl Cores {
    /// Splits the processors that this program may use, so that the probe never takes time from the server. With a
    /// single processor both share it; where none can be chosen, both have all, and none is named.
    ///
    /// Once for the whole run: a thread that is on one side sees only that side's processors.
    pub(crate) fn split() -> &'static Self {
        static SPLIT: OnceLock<Cores> = OnceLock::new();
        SPLIT.get_or_init(|| {
            let allowed = system::pinnable().unwrap_or_default();
            Self::split_of(&allowed, system::siblings)
        })
    }

    fn split_of(allowed: &[usize], siblings: impl Fn(usize) -> Vec<usize>) -> Self {
        let Some((last, others)) = allowed
            .split_last()
            .filter(|(_, others)| !others.is_empty())
        else {
            return Self {
                probe: allowed.to_vec(),
                servers: allowed.to_vec(),
            };
        };
        // The other thread of the probe's core would be slowed down by the probe.
        let siblings = siblings(*last);
        let mut apart = others.to_vec();
        apart.retain(|number| !siblings.contains(number));
        Self {
            probe: vec![*last],
            servers: if apart.is_empty() {
                others.to_vec()
            } else {
                apart
            },
        }
    }

    /// Moves the calling thread to the probe's side. Threads that it creates inherit this.
    pub(crate) fn enter_probe(&self) {
        system::pin(&self.probe);
    }

    /// Moves the calling thread to the servers' side. Processes that it creates inherit this.
    pub(crate) fn enter_servers(&self) {
        system::pin(&self.servers);
    }

    /// Whether the two sides share no processor.
    pub(crate) fn are_apart(&self) -> bool {
        self.probe != self.servers
    }

    /// The probe's processor.
    pub(crate) fn probe(&self) -> &[usize] {
        &self.probe
    }

    /// The servers' processors.
    pub(crate) fn servers(&self) -> &[usize] {
        &self.servers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_gets_a_core_without_a_sibling_on_the_servers_side() {
        let pairs = |number: usize| vec![number % 2, number % 2 + 2];
        let cores = Cores::split_of(&[0, 1, 2, 3], pairs);
        assert_eq!((cores.probe(), cores.servers()), (&[3][..], &[0, 2][..]));
        assert!(cores.are_apart());
        // Both threads of one core are better than one thread for both sides.
        let cores = Cores::split_of(&[1, 3], pairs);
        assert_eq!((cores.probe(), cores.servers()), (&[3][..], &[1][..]));
    }

    #[test]
    fn a_single_processor_is_shared() {
        let cores = Cores::split_of(&[5], |number| vec![number]);
        assert_eq!((cores.probe(), cores.servers()), (&[5][..], &[5][..]));
        assert!(!cores.are_apart());
    }
}
