//! The processes of one function, from the start command to its last descendant.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid,
};

use super::cores::Cores;
use crate::listeners::{Dialed, Obstacle, Table};
use crate::remains::{self, Running};
use crate::sandbox::{Network, Refusal, Spec};
use crate::system::{self, Supervision, Usage};

/// How long a killed process may take to disappear.
const KILL_PATIENCE: Duration = Duration::from_secs(6);
/// How long the news of an end that the kernel shows may take.
const NEWS_PATIENCE: Duration = Duration::from_secs(6);
/// How long a connect to this machine itself may take.
const LOOPBACK_PATIENCE: Duration = Duration::from_millis(200);

/// The start command and everything that it started.
#[derive(Debug)]
pub(crate) struct Process {
    /// Just before the start command was started.
    pub(crate) began: Instant,
    /// The start command. Zero until it runs.
    main: AtomicI32,
    holder: Holder,
    ended: Mutex<Option<ExitStatus>>,
    changed: Condvar,
    was_killed: AtomicBool,
}

/// What holds the start command.
#[derive(Debug)]
enum Holder {
    /// This program, as the command's parent.
    Parent,
    Supervisor(Supervision),
}

impl Process {
    /// Starts the command as a plain child. The thread that creates the process also reaps it: without a thread there
    /// is no process either, and the process inherits the thread's processors.
    pub(crate) fn spawn(
        spec: &Spec,
        output: [Stdio; 2],
        cores: Option<&'static Cores>,
    ) -> Result<Arc<Self>, Refusal> {
        let mut command = Command::new(spec.words.first().cloned().unwrap_or_default());
        command
            .args(spec.words.iter().skip(1))
            .env_clear()
            .envs(&spec.environment)
            .current_dir(&spec.directory)
            .process_group(0);
        if let Some(user) = spec.user {
            command.uid(user).gid(user);
        }
        let [stdout, stderr] = output;
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let create = move || {
            if let Some(cores) = cores {
                cores.enter_servers();
            }
            let began = Instant::now();
            let spawned = command.spawn();
            // What follows must not take time from the server.
            if let Some(cores) = cores {
                cores.enter_probe();
            }
            let child = spawned.map_err(|error| Refusal::execute(&error))?;
            let id = child_id(&child).map_err(|error| Refusal::spawn(&error))?;
            // The command, dropped here, holds copies of the output, which must close with the function.
            Ok((Self::of(id, began, Holder::Parent), child))
        };
        Self::live(create)
    }

    /// Starts the command under a supervisor, in the namespaces that the spec names.
    pub(crate) fn supervise(spec: Spec, output: [Stdio; 2]) -> Result<Arc<Self>, Refusal> {
        let room = spec.room.as_ref().map(|room| room.network);
        let create = move || {
            let lost = |error: io::Error| Refusal::spawn(&error);
            let began = Instant::now();
            let (child, supervision) = Supervision::begin(output, room).map_err(lost)?;
            Ok((Self::of(0, began, Holder::Supervisor(supervision)), child))
        };
        let process = Self::live(create)?;
        let main = match &process.holder {
            Holder::Parent => Ok(0),
            Holder::Supervisor(supervision) => supervision.start(spec),
        };
        match main {
            Ok(main) => {
                process.main.store(main, Ordering::SeqCst);
                Ok(process)
            }
            Err(refusal) => {
                process.kill();
                Err(refusal)
            }
        }
    }

    fn of(main: i32, began: Instant, holder: Holder) -> Arc<Self> {
        Arc::new(Self {
            began,
            main: AtomicI32::new(main),
            holder,
            ended: Mutex::new(None),
            changed: Condvar::new(),
            was_killed: AtomicBool::new(false),
        })
    }

    /// Creates a process and reaps it, on a thread of its own.
    fn live(
        create: impl FnOnce() -> Result<(Arc<Self>, Child), Refusal> + Send + 'static,
    ) -> Result<Arc<Self>, Refusal> {
        let (started, starting) = mpsc::sync_channel(1);
        let life = move || match create() {
            Ok((process, mut child)) => {
                started.send(Ok(Arc::clone(&process))).ok();
                process.reap(&mut child);
            }
            Err(refusal) => {
                started.send(Err(refusal)).ok();
            }
        };
        let mut refused = None;
        let process = remains::start(|| {
            let thread = thread::Builder::new().name("reaper".to_owned());
            thread.spawn(life)?;
            match starting.recv() {
                Ok(Ok(process)) => Ok(process),
                Ok(Err(refusal)) => {
                    let error = refusal.error();
                    refused = Some(refusal);
                    Err(error)
                }
                Err(_) => Err(io::Error::other("the thread that starts it is gone")),
            }
        });
        process.map_err(|error| refused.unwrap_or_else(|| Refusal::spawn(&error)))
    }

    /// The start command's process id.
    pub(crate) fn id(&self) -> i32 {
        self.main.load(Ordering::SeqCst)
    }

    /// The start command's wait status, once it has ended and nothing that it started is left.
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        *self.lock()
    }

    /// Returns the network that the function sees.
    pub(crate) fn network(&self) -> Network {
        match &self.holder {
            Holder::Parent => Network::Host,
            Holder::Supervisor(supervision) => supervision.network().unwrap_or(Network::Host),
        }
    }

    /// Returns whether this program killed it.
    pub(crate) fn was_killed(&self) -> bool {
        self.was_killed.load(Ordering::SeqCst)
    }

    /// Waits for the end.
    pub(crate) fn wait(&self, patience: Duration) -> Option<ExitStatus> {
        let waiting = self
            .changed
            .wait_timeout_while(self.lock(), patience, |ended| ended.is_none());
        *waiting.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits for the end, and for longer if the start command is ending: on a busy machine the news of it take long.
    pub(crate) fn notice_end(&self, patience: Duration) -> Option<ExitStatus> {
        self.wait(patience).or_else(|| {
            let is_ending = system::is_ending(self.id());
            is_ending.then(|| self.wait(NEWS_PATIENCE)).flatten()
        })
    }

    /// Returns whether the start command has ended, or is ending.
    pub(crate) fn is_ending(&self) -> bool {
        self.ended().is_some() || system::is_ending(self.id())
    }

    /// Sends SIGTERM to the start command.
    pub(crate) fn terminate(&self) {
        match &self.holder {
            Holder::Parent => self.signal_leader(Signal::TERM),
            Holder::Supervisor(supervision) => supervision.terminate(),
        }
    }

    /// Returns whether the start command handles SIGTERM, if that is known. As process 1 it ignores the signal otherwise.
    pub(crate) fn handles_sigterm(&self) -> Option<bool> {
        system::handles_sigterm(self.id())
    }

    /// Stops every process of the function, and waits until the stop is ordered.
    pub(crate) fn freeze(&self) {
        match &self.holder {
            Holder::Parent => self.signal_group(Signal::STOP),
            Holder::Supervisor(supervision) => supervision.freeze(),
        }
    }

    /// Lets a frozen function continue.
    pub(crate) fn thaw(&self) {
        match &self.holder {
            Holder::Parent => self.signal_group(Signal::CONT),
            Holder::Supervisor(supervision) => supervision.thaw(),
        }
    }

    /// Kills every process of the function, and waits until they are gone.
    pub(crate) fn kill(&self) {
        self.was_killed.store(true, Ordering::SeqCst);
        match &self.holder {
            Holder::Parent => self.signal_group(Signal::KILL),
            Holder::Supervisor(supervision) => supervision.end(),
        }
        self.wait(KILL_PATIENCE);
    }

    /// Connects to the function's port, in the network that it sees.
    pub(crate) fn connect(&self, port: u16, patience: Duration) -> io::Result<TcpStream> {
        let network = self.network();
        let address = SocketAddr::new(system::router_address(network), port);
        let socket = match (&self.holder, network) {
            (Holder::Supervisor(supervision), Network::Own) => supervision.socket()?,
            (Holder::Supervisor(_) | Holder::Parent, _) => {
                return TcpStream::connect_timeout(&address, patience);
            }
        };
        socket.connect_timeout(&address.into(), patience)?;
        Ok(socket.into())
    }

    /// Returns what the function uses now, if that is known.
    pub(crate) fn usage(&self) -> Option<Usage> {
        system::usage(&self.members())
    }

    /// Returns the ids of the function's processes, daemons included.
    pub(crate) fn members(&self) -> Vec<i32> {
        if self.ended().is_some() {
            return Vec::new();
        }
        let (root, own) = match &self.holder {
            Holder::Parent => (self.id(), Some(self.id())),
            Holder::Supervisor(supervision) => (supervision.process(), None),
        };
        let descendants = system::descendants(root);
        own.into_iter().chain(descendants).collect()
    }

    /// Returns whether the function itself serves the port. That is assumed where the listeners are not known.
    pub(crate) fn serves(&self, port: u16) -> bool {
        self.listeners().is_none_or(|table| table.serves(port))
    }

    /// Returns what keeps the port from serving.
    pub(crate) fn obstacle(&self, port: u16, dialed: Dialed) -> Obstacle {
        self.listeners().map_or_else(
            || unlisted(port, dialed),
            |table| table.obstacle(port, dialed),
        )
    }

    /// Returns the listeners of the network that the function sees, or `None` if they are not known.
    fn listeners(&self) -> Option<Table> {
        let process = match &self.holder {
            Holder::Parent => self.id(),
            Holder::Supervisor(supervision) => supervision.process(),
        };
        Table::read(process, &self.members())
    }

    /// Signals the group while its leader is not reaped, so that the id cannot belong to another process yet.
    fn signal_group(&self, signal: Signal) {
        let ended = self.lock();
        if let (None, Some(group)) = (*ended, Pid::from_raw(self.id())) {
            kill_process_group(group, signal).ok();
        }
    }

    fn signal_leader(&self, signal: Signal) {
        let ended = self.lock();
        if let (None, Some(leader)) = (*ended, Pid::from_raw(self.id())) {
            kill_process(leader, signal).ok();
        }
    }

    fn reap(&self, child: &mut Child) {
        match &self.holder {
            Holder::Parent => self.reap_group(child),
            Holder::Supervisor(supervision) => {
                let ended = child.wait().ok();
                // The supervisor's last report says how the function ended.
                let status = supervision.status().or(ended);
                *self.lock() = Some(status.unwrap_or_else(killed));
            }
        }
        self.changed.notify_all();
    }

    fn reap_group(&self, child: &mut Child) {
        // The leader stays a zombie first: until it is reaped, the group's id is taken and the rest can be killed.
        if let Some(leader) = Pid::from_raw(self.id()) {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            waitid(WaitId::Pid(leader), options).ok();
        }
        self.signal_group(Signal::KILL);
        let mut ended = self.lock();
        *ended = Some(child.wait().unwrap_or_else(|_| killed()));
    }

    fn lock(&self) -> MutexGuard<'_, Option<ExitStatus>> {
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

/// Waits until the condition holds. Returns whether it did before the deadline.
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

/// What keeps the port from serving, where the listeners are not known: a connect shows one on loopback.
fn unlisted(port: u16, dialed: Dialed) -> Obstacle {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let is_refused_elsewhere =
        dialed == Dialed::Refused && system::router_address(Network::Host) != address;
    let connects =
        || TcpStream::connect_timeout(&SocketAddr::new(address, port), LOOPBACK_PATIENCE);
    if is_refused_elsewhere && connects().is_ok() {
        Obstacle::Loopback { address, port }
    } else {
        Obstacle::Unknown { port }
    }
}

fn killed() -> ExitStatus {
    ExitStatus::from_raw(Signal::KILL.as_raw())
}

fn child_id(child: &Child) -> io::Result<i32> {
    i32::try_from(child.id()).map_err(io::Error::other)
}
