//! The supervisor: one process per instance, which the function never outlives.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};
use rustix::process::{
    Pid, Signal, WaitOptions, kill_process, kill_process_group, set_child_subreaper, setsid, wait,
};
use signal_hook::consts::SIGCHLD;

use super::super::processes::{self, Entry, State};
use super::channel::Channel;
use super::messages::{Order, Report};
use super::room;
use super::stage::{STARTER, stage_command};
use crate::sandbox::{Refusal, Spec, Step};

/// How long killed processes may take to disappear.
const KILL_PATIENCE: Duration = Duration::from_secs(5);
/// A process may fork between two looks at the table.
const FREEZE_ROUNDS_MAX: u32 = 20;

/// Runs the stage.
pub(super) fn main() -> ExitCode {
    // Ctrl-C on the terminal is for `coldstart`, which stops the function in order.
    setsid().ok();
    match supervise() {
        Ok(()) => ExitCode::SUCCESS,
        // The channel is gone, so there is no one to report to.
        Err(_) => ExitCode::FAILURE,
    }
}

fn supervise() -> io::Result<()> {
    let mut control = Channel::of_stdin()?;
    let Some(Order::Start(spec)) = control.receive()? else {
        return Ok(());
    };
    match Supervisor::start(control, &spec) {
        Ok(supervisor) => supervisor.run(),
        Err((control, refusal)) => control.send(&Report::Refused(refusal)),
    }
}

struct Supervisor {
    control: Channel,
    /// Readable after SIGCHLD.
    children: UnixStream,
    /// The start command.
    main: Pid,
}

impl Supervisor {
    fn start(mut control: Channel, spec: &Spec) -> Result<Self, (Channel, Refusal)> {
        match Self::prepare(&mut control, spec) {
            Ok((children, main)) => Ok(Self {
                control,
                children,
                main,
            }),
            Err(refusal) => Err((control, refusal)),
        }
    }

    fn prepare(control: &mut Channel, spec: &Spec) -> Result<(UnixStream, Pid), Refusal> {
        let spawn = |error: io::Error| Refusal::new(Step::Spawn, &error);
        match &spec.room {
            Some(room) => room::enter(room, control)?,
            // In a namespace orphans become children of process 1. Without one, they become ours.
            None => set_child_subreaper(Pid::from_raw(1)).map_err(|errno| spawn(errno.into()))?,
        }
        let children = notice_children().map_err(spawn)?;
        let main = start_command(spec)?;
        silence().map_err(spawn)?;
        let process = main.as_raw_nonzero().get();
        control.send(&Report::Started { process }).map_err(spawn)?;
        Ok((children, main))
    }

    fn run(mut self) -> io::Result<()> {
        loop {
            if let Some(status) = self.reap()? {
                self.end_all(Some(status));
                return self.control.send(&Report::Ended { status });
            }
            self.wait()?;
            if !self.obey() {
                let status = self.end_all(None);
                return self.control.send(&Report::Ended { status });
            }
        }
    }

    /// Waits for an order or the end of a child.
    fn wait(&self) -> io::Result<()> {
        let mut sources = [
            PollFd::new(&self.control, PollFlags::IN),
            PollFd::new(&self.children, PollFlags::IN),
        ];
        match poll(&mut sources, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let mut woken = [0; 64];
        while io::Read::read(&mut &self.children, &mut woken).is_ok_and(|length| length > 0) {}
        Ok(())
    }

    /// Collects ended children. Returns the start command's wait status once it has ended.
    fn reap(&self) -> io::Result<Option<i32>> {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((process, status))) if process == self.main => {
                    return Ok(Some(status.as_raw()));
                }
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                Ok(None) => return Ok(None),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Carries out the orders that have arrived. Returns false once `coldstart` is done with the function, or gone.
    fn obey(&mut self) -> bool {
        let is_readable = || {
            let mut control = [PollFd::new(&self.control, PollFlags::IN)];
            poll(&mut control, Some(&rustix::event::Timespec::default()))
                .is_ok_and(|ready| ready > 0)
        };
        if !is_readable() {
            return true;
        }
        loop {
            let carried_out = match self.control.receive() {
                Ok(Some(order)) => self.carry_out(&order),
                Ok(None) | Err(_) => return false,
            };
            if carried_out.is_err() {
                return false;
            }
            if !self.control.has_message() {
                return true;
            }
        }
    }

    fn carry_out(&self, order: &Order) -> io::Result<()> {
        match order {
            Order::Start(_) | Order::IdentitiesMapped => {}
            Order::Terminate => {
                kill_process(self.main, Signal::TERM).ok();
            }
            Order::Freeze => self.freeze(),
            Order::Thaw => {
                for entry in self.members() {
                    signal(entry.id, Signal::CONT);
                }
            }
            Order::Socket => return self.send_socket(),
        }
        self.control.send(&Report::Done)
    }

    fn send_socket(&self) -> io::Result<()> {
        let made = socket_with(
            AddressFamily::INET,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            Some(ipproto::TCP),
        );
        match made {
            Ok(socket) => self.control.send_with(&Report::Done, socket.as_fd()),
            Err(errno) => self.control.send(&Report::Failed {
                errno: errno.raw_os_error(),
            }),
        }
    }

    fn freeze(&self) {
        for _ in 0..FREEZE_ROUNDS_MAX {
            let mut running = self.members();
            running.retain(|entry| entry.state == State::Running);
            if running.is_empty() {
                return;
            }
            for entry in running {
                signal(entry.id, Signal::STOP);
            }
        }
    }

    fn members(&self) -> Vec<Entry> {
        processes::family(own_id())
    }

    /// Kills everything that the function started, and waits until it is gone. Returns the start command's status.
    fn end_all(&self, ended: Option<i32>) -> i32 {
        let mut status = ended;
        let deadline = Instant::now() + KILL_PATIENCE;
        loop {
            // Killing process 1 of a namespace kills all of it. Elsewhere, every descendant is found by its parent.
            if status.is_none() {
                kill_process_group(self.main, Signal::KILL).ok();
            }
            for entry in self.members() {
                signal(entry.id, Signal::KILL);
            }
            match wait(WaitOptions::NOHANG) {
                Ok(Some((process, found))) if process == self.main => {
                    status = Some(found.as_raw());
                }
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(1)),
                // No children are left, or one of them cannot be killed.
                Ok(None) | Err(_) => return status.unwrap_or(Signal::KILL.as_raw()),
            }
        }
    }
}

/// Starts the next stage, and waits until it has become the start command.
fn start_command(spec: &Spec) -> Result<Pid, Refusal> {
    let spawn = |error: io::Error| Refusal::new(Step::Spawn, &error);
    let (mut channel, theirs) = Channel::pair().map_err(spawn)?;
    let mut command = stage_command(STARTER);
    let child = command.stdin(theirs).process_group(0).spawn();
    // It holds a copy of the child's end.
    drop(command);
    let child = child.map_err(spawn)?;
    let main = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let main = main.ok_or_else(|| spawn(io::Error::other("no process id")))?;
    channel.send(spec).map_err(spawn)?;
    match channel.receive().map_err(spawn)? {
        // Execution closed the other end.
        None => Ok(main),
        Some(refusal) => Err(refusal),
    }
}

/// The function's output ends when the function does, so no other process may hold it.
fn silence() -> io::Result<()> {
    let null = OpenOptions::new().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}

fn notice_children() -> io::Result<UnixStream> {
    let (reader, writer) = UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    signal_hook::low_level::pipe::register(SIGCHLD, OwnedFd::from(writer))?;
    Ok(reader)
}

fn signal(process: i32, signal: Signal) {
    if let Some(process) = Pid::from_raw(process) {
        kill_process(process, signal).ok();
    }
}

fn own_id() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}
