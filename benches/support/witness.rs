//! A thread that finds the stops of a server's core.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::machine::{self, CHILD_CORE};
use super::stops::{Stop, Watch};

/// Clocks that were read within this are compared.
const AT_ONCE: Duration = Duration::from_micros(5);

/// A thread that takes what the server leaves of its core. So the core never sleeps, and time which neither had was
/// another's.
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
            let mut watch = Watch::new(Instant::now(), cpu());
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
