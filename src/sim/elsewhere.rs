//! The made-up handler, and what goes on elsewhere: replies, streams and resumptions that other threads would bring.
#![expect(clippy::panic, reason = "some requests ask for a panic")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::rc::Rc;
use std::sync::mpsc;

use super::task::{Ending, Errand, FILE_LEN, Task, UploadPlan, pattern, tally};
use crate::handler::outcome::Outcome;
use crate::handler::reply::Reply;
use crate::handler::{Accept, Demand, Handler, Upgrade, Upload};
use crate::message::body::{Body, BodySender, TrySendError};
use crate::message::request::{Head, Request};
use crate::message::response::{Response, Status};
use crate::sync::pause::{Pause, Resume};

/// A panic that a scenario asks for, which the hook need not report.
#[derive(Debug)]
pub(super) struct StagedPanic;

/// Milliseconds between two pieces of a stream.
const STREAM_GAP: u64 = 40;

/// Something that another thread does.
#[derive(Debug)]
enum Job {
    Reply(Reply, ReplyText),
    Resume(Resume),
    Feed(Feed),
}

/// What a reply says.
#[derive(Clone, Copy, Debug)]
enum ReplyText {
    Text(u16, &'static str),
    Pattern(u64, usize),
    Stream(u64, usize),
    /// The same pattern, promised once more.
    Promise(u64, usize),
    Dropped,
}

#[derive(Debug)]
struct Feed {
    sender: BodySender,
    rest: Vec<u8>,
    piece_len: usize,
    ending: Ending,
    gap: u64,
}

/// When a job is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    After(u64),
    /// When the world is healed.
    Late,
}

/// Whether what is late comes at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Era {
    Chaos,
    Healed,
}

/// All that other threads have to do, and what the handler was asked.
#[derive(Debug)]
pub(super) struct Elsewhere {
    jobs: BTreeMap<u64, Job>,
    next_job: u64,
    /// Jobs that the schedule does not know of yet: after so many milliseconds.
    pub(super) fresh: Vec<(u64, u64)>,
    late: Vec<u64>,
    era: Era,
    /// How often each errand was accepted.
    pub(super) accepted: BTreeMap<u64, u32>,
    pub(super) uploads_cut: u64,
    /// Milliseconds that handlers have kept the loop, and that the clock does not show yet.
    pub(super) busy: u64,
    pub(super) violations: Vec<String>,
    upgraded: mpsc::Sender<(u64, Vec<u8>)>,
    pub(super) upgrades: mpsc::Receiver<(u64, Vec<u8>)>,
    pub(super) upgrades_begun: usize,
}

impl Default for Elsewhere {
    fn default() -> Self {
        let (upgraded, upgrades) = mpsc::channel();
        Self {
            jobs: BTreeMap::new(),
            next_job: 0,
            fresh: Vec::new(),
            late: Vec::new(),
            era: Era::Chaos,
            accepted: BTreeMap::new(),
            uploads_cut: 0,
            busy: 0,
            violations: Vec::new(),
            upgraded,
            upgrades,
            upgrades_begun: 0,
        }
    }
}

impl Elsewhere {
    fn put(&mut self, job: Job, due: Due) {
        let number = self.next_job;
        self.next_job += 1;
        self.jobs.insert(number, job);
        match (due, self.era) {
            (Due::After(delay), _) => self.fresh.push((delay, number)),
            (Due::Late, Era::Chaos) => self.late.push(number),
            (Due::Late, Era::Healed) => self.fresh.push((0, number)),
        }
    }

    /// Whatever was to come late comes now.
    pub(super) fn heal(&mut self) {
        self.era = Era::Healed;
        let late = std::mem::take(&mut self.late);
        self.fresh
            .extend(late.into_iter().map(|number| (0, number)));
    }

    /// Does a job, or a part of it; gives the milliseconds until the next part.
    pub(super) fn act(&mut self, number: u64) -> Option<u64> {
        match self.jobs.remove(&number)? {
            Job::Resume(resume) => {
                resume.resume();
                None
            }
            Job::Reply(reply, what) => {
                self.reply(reply, what);
                None
            }
            Job::Feed(feed) => self.feed(number, feed),
        }
    }

    fn reply(&mut self, reply: Reply, what: ReplyText) {
        match what {
            ReplyText::Text(status, text) => {
                let status = Status::new(status).unwrap_or(Status::OK);
                reply.complete(Response::text(text).status(status));
            }
            ReplyText::Pattern(id, len) => reply.complete(Response::bytes(pattern(id, len))),
            ReplyText::Stream(id, len) => {
                let body = self.stream(pattern(id, len), 64, 200, Ending::Kept);
                reply.complete(Response::bytes(body));
            }
            ReplyText::Promise(id, len) => {
                let promised = self.promise(30, ReplyText::Pattern(id, len), Ending::Kept);
                reply.settle(promised);
            }
            ReplyText::Dropped => drop(reply),
        }
    }

    fn feed(&mut self, number: u64, mut feed: Feed) -> Option<u64> {
        if feed.rest.is_empty() {
            match (feed.ending, self.era) {
                (Ending::Kept, _) | (Ending::Late, Era::Healed) => feed.sender.finish(),
                (Ending::Dropped, _) => drop(feed),
                (Ending::Late, Era::Chaos) => {
                    self.jobs.insert(number, Job::Feed(feed));
                    self.late.push(number);
                }
            }
            return None;
        }
        let len = feed.piece_len.min(feed.rest.len());
        match feed.sender.try_send(feed.rest[..len].to_vec()) {
            Ok(()) => {
                feed.rest.drain(..len);
                feed.gap = STREAM_GAP;
            }
            Err(TrySendError::Full(_)) => feed.gap = (2 * feed.gap).min(5_000),
            Err(TrySendError::PeerGone) => return None,
        }
        let gap = feed.gap;
        self.jobs.insert(number, Job::Feed(feed));
        Some(gap)
    }

    fn stream(&mut self, bytes: Vec<u8>, piece_len: usize, room: usize, ending: Ending) -> Body {
        let (sender, body) = Body::channel(room);
        let feed = Feed {
            sender,
            rest: bytes,
            piece_len: piece_len.max(1),
            ending,
            gap: STREAM_GAP,
        };
        // Some of it is there before the response is returned.
        self.put(Job::Feed(feed), Due::After(0));
        body
    }

    fn promise(&mut self, after: u64, what: ReplyText, ending: Ending) -> Outcome {
        let (outcome, reply) = Outcome::promised();
        match ending {
            Ending::Kept => self.put(Job::Reply(reply, what), Due::After(after)),
            Ending::Dropped => self.put(Job::Reply(reply, ReplyText::Dropped), Due::After(after)),
            Ending::Late => self.put(Job::Reply(reply, what), Due::Late),
        }
        outcome
    }
}

/// The handler of all scenarios: it does what the path says.
#[derive(Debug)]
pub(super) struct StagedHandler {
    pub(super) elsewhere: Rc<RefCell<Elsewhere>>,
    pub(super) file: Rc<File>,
}

impl StagedHandler {
    fn upgrade(&self, id: u64) -> Accept {
        let mut elsewhere = self.elsewhere.borrow_mut();
        elsewhere.upgrades_begun += 1;
        let upgraded = elsewhere.upgraded.clone();
        Accept::Upgrade(Upgrade::new("made-up", move |mut stream, rest| {
            let mut bytes = rest.to_vec();
            // What the loop had not read is still in the socket; the peer's end is closed behind it.
            let read = stream.read_to_end(&mut bytes);
            drop(read.and_then(|_| {
                upgraded
                    .send((id, bytes))
                    .map_err(|_| std::io::ErrorKind::Other.into())
            }));
        }))
    }
}

impl Handler for StagedHandler {
    fn accept(&mut self, head: &Head<'_>) -> Accept {
        let Ok(errand) = head.path().parse::<Errand>() else {
            let mut elsewhere = self.elsewhere.borrow_mut();
            if head.path().contains("poison") {
                elsewhere
                    .violations
                    .push("bytes behind a refusal were taken as a request".to_owned());
            }
            return Accept::Buffer;
        };
        let mut elsewhere = self.elsewhere.borrow_mut();
        let times = elsewhere.accepted.entry(errand.id).or_default();
        *times += 1;
        if *times > 1 {
            let violation = format!("request {} was handled twice", errand.id);
            elsewhere.violations.push(violation);
        }
        let refusal = || Response::text("no\n").status(Status::FORBIDDEN);
        match errand.task {
            Task::Upload(plan) => {
                drop(elsewhere);
                Accept::Stream(Box::new(StagedUpload {
                    elsewhere: Rc::clone(&self.elsewhere),
                    plan,
                    body: Vec::new(),
                    stage: UploadStage::Running,
                }))
            }
            Task::Limit(len) => Accept::BufferUpTo(len as u64),
            Task::Refuse => Accept::Respond(refusal().into()),
            Task::RefuseLater(after) => {
                let what = ReplyText::Text(403, "no\n");
                Accept::Respond(elsewhere.promise(after, what, Ending::Kept))
            }
            Task::PanicOnAccept => {
                drop(elsewhere);
                std::panic::panic_any(StagedPanic)
            }
            Task::Upgrade => {
                drop(elsewhere);
                self.upgrade(errand.id)
            }
            Task::Echo
            | Task::Busy(_)
            | Task::Large(_)
            | Task::Stream(..)
            | Task::Promise(..)
            | Task::PromisedStream(_)
            | Task::PromisedPromise
            | Task::PanicOnCall
            | Task::File(..)
            | Task::FileUnreadable(_)
            | Task::Farewell
            | Task::NoContent
            | Task::ServerFields => Accept::Buffer,
        }
    }

    fn call(&mut self, request: &Request<'_>) -> Outcome {
        let Ok(Errand { id, task }) = request.path().parse::<Errand>() else {
            return Response::new(Status::NOT_FOUND).into();
        };
        let mut elsewhere = self.elsewhere.borrow_mut();
        let response = match task {
            Task::Busy(time) => {
                elsewhere.busy += time;
                Response::bytes(request.body_bytes())
            }
            Task::Echo | Task::Limit(_) | Task::Upgrade => Response::bytes(request.body_bytes()),
            Task::Large(len) => Response::bytes(pattern(id, len)),
            Task::Stream(count, len, room, ending) => {
                Response::bytes(elsewhere.stream(pattern(id, count * len), len, room, ending))
            }
            Task::Promise(after, ending) => {
                return elsewhere.promise(after, ReplyText::Pattern(id, 99), ending);
            }
            Task::PromisedStream(len) => {
                return elsewhere.promise(30, ReplyText::Stream(id, len), Ending::Kept);
            }
            Task::PromisedPromise => {
                return elsewhere.promise(30, ReplyText::Promise(id, 99), Ending::Kept);
            }
            Task::File(claimed, len) => {
                let start = (FILE_LEN - len) as u64;
                match self.file.try_clone() {
                    Ok(file) => Response::bytes(Body::file(file, start..start + claimed as u64)),
                    Err(_) => Response::new(Status::SERVICE_UNAVAILABLE),
                }
            }
            // A folder can be opened, but no byte of it read.
            Task::FileUnreadable(len) => match File::open("/") {
                Ok(folder) => Response::bytes(Body::file(folder, 0..len as u64)),
                Err(_) => Response::new(Status::SERVICE_UNAVAILABLE),
            },
            Task::Farewell => Response::text("farewell\n").close(),
            Task::NoContent => Response::new(Status::NO_CONTENT),
            Task::ServerFields => Response::text("mine\n")
                .header("Content-Length", "99")
                .header("Connection", "keep-alive"),
            Task::Upload(_)
            | Task::Refuse
            | Task::RefuseLater(_)
            | Task::PanicOnAccept
            | Task::PanicOnCall => {
                drop(elsewhere);
                std::panic::panic_any(StagedPanic)
            }
        };
        response.into()
    }
}

/// How an upload ended: in exactly one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UploadStage {
    Running,
    Over,
}

struct StagedUpload {
    elsewhere: Rc<RefCell<Elsewhere>>,
    plan: UploadPlan,
    body: Vec<u8>,
    stage: UploadStage,
}

impl Drop for StagedUpload {
    fn drop(&mut self) {
        if self.stage == UploadStage::Running
            && let Ok(mut elsewhere) = self.elsewhere.try_borrow_mut()
        {
            elsewhere
                .violations
                .push("an upload was dropped and heard nothing".to_owned());
        }
    }
}

impl Upload for StagedUpload {
    fn on_piece(&mut self, piece: &[u8]) -> Demand {
        if piece.is_empty() || self.stage == UploadStage::Over {
            let violation = "an upload was handed a piece that it must not get".to_owned();
            self.elsewhere.borrow_mut().violations.push(violation);
        }
        self.body.extend_from_slice(piece);
        let mut elsewhere = self.elsewhere.borrow_mut();
        let enough = || Response::text("enough\n").status(Status::ACCEPTED);
        match self.plan {
            UploadPlan::Pause(after) => {
                let (pause, resume) = Pause::new();
                elsewhere.put(Job::Resume(resume), after.map_or(Due::Late, Due::After));
                Demand::Pause(pause)
            }
            UploadPlan::Early(len) if self.body.len() >= len => {
                self.stage = UploadStage::Over;
                Demand::Respond(enough().into())
            }
            UploadPlan::EarlyLater(len) if self.body.len() >= len => {
                self.stage = UploadStage::Over;
                let what = ReplyText::Text(202, "enough\n");
                Demand::Respond(elsewhere.promise(700, what, Ending::Kept))
            }
            UploadPlan::Panic(len) if self.body.len() >= len => {
                self.stage = UploadStage::Over;
                drop(elsewhere);
                std::panic::panic_any(StagedPanic)
            }
            UploadPlan::Count
            | UploadPlan::Early(_)
            | UploadPlan::EarlyLater(_)
            | UploadPlan::Panic(_)
            | UploadPlan::PanicAtEnd => Demand::More,
        }
    }

    fn on_end(mut self: Box<Self>) -> Outcome {
        self.stage = UploadStage::Over;
        if self.plan == UploadPlan::PanicAtEnd {
            std::panic::panic_any(StagedPanic);
        }
        Response::text(tally(&self.body)).into()
    }

    fn on_cut(mut self: Box<Self>) {
        self.stage = UploadStage::Over;
        self.elsewhere.borrow_mut().uploads_cut += 1;
    }
}
