//! What was measured, where, and how closely.

use super::machine::Machine;
use super::statistics::Sample;
use crate::clock;
use crate::instance::cores::Cores;

/// The measurements of one command.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(super) command: String,
    /// The interpreter's version, or the size of the executable.
    pub(super) version: Option<String>,
    /// From the launch until the port accepts.
    pub(super) listen: Sample,
    /// From the launch until the first byte of the first response.
    pub(super) first_byte: Sample,
    /// One request on a kept-alive connection.
    pub(super) warm: Sample,
    /// None where it is not seen.
    pub(super) memory_kb: Option<u64>,
    pub(super) probing: Probing,
}

/// How closely the starts were probed.
#[derive(Debug, Default)]
pub(super) struct Probing {
    /// From the last refused connect to the accepted one: what the start times are uncertain by.
    pub(super) gap: Sample,
    /// The time of one connect, the mean of a start.
    pub(super) connect: Sample,
}

/// What was measured, where.
#[derive(Debug)]
pub(crate) struct Report {
    pub(super) machine: Machine,
    pub(super) cores: &'static Cores,
    pub(super) all: Vec<Measured>,
}

impl Report {
    /// Which processors the two sides had.
    pub(super) fn placement(&self) -> String {
        let list = |numbers: &[usize]| {
            let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
            numbers.join(", ")
        };
        let servers = list(self.cores.servers());
        if servers.is_empty() {
            "servers and probe share all, none of which can be set aside here".to_owned()
        } else if self.cores.are_apart() {
            format!(
                "servers on {servers}, probe on {}",
                list(self.cores.probe())
            )
        } else {
            format!("servers and probe share {servers}, which slows the servers down")
        }
    }

    /// What the probing cost, and how exact it was.
    pub(super) fn probing(&self) -> String {
        let longest = |of: fn(&Probing) -> &Sample| {
            let medians = self.all.iter().map(|one| of(&one.probing).median());
            clock::human(medians.max().unwrap_or_default())
        };
        format!(
            "a connect takes {}; start times are at most {} too long",
            longest(|probing| &probing.connect),
            longest(|probing| &probing.gap)
        )
    }
}

impl Measured {
    /// Nothing yet.
    pub(super) fn new(command: &str, version: Option<String>) -> Self {
        let empty = Sample::default;
        Self {
            command: command.to_owned(),
            version,
            listen: empty(),
            first_byte: empty(),
            warm: empty(),
            memory_kb: None,
            probing: Probing::default(),
        }
    }

    /// The peak, for people.
    pub(super) fn memory(&self) -> String {
        self.memory_kb.map_or_else(
            || "not seen".to_owned(),
            |used| {
                let tenths = used % 1024 * 10 / 1024;
                format!("{}.{tenths} MB", used / 1024)
            },
        )
    }
}
