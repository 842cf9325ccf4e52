//! Background jobs: the replies, streams and resumptions that other threads would send to the loop.

use core::cell::Cell;
use core::task::Waker;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::mpsc;

use super::plan::{Completion, pattern};
use crate::handler::outcome::{Awaited, Eventual, Outcome, Pending};
use crate::handler::reply::Reply;
use crate::message::body::Body;
use crate::message::channel::BodySender;
use crate::message::response::{Response, Status};
use crate::message::send_error::TrySendError;
use crate::sync::pause::Resume;

/// Milliseconds between two pieces of a stream.
const STREAM_GAP: u64 = 40;
/// Room for many pieces of one byte, each of which counts for more.
const BURST_ROOM: usize = 64 * 1024;

/// What another thread would do.
#[derive(Debug)]
pub(super) enum Job {
    Reply(Reply, ReplyKind),
    Resume(Resume),
    Stream(StreamJob),
    /// Wakes a future, which learns that it was woken.
    Wake(Waker, Rc<Cell<bool>>),
}

/// What a reply completes with.
#[derive(Clone, Copy, Debug)]
pub(super) enum ReplyKind {
    Text(u16, &'static str),
    Pattern(u64, usize),
    Stream(u64, usize),
    /// The same pattern, after another promise.
    Promise(u64, usize),
    Dropped,
}

/// Sends a body through a channel, piece by piece.
#[derive(Debug)]
pub(super) struct StreamJob {
    sender: BodySender,
    rest: Vec<u8>,
    piece_len: usize,
    /// Pieces that are sent one right after another, as far as there is room.
    pieces_at_once: usize,
    completion: Completion,
    gap: u64,
}

/// When a job runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// After this many milliseconds.
    After(u64),
    /// In the liveness phase.
    Late,
}

/// The phases of a run: faults and delays first, then everything works and must make progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Safety,
    Liveness,
}

/// What became of uploads and futures of the handler.
#[derive(Debug, Default)]
pub(super) struct Handled {
    pub(super) uploads_cut: u64,
    /// Futures that are not dropped yet.
    pub(super) futures: usize,
    /// Tasks that are not dropped yet.
    pub(super) tasks: usize,
    /// Values that panic when they are dropped, and are not dropped yet.
    pub(super) volatile: usize,
}

/// Time as handlers see and use it, in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// What the loop has seen.
    pub(super) now: u64,
    /// Time that handlers have kept the loop, and that the clock does not show yet.
    pub(super) busy: u64,
}

/// All background jobs, and what the handler has observed.
#[derive(Debug)]
pub(super) struct Background {
    jobs: BTreeMap<u64, Job>,
    next_job: u64,
    /// Jobs that are not in the schedule yet: a delay in milliseconds and the job's number.
    pub(super) new_jobs: Vec<(u64, u64)>,
    late: Vec<u64>,
    phase: Phase,
    /// How often each request was accepted, by its number.
    pub(super) accepted: BTreeMap<u64, u32>,
    pub(super) handled: Handled,
    pub(super) clock: Clock,
    pub(super) violations: Vec<String>,
    pub(super) upgraded: mpsc::Sender<(u64, Vec<u8>)>,
    pub(super) upgrades: mpsc::Receiver<(u64, Vec<u8>)>,
    /// Requests whose connections became sockets, and how much these have read before their end.
    pub(super) sockets_ended: Vec<(u64, usize)>,
}

impl Default for Background {
    fn default() -> Self {
        let (upgraded, upgrades) = mpsc::channel();
        Self {
            jobs: BTreeMap::new(),
            next_job: 0,
            new_jobs: Vec::new(),
            late: Vec::new(),
            phase: Phase::Safety,
            accepted: BTreeMap::new(),
            handled: Handled::default(),
            clock: Clock::default(),
            violations: Vec::new(),
            upgraded,
            upgrades,
            sockets_ended: Vec::new(),
        }
    }
}

impl Background {
    pub(super) fn add(&mut self, job: Job, due: Due) {
        let number = self.next_job;
        self.next_job += 1;
        self.jobs.insert(number, job);
        match (due, self.phase) {
            (Due::After(delay), _) => self.new_jobs.push((delay, number)),
            (Due::Late, Phase::Safety) => self.late.push(number),
            (Due::Late, Phase::Liveness) => self.new_jobs.push((0, number)),
        }
    }

    /// Starts the late jobs; from now on no job is late.
    pub(super) fn enter_liveness(&mut self) {
        self.phase = Phase::Liveness;
        let late = std::mem::take(&mut self.late);
        self.new_jobs
            .extend(late.into_iter().map(|number| (0, number)));
    }

    /// Runs a job, or a part of it; returns the milliseconds until the next part.
    pub(super) fn run(&mut self, number: u64) -> Option<u64> {
        match self.jobs.remove(&number)? {
            Job::Resume(resume) => {
                resume.resume();
                None
            }
            Job::Reply(reply, what) => {
                self.reply(reply, what);
                None
            }
            Job::Stream(stream) => self.continue_stream(number, stream),
            Job::Wake(waker, is_woken) => {
                is_woken.set(true);
                waker.wake();
                None
            }
        }
    }

    fn reply(&mut self, reply: Reply, what: ReplyKind) {
        match what {
            ReplyKind::Text(status, text) => {
                let status = Status::new(status).unwrap_or(Status::OK);
                reply.complete(Response::text(text).status(status));
            }
            ReplyKind::Pattern(id, len) => reply.complete(Response::bytes(pattern(id, len))),
            ReplyKind::Stream(id, len) => {
                let body = self.stream(pattern(id, len), 64, 200, Completion::Done);
                reply.complete(Response::bytes(body));
            }
            ReplyKind::Promise(id, len) => {
                let promised = self.promise(30, ReplyKind::Pattern(id, len), Completion::Done);
                if let Eventual::Awaited(Some(Awaited::Promise(promise))) = promised.eventual {
                    reply.settle(Pending::Promise(promise));
                }
            }
            ReplyKind::Dropped => drop(reply),
        }
    }

    fn continue_stream(&mut self, number: u64, mut stream: StreamJob) -> Option<u64> {
        if stream.rest.is_empty() {
            match (stream.completion, self.phase) {
                (Completion::Done, _) | (Completion::Late, Phase::Liveness) => {
                    stream.sender.finish();
                }
                (Completion::Dropped, _) => drop(stream),
                (Completion::Late, Phase::Safety) => {
                    self.jobs.insert(number, Job::Stream(stream));
                    self.late.push(number);
                }
            }
            return None;
        }
        let mut left = stream.pieces_at_once;
        while left > 0 && !stream.rest.is_empty() {
            left -= 1;
            let len = stream.piece_len.min(stream.rest.len());
            match stream.sender.try_send(stream.rest[..len].to_vec()) {
                Ok(()) => {
                    stream.rest.drain(..len);
                    stream.gap = STREAM_GAP;
                }
                Err(TrySendError::Full(_)) => {
                    stream.gap = (2 * stream.gap).min(5_000);
                    left = 0;
                }
                Err(TrySendError::PeerGone) => return None,
            }
        }
        let gap = stream.gap;
        self.jobs.insert(number, Job::Stream(stream));
        Some(gap)
    }

    pub(super) fn stream(
        &mut self,
        bytes: Vec<u8>,
        piece_len: usize,
        room: usize,
        completion: Completion,
    ) -> Body {
        let (sender, body) = Body::channel(room);
        let stream = StreamJob {
            sender,
            rest: bytes,
            piece_len: piece_len.max(1),
            pieces_at_once: 1,
            completion,
            gap: STREAM_GAP,
        };
        // It starts before the response is returned.
        self.add(Job::Stream(stream), Due::After(0));
        body
    }

    /// A stream of single bytes that never waits while there is room: it uses up the loop's budget for pieces.
    pub(super) fn burst(&mut self, bytes: Vec<u8>) -> Body {
        let (sender, body) = Body::channel(BURST_ROOM);
        let stream = StreamJob {
            sender,
            rest: bytes,
            piece_len: 1,
            pieces_at_once: usize::MAX,
            completion: Completion::Done,
            gap: STREAM_GAP,
        };
        self.add(Job::Stream(stream), Due::After(0));
        body
    }

    pub(super) fn promise(
        &mut self,
        after: u64,
        what: ReplyKind,
        completion: Completion,
    ) -> Outcome {
        let (outcome, reply) = Outcome::promised();
        match completion {
            Completion::Done => self.add(Job::Reply(reply, what), Due::After(after)),
            Completion::Dropped => {
                self.add(Job::Reply(reply, ReplyKind::Dropped), Due::After(after));
            }
            Completion::Late => self.add(Job::Reply(reply, what), Due::Late),
        }
        outcome
    }
}
