//! A supervisor, as the program that started it sees it: what can be asked of it, and what it has reported.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::channel::{Channel, Closer};
use super::identities;
use super::messages::{Order, Report};
use super::stage::{SUPERVISOR, stage_command};
use crate::sandbox::{Network, Refusal, Spec, Step};

/// A running supervisor. Dropping this makes it kill everything and end.
#[derive(Debug)]
pub(crate) struct Supervision {
    process: i32,
    /// The network of its namespaces, if it has any.
    room: Option<Network>,
    line: Mutex<Line>,
    /// Tells the supervisor to kill everything, without waiting for the line's lock.
    closer: Closer,
}

/// What the supervisor is asked and reports.
#[derive(Debug)]
struct Line {
    channel: Channel,
    /// The start command's wait status, which may arrive instead of any other report.
    status: Option<i32>,
}

impl Supervision {
    /// Starts a supervisor that waits for its spec. Both streams of the function go to `output`.
    pub(crate) fn begin(output: [Stdio; 2], room: Option<Network>) -> io::Result<(Child, Self)> {
        let (channel, theirs) = Channel::pair()?;
        let closer = channel.closer()?;
        let mut command = stage_command(SUPERVISOR);
        let [stdout, stderr] = output;
        let child = command
            .stdin(theirs)
            .stdout(stdout)
            .stderr(stderr)
            .spawn()?;
        let supervision = Self {
            process: i32::try_from(child.id()).map_err(io::Error::other)?,
            room,
            line: Mutex::new(Line {
                channel,
                status: None,
            }),
            closer,
        };
        Ok((child, supervision))
    }

    /// Gives the supervisor its spec, and waits until the start command runs. Returns the command's process id.
    pub(crate) fn start(&self, spec: Spec) -> Result<i32, Refusal> {
        let lost = |error: &io::Error| Refusal::spawn(error);
        let channel = &mut self.lock().channel;
        channel
            .send(&Order::Start(spec))
            .map_err(|error| lost(&error))?;
        loop {
            match channel.receive().map_err(|error| lost(&error))? {
                Some(Report::MapIdentities) => {
                    let map =
                        |error| Refusal::new(Step::Arrange("map user ids".to_owned()), &error);
                    identities::map(self.process).map_err(map)?;
                    channel
                        .send(&Order::IdentitiesMapped)
                        .map_err(|error| lost(&error))?;
                }
                Some(Report::Started { process }) => return Ok(process),
                Some(Report::Refused(refusal)) => return Err(refusal),
                Some(Report::Done | Report::Failed { .. } | Report::Ended { .. }) => {}
                None => return Err(lost(&io::Error::from_raw_os_error(0))),
            }
        }
    }

    /// The supervisor's process id.
    pub(crate) const fn process(&self) -> i32 {
        self.process
    }

    /// The network of its namespaces, if it has any.
    pub(crate) const fn network(&self) -> Option<Network> {
        self.room
    }

    /// Sends SIGTERM to the start command.
    pub(crate) fn terminate(&self) {
        self.order(&Order::Terminate);
    }

    /// Stops every process of the function.
    pub(crate) fn freeze(&self) {
        self.order(&Order::Freeze);
    }

    /// Lets every process of the function continue.
    pub(crate) fn thaw(&self) {
        self.order(&Order::Thaw);
    }

    /// Tells the supervisor to kill everything. It does so also while an order is carried out.
    pub(crate) fn end(&self) {
        self.closer.close();
    }

    /// Returns a socket in the function's network.
    pub(crate) fn socket(&self) -> io::Result<socket2::Socket> {
        let mut line = self.lock();
        match line.ask(&Order::Socket)? {
            Some(Report::Failed { errno }) => return Err(io::Error::from_raw_os_error(errno)),
            Some(
                Report::Done
                | Report::MapIdentities
                | Report::Started { .. }
                | Report::Refused(_)
                | Report::Ended { .. },
            )
            | None => {}
        }
        let socket = line.channel.descriptor();
        Ok(socket.ok_or(io::ErrorKind::ConnectionRefused)?.into())
    }

    /// Reads the remaining reports of a supervisor that has exited. Returns how the start command has ended.
    pub(crate) fn status(&self) -> Option<ExitStatus> {
        let mut line = self.lock();
        while let Ok(Some(_)) = line.next() {}
        line.status.map(ExitStatus::from_raw)
    }

    /// Has an order carried out. A supervisor that has ended carries out nothing, and needs not.
    fn order(&self, order: &Order) {
        self.lock().ask(order).ok();
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn ask(&mut self, order: &Order) -> io::Result<Option<Report>> {
        self.channel.send(order)?;
        self.next()
    }

    fn next(&mut self) -> io::Result<Option<Report>> {
        let report = self.channel.receive()?;
        if let Some(Report::Ended { status }) = report {
            self.status = Some(status);
        }
        Ok(report)
    }
}
