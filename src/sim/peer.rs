//! Scripted peers: what each sends and when, how it reads, and which responses it must get.

use std::collections::VecDeque;

use super::kernel::{Flow, Kernel, LinkId};
use super::plan::{Expected, RequestPlan};
use super::response_reader::{RequestMethod, ResponseReader, SOCKET};
use super::wall_clock::WallClock;

/// One step of a script.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Send(Vec<u8>),
    /// Waits for this many milliseconds.
    Pause(u64),
    /// Waits for this many responses in all.
    AwaitResponses(usize),
    /// Waits for `100 Continue` or a final response, or for this many milliseconds.
    AwaitContinue(u64),
    /// Waits for this many bytes of the next response's body, or for all of it.
    AwaitBody(usize),
    HalfClose,
    Close,
    Reset,
}

/// How a peer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Eager,
    /// This many bytes at a time, and the milliseconds between two reads.
    Slow(usize, u64),
    /// Nothing until the liveness phase.
    Never,
    /// Everything, after it had read nothing in the safety phase.
    Resumed,
}

/// How often `100 Continue` may come before a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContinueRule {
    Never,
    AtMostOnce,
}

/// What is left of a request's body once the handler pulls no more of it, after the head of its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing, or so little that the server discards it.
    Short,
    /// The server can't know, or it is too long: the connection ends (RFC 9112 §9.3), and the head is out already.
    Long,
}

/// A request, or bytes that the server must refuse, and the response that must come.
#[derive(Clone, Debug)]
pub(super) struct PeerRequest {
    /// `None` if the bytes are no request.
    pub(super) plan: Option<RequestPlan>,
    pub(super) method: RequestMethod,
    pub(super) expected: Expected,
    pub(super) continue_rule: ContinueRule,
    pub(super) rest: Rest,
    /// Its byte range in all that the peer sends.
    pub(super) start: usize,
    pub(super) end: usize,
    /// When its first byte was sent.
    pub(super) begun_at: Option<u64>,
    /// When its last byte was sent.
    pub(super) whole_at: Option<u64>,
    /// [`WallClock::index`] when its first byte was sent.
    pub(super) wall_at: usize,
}

/// The state of a peer's connection, as the peer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PeerState {
    /// Not connected yet.
    Starting,
    Connected,
    /// The peer has ended its side and still reads.
    HalfClosed,
    /// The peer has closed or reset the connection.
    Left,
    /// The server has ended the connection.
    ClosedByServer(Flow),
    /// The server no longer listened.
    Refused,
}

/// The result of one read.
#[derive(Debug)]
pub(super) struct Reading {
    /// Whether all bytes so far are well-formed responses.
    pub(super) parsed: Result<(), String>,
    /// The state before the server ended the connection; `None` if it has not.
    pub(super) ended_from: Option<PeerState>,
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) kind: &'static str,
    pub(super) link: Option<LinkId>,
    pub(super) outbound_len_max: usize,
    pub(super) script: VecDeque<Step>,
    pub(super) requests: Vec<PeerRequest>,
    pub(super) reader: ResponseReader,
    pub(super) pace: Pace,
    pub(super) state: PeerState,
    pub(super) sent: usize,
    /// How many of the responses the oracle has checked.
    pub(super) checked: usize,
    times: Times,
}

/// When a peer continues.
#[derive(Debug, Default)]
struct Times {
    paused_until: u64,
    reads_at: u64,
    /// The wake-up that is scheduled.
    alarm: Option<u64>,
    awaits_until: Option<u64>,
}

impl Peer {
    /// Whether the response was sent, all of it, and what the peer has then sent to a connection that the stop had closed has
    /// destroyed what was not read yet.
    pub(super) fn is_reset_after_stop(&self, request: &PeerRequest, kernel: &Kernel) -> bool {
        self.state == PeerState::ClosedByServer(Flow::Broken)
            && kernel.stopped_at().is_some()
            && request.whole_at.is_some()
            && self.sent > request.end
    }

    pub(super) fn new(kind: &'static str) -> Self {
        Self {
            kind,
            link: None,
            outbound_len_max: 64 * 1024,
            script: VecDeque::new(),
            requests: Vec::new(),
            reader: ResponseReader::new(),
            pace: Pace::Eager,
            state: PeerState::Starting,
            sent: 0,
            checked: 0,
            times: Times::default(),
        }
    }

    /// Its name in traces and violations.
    pub(super) fn name(&self) -> String {
        match self.link {
            Some(link) => format!("{} on connection {link}", self.kind),
            None => self.kind.to_owned(),
        }
    }

    /// Handles a due wake-up, and connects if this is the first. `None` if there is no connection.
    pub(super) fn wake(&mut self, at: u64, kernel: &mut Kernel) -> Option<LinkId> {
        if self.times.alarm.is_some_and(|alarm| alarm <= at) {
            self.times.alarm = None;
        }
        if self.state == PeerState::Starting {
            self.link = kernel.connect(self.outbound_len_max);
            self.state = match self.link {
                Some(_) => PeerState::Connected,
                None => PeerState::Refused,
            };
        }
        self.link
    }

    /// Whether the peer still reads.
    pub(super) const fn is_connected(&self) -> bool {
        match self.state {
            PeerState::Connected | PeerState::HalfClosed => true,
            PeerState::Starting
            | PeerState::Left
            | PeerState::ClosedByServer(_)
            | PeerState::Refused => false,
        }
    }

    /// Whether the peer goes on with its script. The end of a socket's output does not end its input.
    pub(super) fn goes_on(&self) -> bool {
        let last = self.reader.responses.last();
        let is_socket = last.is_some_and(|last| last.field(SOCKET).is_some());
        self.is_connected() || (is_socket && self.state == PeerState::ClosedByServer(Flow::Ended))
    }

    /// When to wake the peer next, unless that is scheduled already.
    pub(super) fn next_alarm(&mut self, at: u64, link: LinkId, kernel: &Kernel) -> Option<u64> {
        let pause = (self.times.paused_until > at).then_some(self.times.paused_until);
        let waits_to_read = kernel.outbound_len(link) > 0 && self.times.reads_at > at;
        let read = waits_to_read.then_some(self.times.reads_at);
        let patience = self.times.awaits_until.filter(|until| *until > at);
        let next = [pause, read, patience].into_iter().flatten().min()?;
        if self.times.alarm.is_some_and(|alarm| alarm <= next) {
            return None;
        }
        self.times.alarm = Some(next);
        Some(next)
    }

    /// Abandons the script.
    pub(super) fn leave(&mut self) {
        self.script.clear();
        self.state = PeerState::Left;
    }

    /// Reads at once from now on.
    pub(super) fn enter_liveness(&mut self) {
        self.pace = match self.pace {
            Pace::Eager | Pace::Slow(..) => Pace::Eager,
            Pace::Never | Pace::Resumed => Pace::Resumed,
        };
        self.times.reads_at = 0;
    }

    /// Reads as its pace allows. `None` if it does not read now.
    pub(super) fn read(&mut self, at: u64, link: LinkId, kernel: &mut Kernel) -> Option<Reading> {
        if !self.is_connected() {
            return None;
        }
        let len_max = match self.pace {
            Pace::Eager | Pace::Resumed => usize::MAX,
            Pace::Slow(..) if at < self.times.reads_at => return None,
            Pace::Slow(len, gap) => {
                self.times.reads_at = at + gap;
                len
            }
            Pace::Never => return None,
        };
        let (bytes, flow) = kernel.peer_read(link, len_max);
        if !bytes.is_empty() {
            kernel.note(|| format!("peer {link} reads {} bytes", bytes.len()));
        }
        let requests = &self.requests;
        let parsed = self.reader.feed(&bytes, |number| {
            requests
                .get(number)
                .map_or(RequestMethod::Other, |request| request.method)
        });
        let mut ended_from = None;
        if flow != Flow::Open {
            kernel.note(|| format!("peer {link} finds its connection {flow:?}"));
            ended_from = Some(self.state);
            self.state = PeerState::ClosedByServer(flow);
            self.reader.end();
        }
        Some(Reading { parsed, ended_from })
    }

    /// Runs the script up to a step that has to wait.
    pub(super) fn run_script(
        &mut self,
        at: u64,
        link: LinkId,
        kernel: &mut Kernel,
        wall: &WallClock,
    ) {
        while self.times.paused_until <= at
            && let Some(step) = self.script.front_mut()
        {
            match step {
                Step::Send(bytes) => {
                    let len = kernel.peer_send(link, bytes);
                    bytes.drain(..len);
                    let is_whole = bytes.is_empty();
                    self.on_sent(len, at, wall);
                    if !is_whole {
                        return;
                    }
                }
                Step::Pause(millis) => self.times.paused_until = at + *millis,
                Step::AwaitResponses(count) => {
                    if self.reader.responses.len() < *count {
                        return;
                    }
                }
                Step::AwaitContinue(patience) => {
                    let until = *self.times.awaits_until.get_or_insert(at + *patience);
                    let has_come = self.reader.continues() > 0 || self.has_response_to_last();
                    if !has_come && at < until {
                        return;
                    }
                    self.times.awaits_until = None;
                }
                Step::AwaitBody(len) => {
                    let partial = self.reader.partial();
                    let has_come = partial.is_some_and(|partial| partial.body.len() >= *len);
                    if !has_come && !self.has_response_to_last() {
                        return;
                    }
                }
                Step::HalfClose => {
                    kernel.peer_end(link);
                    self.state = if self.is_connected() {
                        PeerState::HalfClosed
                    } else {
                        // Both sides have ended.
                        PeerState::Left
                    };
                }
                Step::Close => {
                    kernel.peer_close(link);
                    self.state = PeerState::Left;
                }
                Step::Reset => {
                    kernel.reset(link);
                    self.state = PeerState::Left;
                }
            }
            self.script.pop_front();
        }
    }

    fn has_response_to_last(&self) -> bool {
        let begun = self
            .requests
            .iter()
            .filter(|request| request.start < self.sent);
        self.reader.responses.len() >= begun.count()
    }

    fn on_sent(&mut self, len: usize, at: u64, wall: &WallClock) {
        self.sent += len;
        for request in &mut self.requests {
            if request.start < self.sent && request.begun_at.is_none() {
                request.begun_at = Some(at);
                request.wall_at = wall.index();
            }
            if request.end <= self.sent && request.whole_at.is_none() {
                request.whole_at = Some(at);
            }
        }
    }
}
