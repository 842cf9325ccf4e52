//! The simulated bodies that code produces: async code that writes, or a function that is polled, on the loop's thread alone or not.
#![expect(clippy::panic, reason = "some plans ask for a panic")]

use core::task::{Context, Poll};
use std::cell::RefCell;
use std::rc::Rc;

use super::background::Background;
use super::plan::{IntendedPanic, pattern};
use super::writer::{Watch, await_wake, enter, trailers, watched};
use super::writer_plan::{BodyForm, WriterEnd, WriterPlan};
use crate::Bytes;
use crate::handler::outcome::Outcome;
use crate::message::body::Body;
use crate::message::local::LocalBody;
use crate::message::polled::Frame;
use crate::message::response::Response;

/// A response whose body code produces.
pub(super) fn response(background: &Rc<RefCell<Background>>, id: u64, plan: WriterPlan) -> Outcome {
    enter(background);
    let frames = || Frames::new(id, plan);
    let body = match plan.form {
        BodyForm::Writer => Ok(Body::bounded_writer(plan.room, watched(id, plan))),
        BodyForm::Pieces => {
            let mut frames = frames();
            Ok(Body::poll_fn(move |context| frames.poll_piece(context)))
        }
        BodyForm::Frames => {
            let mut frames = frames();
            Ok(Body::poll_frames(move |context| frames.poll(context)))
        }
        BodyForm::LocalWriter => Err(LocalBody::bounded_writer(plan.room, watched(id, plan))),
        BodyForm::LocalPieces => {
            let mut frames = frames();
            Err(LocalBody::poll_fn(move |context| {
                frames.poll_piece(context)
            }))
        }
        BodyForm::LocalFrames => {
            let mut frames = frames();
            Err(LocalBody::poll_frames(move |context| frames.poll(context)))
        }
    };
    let response = match plan.announced() {
        Some(_) => Response::text(""),
        None => Response::text("").header("trailer", "x-id"),
    };
    match (body, plan.announced()) {
        (Ok(body), Some(len)) => response.body(body.with_len(len)).into(),
        (Ok(body), None) => response.body(body).into(),
        (Err(local), Some(len)) => Outcome::local(response, local.with_len(len)),
        (Err(local), None) => Outcome::local(response, local),
    }
}

/// What a function yields that fails.
struct Failed;

type Next = Option<Result<Frame, Failed>>;

/// Whether a function has waited for what it yields next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Due,
    Begun,
}

/// Yields the pieces of a body.
struct Frames {
    id: u64,
    plan: WriterPlan,
    progress: Progress,
    wait: Wait,
    watch: Watch,
}

/// What a function has yielded.
struct Progress {
    /// Pieces without a byte that come first: they are ignored.
    empty_left: u64,
    yielded: usize,
}

impl Frames {
    fn new(id: u64, plan: WriterPlan) -> Self {
        Self {
            id,
            plan,
            progress: Progress {
                empty_left: id % 3,
                yielded: 0,
            },
            wait: Wait::Due,
            watch: Watch::begin(id, plan.end),
        }
    }

    fn poll_piece(&mut self, context: &Context<'_>) -> Poll<Option<Result<Bytes, Failed>>> {
        self.poll(context).map(|next| match next {
            Some(Ok(Frame::Data(bytes))) => Some(Ok(bytes)),
            Some(Ok(Frame::Trailers(_))) | None => None,
            Some(Err(failed)) => Some(Err(failed)),
        })
    }

    fn poll(&mut self, context: &Context<'_>) -> Poll<Next> {
        let Self {
            id,
            plan,
            progress,
            wait,
            watch,
        } = self;
        watch.poll(
            context,
            |context| {
                if *wait == Wait::Due
                    && let Some(wake) = plan.wake
                {
                    *wait = Wait::Begun;
                    await_wake(wake, context.waker());
                    return Poll::Pending;
                }
                *wait = Wait::Due;
                Poll::Ready(next(*id, *plan, progress))
            },
            |next| !matches!(next, Some(Ok(Frame::Data(_)))),
        )
    }
}

fn next(id: u64, plan: WriterPlan, progress: &mut Progress) -> Next {
    if progress.empty_left > 0 {
        progress.empty_left -= 1;
        return Some(Ok(Frame::Data(Bytes::new())));
    }
    let rest = pattern(id, plan.len()).split_off(progress.yielded);
    if !rest.is_empty() {
        progress.yielded += plan.len;
        return Some(Ok(Frame::Data(Bytes::copy_from_slice(&rest[..plan.len]))));
    }
    match plan.end {
        WriterEnd::Return
        | WriterEnd::Finish
        | WriterEnd::Exact
        | WriterEnd::Short
        | WriterEnd::Long
        | WriterEnd::PanicInDrop => None,
        WriterEnd::Trailers | WriterEnd::ExactTrailers => Some(Ok(Frame::Trailers(trailers(id)))),
        WriterEnd::Error | WriterEnd::DropWriter => Some(Err(Failed)),
        WriterEnd::Panic => std::panic::panic_any(IntendedPanic),
    }
}
