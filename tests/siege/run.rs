//! The program under siege, what it can be asked for, and how long the siege takes.

use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How many descriptors the server may have: more than attackers and healthy clients use.
const DESCRIPTORS_MAX: usize = 512;

/// A program that serves on a given port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// The reference function, or the program that `SIEGE_BOOTSTRAP` names.
    Bootstrap,
    /// The example with a route for each kind of response, or the program that `SIEGE_TOUR` names.
    Tour,
}

impl Program {
    pub(crate) fn file(self) -> PathBuf {
        // Cargo puts examples next to programs in all of its versions, but not tests.
        let bootstrap = PathBuf::from(env!("CARGO_BIN_EXE_bootstrap"));
        let (variable, built) = match self {
            Self::Bootstrap => ("SIEGE_BOOTSTRAP", bootstrap),
            Self::Tour => ("SIEGE_TOUR", bootstrap.with_file_name("examples/tour")),
        };
        let file = env::var_os(variable).map_or(built, PathBuf::from);
        assert!(
            file.exists(),
            "{} is missing; run: cargo build --examples (with --release for an optimized test)",
            file.display()
        );
        file
    }

    pub(crate) fn on_port(self, port: u16) -> Command {
        // The server raises its soft limit by itself, so only a hard one makes descriptors short.
        let script = format!("ulimit -n {DESCRIPTORS_MAX}; exec \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh"]).arg(self.file());
        // glibc raises these thresholds once it has seen large blocks, and then keeps tens of megabytes. With fixed
        // ones it returns freed memory, so that what remains is the program's own. musl always does.
        for bound in ["MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"] {
            command.env(bound, "131072");
        }
        match self {
            Self::Bootstrap => command.args(["--port", &port.to_string()]),
            Self::Tour => command.arg(port.to_string()),
        };
        command
    }

    /// Its threads once every route has been used: the loop, and the tour's runtime and pool.
    pub(crate) const fn threads(self) -> usize {
        match self {
            Self::Bootstrap => 1,
            Self::Tour => 1 + 1 + 4,
        }
    }

    /// A path with an immediate response.
    pub(crate) const fn quick(self) -> &'static str {
        match self {
            Self::Bootstrap => "/hello",
            Self::Tour => "/",
        }
    }

    /// Paths for GET, one for each kind of response.
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
                "/awaited",
                "/nowhere",
            ],
        }
    }

    /// Request lines, without the version, for bodies of any length.
    pub(crate) const fn uploads(self) -> &'static [&'static str] {
        match self {
            Self::Bootstrap => &["POST /echo", "PUT /hello"],
            Self::Tour => &[
                "PUT /upload",
                "PUT /slow-upload",
                "PUT /echo",
                "POST /small",
            ],
        }
    }

    /// A request whose response is larger than what the kernel buffers.
    pub(crate) fn large(self) -> Vec<u8> {
        match self {
            Self::Bootstrap => super::loopback::post("/echo", &vec![b'x'; 4 * 1024 * 1024]),
            Self::Tour => super::loopback::get("/zeros/1000000000").into_bytes(),
        }
    }
}

/// One run of the siege, shared by attackers and healthy clients.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) program: Program,
    pub(crate) address: SocketAddr,
    ends_at: Instant,
    /// How often descriptors became short or free again. Odd while they are short.
    changes: AtomicUsize,
}

/// How often descriptors had become short or free again at some moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShortageChanges(usize);

impl Run {
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

    /// Sleeps, but not past the end. Returns false if the siege is over.
    pub(crate) fn pause(&self, time: Duration) -> bool {
        let left = self.ends_at.saturating_duration_since(Instant::now());
        thread::sleep(time.min(left));
        !self.is_over()
    }

    /// A shortage of descriptors begins, or has ended.
    pub(crate) fn on_shortage_change(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn shortage_changes(&self) -> ShortageChanges {
        ShortageChanges(self.changes.load(Ordering::SeqCst))
    }

    /// Whether there were descriptors enough all the time since `then`.
    pub(crate) fn had_descriptors_since(&self, then: ShortageChanges) -> bool {
        then.0.is_multiple_of(2) && self.shortage_changes().0 == then.0
    }
}
