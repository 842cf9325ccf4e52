//! What is besieged: a program, what it can be asked for, and how long that goes on.

use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A program that serves on the port it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// The reference function, or the program that `SIEGE_BOOTSTRAP` names.
    Bootstrap,
    /// The example with a route for each kind of answer, or the program that `SIEGE_TOUR` names.
    Tour,
}

impl Program {
    pub(crate) fn file(self) -> PathBuf {
        // Cargo lays the examples beside the programs in all of its versions, but not the tests.
        let bootstrap = PathBuf::from(env!("CARGO_BIN_EXE_bootstrap"));
        let (variable, built) = match self {
            Self::Bootstrap => ("SIEGE_BOOTSTRAP", bootstrap),
            Self::Tour => ("SIEGE_TOUR", bootstrap.with_file_name("examples/tour")),
        };
        let file = env::var_os(variable).map_or(built, PathBuf::from);
        assert!(
            file.exists(),
            "{} is missing; cargo build --examples builds it, with --release for an optimised test",
            file.display()
        );
        file
    }

    pub(crate) fn on_port(self, port: u16) -> Command {
        let mut command = Command::new(self.file());
        // glibc keeps tens of megabytes back once it has seen large blocks; with its first bounds it gives them back, and
        // what remains is the program's doing. musl does so of itself.
        for bound in ["MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"] {
            command.env(bound, "131072");
        }
        match self {
            Self::Bootstrap => command.args(["--port", &port.to_string()]),
            Self::Tour => command.arg(port.to_string()),
        };
        command
    }

    /// Threads that it has once all of it was used: the loop, and the tour's runtime and pool.
    pub(crate) const fn threads(self) -> usize {
        match self {
            Self::Bootstrap => 1,
            Self::Tour => 1 + 1 + 4,
        }
    }

    /// A path whose answer is there at once.
    pub(crate) const fn quick(self) -> &'static str {
        match self {
            Self::Bootstrap => "/hello",
            Self::Tour => "/",
        }
    }

    /// Paths that answer GET, each in its own way.
    pub(crate) const fn paths(self) -> &'static [&'static str] {
        match self {
            Self::Bootstrap => &["/", "/hello", "/healthz", "/nowhere", "/echo"],
            Self::Tour => &[
                "/",
                "/stream",
                "/sse",
                "/file",
                "/zeros/3000000",
                "/promised",
                "/blocking",
                "/nowhere",
            ],
        }
    }

    /// The beginnings of requests that may have a body of any length.
    pub(crate) const fn uploads(self) -> &'static [&'static str] {
        match self {
            Self::Bootstrap => &["POST /echo", "PUT /hello"],
            Self::Tour => &["PUT /upload", "PUT /slow-upload", "POST /small"],
        }
    }

    /// A request with an answer that is larger than what the kernel buffers.
    pub(crate) fn large(self) -> Vec<u8> {
        match self {
            Self::Bootstrap => super::loopback::post("/echo", &vec![b'x'; 4 * 1024 * 1024]),
            Self::Tour => super::loopback::get("/zeros/1000000000").into_bytes(),
        }
    }
}

/// Where and until when all of it takes place; attackers and healthy clients share it.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) program: Program,
    pub(crate) address: SocketAddr,
    ends_at: Instant,
    /// How often descriptors became scarce and plentiful again: odd while they are scarce.
    changes: AtomicUsize,
}

/// A moment, as far as descriptors are concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(usize);

impl Ground {
    pub(crate) fn new(program: Program, address: SocketAddr, length: Duration) -> Self {
        Self {
            program,
            address,
            ends_at: Instant::now() + length,
            changes: AtomicUsize::new(0),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.ends_at
    }

    /// Lets time pass, but not beyond the end; whether it goes on then.
    pub(crate) fn pause(&self, time: Duration) -> bool {
        let left = self.ends_at.saturating_duration_since(Instant::now());
        thread::sleep(time.min(left));
        !self.is_over()
    }

    /// The server's descriptors become scarce, or plentiful again.
    pub(crate) fn on_change(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> Moment {
        Moment(self.changes.load(Ordering::SeqCst))
    }

    /// Whether descriptors were plentiful all the time since then.
    pub(crate) fn was_plentiful_since(&self, then: Moment) -> bool {
        then.0.is_multiple_of(2) && self.now().0 == then.0
    }
}
