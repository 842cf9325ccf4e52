//! A process group: the server and everything that it starts, ended together.

use std::fs;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::cores::Cores;
use crate::remains::{self, Running};

/// How long a killed process may take to be gone.
const KILL_PATIENCE: Duration = Duration::from_secs(5);
const PAGE_KB: u64 = 4;

/// A launched server. It leads its own process group, so that its children end with it.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    /// Just before the process was created.
    pub(crate) began: Instant,
    ended: Mutex<Option<ExitStatus>>,
    changed: Condvar,
}

/// What the group uses at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) memory_kb: u64,
    pub(crate) threads: u64,
    pub(crate) descriptors: u64,
}

impl Process {
    /// Starts the command as its own process group. The thread that creates the process also reaps it: without a
    /// thread there is no process either, and the process inherits the thread's processors.
    pub(crate) fn spawn(
        mut command: Command,
        cores: Option<&'static Cores>,
    ) -> io::Result<Arc<Self>> {
        command.process_group(0);
        let (started, starting) = mpsc::sync_channel(1);
        let life = move || {
            if let Some(cores) = cores {
                cores.enter_servers();
            }
            let spawned = Self::create(&mut command);
            match spawned {
                Ok((process, child)) => {
                    started.send(Ok(Arc::clone(&process))).ok();
                    // It holds the writing ends of the output pipe.
                    drop(command);
                    process.reap(child);
                }
                Err(error) => {
                    started.send(Err(error)).ok();
                }
            }
        };
        remains::start(|| {
            thread::Builder::new()
                .name("reaper".to_owned())
                .spawn(life)?;
            starting
                .recv()
                .unwrap_or_else(|_| Err(io::Error::other("the thread that starts it is gone")))
        })
    }

    fn create(command: &mut Command) -> io::Result<(Arc<Self>, Child)> {
        let began = Instant::now();
        let child = command.spawn()?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("the process has no id"))?;
        let process = Arc::new(Self {
            pid,
            began,
            ended: Mutex::new(None),
            changed: Condvar::new(),
        });
        Ok((process, child))
    }

    /// The process's number.
    pub(crate) fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        *self.lock()
    }

    /// Waits for the end.
    pub(crate) fn wait(&self, patience: Duration) -> Option<ExitStatus> {
        let waiting = self
            .changed
            .wait_timeout_while(self.lock(), patience, |ended| ended.is_none());
        *waiting.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Sends a signal to the whole group while its leader is not reaped, so the number cannot be another's yet.
    pub(crate) fn signal(&self, signal: Signal) {
        let ended = self.lock();
        if ended.is_none() {
            kill_process_group(self.pid, signal).ok();
        }
    }

    /// Ends the group and waits until its leader is gone.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
        self.wait(KILL_PATIENCE);
    }

    /// What the group uses now.
    pub(crate) fn usage(&self) -> Usage {
        let mut sum = Usage::default();
        for member in self.members() {
            let folder = format!("/proc/{member}");
            let resident = fs::read_to_string(format!("{folder}/statm")).ok();
            let pages = resident.and_then(|text| {
                text.split(' ')
                    .nth(1)
                    .and_then(|pages| pages.parse::<u64>().ok())
            });
            sum.memory_kb += pages.unwrap_or(0) * PAGE_KB;
            sum.threads += entries(&format!("{folder}/task"));
            sum.descriptors += entries(&format!("{folder}/fd"));
        }
        sum
    }

    /// The numbers of the group's processes.
    pub(crate) fn members(&self) -> Vec<i32> {
        if self.ended().is_some() {
            return Vec::new();
        }
        let group = self.id();
        let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        numbers
            .filter(|number| group_of(*number) == Some(group))
            .collect()
    }

    fn reap(&self, mut child: Child) {
        // Leave it a zombie first: as long as it is one, the group's number stays ours and its members can be ended.
        let seen = waitid(
            WaitId::Pid(self.pid),
            WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
        );
        let mut ended = self.lock();
        if seen.is_ok() {
            kill_process_group(self.pid, Signal::KILL).ok();
        }
        let status = child.wait().unwrap_or_else(|_| ExitStatus::from_raw(0));
        *ended = Some(status);
        self.changed.notify_all();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<ExitStatus>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running for Process {
    fn end(&self) {
        self.kill();
    }
}

/// The code that a shell would show: the exit code, or 128 and the signal.
pub(crate) fn exit_code(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// Waits until the condition holds; the answer says whether it did before the deadline.
pub(crate) fn eventually(deadline: Instant, mut holds: impl FnMut() -> bool) -> bool {
    loop {
        if holds() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn entries(folder: &str) -> u64 {
    fs::read_dir(folder).map_or(0, |entries| entries.count() as u64)
}

fn group_of(process: i32) -> Option<i32> {
    let line = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name is in parentheses and may hold anything; what follows it is: state, parent, group.
    let mut after = line.rsplit_once(") ")?.1.split(' ').skip(2);
    after.next()?.parse().ok()
}
