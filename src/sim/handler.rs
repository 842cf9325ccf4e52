//! The simulated handler: it does what each request's path says, and checks how the loop calls it.
#![expect(clippy::panic, reason = "some requests ask for a panic")]

use std::cell::RefCell;
use std::fs::File;
use std::io::Read as _;
use std::rc::Rc;

use super::background::{Background, Due, Job, ReplyKind};
use super::bodies;
use super::future::SimulatedFuture;
use super::plan::{
    Action, Completion, FILE_LEN, IntendedPanic, RequestPlan, UploadAction, checksum, pattern,
};
use super::reader::pull;
use super::socket;
use super::volatile;
use super::volatile_plan::{VolatileIn, VolatilePlan};
use crate::handler::outcome::Outcome;
use crate::handler::{Accept, Demand, Handler, Upgrade, Upload};
use crate::message::body::Body;
use crate::message::request::{Head, Request};
use crate::message::response::{Response, Status};
use crate::sync::pause::Pause;
use crate::sync::tally::count;

/// The handler of every simulation.
#[derive(Debug)]
pub(super) struct SimulatedHandler {
    pub(super) background: Rc<RefCell<Background>>,
    pub(super) file: Rc<File>,
}

impl SimulatedHandler {
    fn upgrade(&self, id: u64) -> Accept {
        let background = self.background.borrow();
        let upgraded = background.upgraded.clone();
        Accept::Upgrade(Upgrade::new("made-up", move |mut stream, rest| {
            let mut bytes = rest.to_vec();
            // What the loop had not read is still in the socket, followed by the end of the stream.
            let read = stream.read_to_end(&mut bytes);
            drop(read.and_then(|_| {
                upgraded
                    .send((id, bytes))
                    .map_err(|_| std::io::ErrorKind::Other.into())
            }));
        }))
    }
}

impl SimulatedHandler {
    fn volatile(&self, plan: VolatilePlan) -> Outcome {
        let waits = plan.waits;
        match plan.place {
            VolatileIn::Response(place) => volatile::respond(&self.background, (place, waits)),
            VolatileIn::Function(place) => volatile::yielded(&self.background, (place, waits)),
            // A socket without an upgrade.
            VolatileIn::Accept(_) => Response::text("no socket\n").into(),
        }
    }

    fn unplanned(&self, head: &Head<'_>) -> Accept {
        if head.path().contains("poison") {
            let violation = "bytes after a refusal were taken as a request".to_owned();
            self.background.borrow_mut().violations.push(violation);
        }
        Accept::Buffer
    }
}

impl Handler for SimulatedHandler {
    fn accept(&mut self, head: &Head<'_>) -> Accept {
        count(|tally| tally.requests += 1);
        let Ok(plan) = head.path().parse::<RequestPlan>() else {
            return self.unplanned(head);
        };
        if let Action::Volatile(VolatilePlan { place, waits }) = plan.action
            && let VolatileIn::Accept(place) = place
        {
            return volatile::accept(head, &self.background, (place, waits));
        }
        let mut background = self.background.borrow_mut();
        let times = background.accepted.entry(plan.id).or_default();
        *times += 1;
        if *times > 1 {
            let violation = format!("request {} was handled twice", plan.id);
            background.violations.push(violation);
        }
        let refusal = || Response::text("no\n").status(Status::FORBIDDEN);
        match plan.action {
            Action::Upload(action) => {
                drop(background);
                Accept::Stream(Box::new(SimulatedUpload {
                    background: Rc::clone(&self.background),
                    action,
                    body: Vec::new(),
                    state: UploadState::Running,
                }))
            }
            Action::Pull(action) => {
                drop(background);
                pull(head, &self.background, (plan.id, action))
            }
            Action::Limit(len) => Accept::BufferUpTo(len as u64),
            Action::Refuse => Accept::Respond(refusal().into()),
            Action::RefuseLater(after) => {
                let what = ReplyKind::Text(403, "no\n");
                Accept::Respond(background.promise(after, what, Completion::Done))
            }
            Action::PanicOnAccept => {
                drop(background);
                std::panic::panic_any(IntendedPanic)
            }
            Action::Upgrade => {
                drop(background);
                self.upgrade(plan.id)
            }
            Action::Socket(action, _) => {
                drop(background);
                socket::upgrade(&self.background, plan.id, action)
            }
            Action::Echo
            | Action::Busy(_)
            | Action::Large(_)
            | Action::Stream(..)
            | Action::Promise(..)
            | Action::PromisedStream(_)
            | Action::PromisedPromise
            | Action::Future(..)
            | Action::Burst(_)
            | Action::Writer(_)
            | Action::PanicOnCall
            | Action::File(..)
            | Action::FileUnreadable(_)
            | Action::CloseAfter
            | Action::NoContent
            | Action::ServerFields
            | Action::Volatile(_) => Accept::Buffer,
        }
    }

    fn call(&mut self, request: &Request<'_>) -> Outcome {
        let Ok(RequestPlan { id, action }) = request.path().parse::<RequestPlan>() else {
            return Response::new(Status::NOT_FOUND).into();
        };
        let mut background = self.background.borrow_mut();
        let response = match action {
            Action::Busy(millis) => {
                background.clock.busy += millis;
                Response::bytes(request.body_bytes())
            }
            Action::Echo | Action::Limit(_) | Action::Upgrade | Action::Socket(..) => {
                Response::bytes(request.body_bytes())
            }
            Action::Large(len) => Response::bytes(pattern(id, len)),
            Action::Stream(count, len, room, completion) => {
                Response::bytes(background.stream(pattern(id, count * len), len, room, completion))
            }
            Action::Writer(writer) => {
                drop(background);
                return bodies::response(&self.background, id, writer);
            }
            Action::Volatile(plan) => {
                drop(background);
                return self.volatile(plan);
            }
            Action::Burst(count) => Response::bytes(background.burst(pattern(id, count))),
            Action::Promise(after, completion) => {
                return background.promise(after, ReplyKind::Pattern(id, 99), completion);
            }
            Action::PromisedStream(len) => {
                return background.promise(30, ReplyKind::Stream(id, len), Completion::Done);
            }
            Action::PromisedPromise => {
                return background.promise(30, ReplyKind::Promise(id, 99), Completion::Done);
            }
            Action::Future(waits, wake, end) => {
                drop(background);
                let of = (id, waits);
                return Outcome::future(SimulatedFuture::new(&self.background, of, wake, end));
            }
            Action::File(claimed, len) => {
                let start = (FILE_LEN - len) as u64;
                match self.file.try_clone() {
                    Ok(file) => Response::bytes(Body::file(file, start..start + claimed as u64)),
                    Err(_) => Response::new(Status::SERVICE_UNAVAILABLE),
                }
            }
            // A directory can be opened but not read.
            Action::FileUnreadable(len) => match File::open("/") {
                Ok(folder) => Response::bytes(Body::file(folder, 0..len as u64)),
                Err(_) => Response::new(Status::SERVICE_UNAVAILABLE),
            },
            Action::CloseAfter => Response::text("closing\n").close(),
            Action::NoContent => Response::new(Status::NO_CONTENT),
            Action::ServerFields => Response::text("mine\n")
                .header("Content-Length", "99")
                .header("Connection", "keep-alive"),
            Action::Upload(_)
            | Action::Pull(_)
            | Action::Refuse
            | Action::RefuseLater(_)
            | Action::PanicOnAccept
            | Action::PanicOnCall => {
                drop(background);
                std::panic::panic_any(IntendedPanic)
            }
        };
        response.into()
    }
}

/// An upload ends in exactly one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UploadState {
    Running,
    Over,
}

struct SimulatedUpload {
    background: Rc<RefCell<Background>>,
    action: UploadAction,
    body: Vec<u8>,
    state: UploadState,
}

impl Drop for SimulatedUpload {
    fn drop(&mut self) {
        if self.state == UploadState::Running
            && let Ok(mut background) = self.background.try_borrow_mut()
        {
            background
                .violations
                .push("an upload was dropped without being notified".to_owned());
        }
    }
}

impl Upload for SimulatedUpload {
    fn on_piece(&mut self, piece: &[u8]) -> Demand {
        if piece.is_empty() || self.state == UploadState::Over {
            let violation = "an upload was called with an empty piece, or after its end".to_owned();
            self.background.borrow_mut().violations.push(violation);
        }
        count(|tally| tally.pieces += 1);
        self.body.extend_from_slice(piece);
        let mut background = self.background.borrow_mut();
        let enough = || Response::text("enough\n").status(Status::ACCEPTED);
        match self.action {
            UploadAction::Pause(after) => {
                let (pause, resume) = Pause::new();
                background.add(Job::Resume(resume), after.map_or(Due::Late, Due::After));
                Demand::Pause(pause)
            }
            UploadAction::Early(len) if self.body.len() >= len => {
                self.state = UploadState::Over;
                Demand::Respond(enough().into())
            }
            UploadAction::EarlyLater(len) if self.body.len() >= len => {
                self.state = UploadState::Over;
                let what = ReplyKind::Text(202, "enough\n");
                Demand::Respond(background.promise(700, what, Completion::Done))
            }
            UploadAction::Panic(len) if self.body.len() >= len => {
                self.state = UploadState::Over;
                drop(background);
                std::panic::panic_any(IntendedPanic)
            }
            UploadAction::Count
            | UploadAction::Early(_)
            | UploadAction::EarlyLater(_)
            | UploadAction::Panic(_)
            | UploadAction::PanicAtEnd => Demand::More,
        }
    }

    fn on_end(mut self: Box<Self>) -> Outcome {
        self.state = UploadState::Over;
        if self.action == UploadAction::PanicAtEnd {
            std::panic::panic_any(IntendedPanic);
        }
        Response::text(checksum(&self.body)).into()
    }

    fn on_cut(mut self: Box<Self>) {
        self.state = UploadState::Over;
        self.background.borrow_mut().handled.uploads_cut += 1;
    }
}
