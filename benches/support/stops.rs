//! What the host takes: it stops the cores of a virtual machine from time to time, often for milliseconds. No server
//! is to blame for a response that waited for that, or for what it costs to wake a core.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::machine::{self, CHILD_CORE};

/// Shorter stops stay in the figures: an interrupt takes as long.
const LEAST: Duration = Duration::from_micros(20);
/// Clocks that were read within this are compared.
const AT_ONCE: Duration = Duration::from_micros(5);

/// A time in which a core ran none of the watched threads, although one was ready.
#[derive(Clone, Copy)]
pub(crate) struct Stop {
    pub(crate) from: Instant,
    pub(crate) until: Instant,
}

/// Finds the stops of a core that is never idle. The kernel leaves what the host takes out of CPU time, but not out of
/// the time of day.
pub(crate) struct Watch {
    looked_at: Instant,
    cpu: Duration,
    pub(crate) stops: Vec<Stop>,
}

impl Watch {
    pub(crate) fn new(cpu: Duration) -> Self {
        Self {
            looked_at: Instant::now(),
            cpu,
            stops: Vec::new(),
        }
    }

    /// `cpu` is the CPU time of all watched threads, read just after `now`.
    pub(crate) fn look(&mut self, now: Instant, cpu: Duration) {
        let used = cpu.saturating_sub(self.cpu);
        if now - self.looked_at > used + LEAST {
            self.stops.push(Stop {
                from: self.looked_at,
                until: now,
            });
        }
        (self.looked_at, self.cpu) = (now, cpu);
    }
}

/// A thread that takes what the server leaves of its core. So the core never sleeps, and time which neither had was the
/// host's.
pub(crate) struct Witness {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Stop>>,
}

impl Witness {
    /// Watches the core of a server and its children.
    pub(crate) fn start(pid: i32) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (told, clocks) = (Arc::clone(&is_over), machine::cpu_clocks(pid));
        let (ready, is_ready) = mpsc::channel();
        let thread = thread::spawn(move || {
            machine::pin(CHILD_CORE);
            machine::run_only_when_idle();
            let cpu = || {
                let servers = clocks.iter().map(|clock| machine::time_of(*clock));
                servers.sum::<Duration>() + machine::own_cpu()
            };
            let mut watch = Watch::new(cpu());
            ready.send(()).expect("the load waits for it");
            while !told.load(Ordering::Relaxed) {
                let now = Instant::now();
                let cpu = cpu();
                // What the server ran in between would be found in one of the two only.
                if now.elapsed() < AT_ONCE {
                    watch.look(now, cpu);
                }
            }
            watch.stops
        });
        is_ready.recv().expect("the witness starts");
        Self { is_over, thread }
    }

    pub(crate) fn end(self) -> Vec<Stop> {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().expect("the witness does not panic")
    }
}
