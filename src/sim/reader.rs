//! The simulated reader: it pulls a request's body as its plan says, and checks what it gets.
#![expect(clippy::panic, reason = "some plans ask for a panic")]

use core::cell::Cell;
use core::future::poll_fn;
use core::task::Poll;
use core::time::Duration;
use std::cell::RefCell;
use std::rc::Rc;

use super::background::{Background, Due, Handled, Job};
use super::plan::{IntendedPanic, PullAction, WakeKind, checksum};
use crate::handler::Accept;
use crate::handler::outcome::{IntoOutcome as _, Outcome};
use crate::message::body::Body;
use crate::message::incoming::Incoming;
use crate::message::incoming_error::IncomingError;
use crate::message::local::LocalBody;
use crate::message::request::Head;
use crate::message::response::{Response, Status};
use crate::message::writer::{BodyWriter, Written};
use crate::task::{sleep, spawn};

/// What a handler returns that does this with the body.
pub(super) fn pull(
    head: &Head<'_>,
    background: &Rc<RefCell<Background>>,
    (id, action): (u64, PullAction),
) -> Accept {
    let background = Rc::clone(background);
    let echo = |body, background, room, len| {
        if id.is_multiple_of(2) {
            echo(body, room, len)
        } else {
            echo_here(body, background, room, len)
        }
    };
    Accept::pull(head, move |body| match action {
        PullAction::Echo(room) => echo(body, background, room, usize::MAX),
        PullAction::EchoSome(len) => echo(body, background, 100, len),
        PullAction::Count(_)
        | PullAction::Collect(_)
        | PullAction::Leave(_)
        | PullAction::Panic(_)
            if id % 4 == 1 =>
        {
            read_elsewhere(body, background, action).into_outcome()
        }
        PullAction::Count(_)
        | PullAction::Collect(_)
        | PullAction::Leave(_)
        | PullAction::Panic(_) => read(body, Counted::new(background), action).into_outcome(),
    })
}

/// Sends back the first `len` bytes as they arrive. The response begins at once.
fn echo(body: Incoming, room: usize, len: usize) -> Outcome {
    let echoed = Body::bounded_writer(room, move |out| echo_to(out, body, len));
    Response::bytes(echoed).into()
}

/// The same by a body that stays on this thread.
fn echo_here(
    body: Incoming,
    background: Rc<RefCell<Background>>,
    room: usize,
    len: usize,
) -> Outcome {
    let echoed = LocalBody::bounded_writer(room, move |out| {
        let counted = Counted::new(background);
        async move {
            let _counted = counted;
            echo_to(out, body, len).await
        }
    });
    Outcome::local(Response::bytes(""), echoed)
}

async fn echo_to(out: BodyWriter, mut body: Incoming, mut left: usize) -> Written {
    while left > 0
        && let Some(mut chunk) = body.chunk().await?
    {
        chunk.truncate(left);
        left -= chunk.len();
        out.send(chunk).await?;
    }
    Ok(())
}

/// Counts the futures that read, or the tasks.
pub(super) struct Counted(Rc<RefCell<Background>>, fn(&mut Handled) -> &mut usize);

impl Counted {
    pub(super) fn new(background: Rc<RefCell<Background>>) -> Self {
        Self::begin(background, |handled| &mut handled.futures)
    }

    fn task(background: Rc<RefCell<Background>>) -> Self {
        Self::begin(background, |handled| &mut handled.tasks)
    }

    fn begin(background: Rc<RefCell<Background>>, count: fn(&mut Handled) -> &mut usize) -> Self {
        *count(&mut background.borrow_mut().handled) += 1;
        Self(background, count)
    }

    pub(super) fn report(&self, violation: &str) {
        let violation = format!("a reader got {violation}");
        self.0.borrow_mut().violations.push(violation);
    }

    /// This many bytes came before the end of the peer's side, after request `id`.
    pub(super) fn note_end(&self, id: u64, len: usize) {
        self.0.borrow_mut().sockets_ended.push((id, len));
    }

    /// Waits once.
    pub(super) async fn wait(&self, wake: WakeKind) {
        if matches!(wake, WakeKind::Timer | WakeKind::Tick | WakeKind::Task) {
            return sleep(Duration::from_millis(30)).await;
        }
        let is_woken = Rc::new(Cell::new(false));
        let mut has_begun = false;
        poll_fn(|context| {
            if is_woken.get() {
                return Poll::Ready(());
            }
            if std::mem::replace(&mut has_begun, true) {
                return Poll::Pending;
            }
            let mut background = self.0.borrow_mut();
            let job = || Job::Wake(context.waker().clone(), Rc::clone(&is_woken));
            match wake {
                WakeKind::Elsewhere => background.add(job(), Due::After(30)),
                WakeKind::Own => {
                    is_woken.set(true);
                    context.waker().wake_by_ref();
                }
                WakeKind::Several => {
                    for delay in [20, 20, 25, 900] {
                        background.add(job(), Due::After(delay));
                    }
                }
                WakeKind::Late => background.add(job(), Due::Late),
                WakeKind::Timer | WakeKind::Tick | WakeKind::Task => {}
            }
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Ok(mut background) = self.0.try_borrow_mut() {
            *(self.1)(&mut background.handled) -= 1;
        }
    }
}

/// Reads in a task, which outlives the connection: it waits for ever if it does not learn that the connection is gone.
async fn read_elsewhere(
    body: Incoming,
    background: Rc<RefCell<Background>>,
    action: PullAction,
) -> Result<Response, IncomingError> {
    let counted = Counted::new(Rc::clone(&background));
    let place = Rc::new(Cell::new(Some(body)));
    let of_task = Rc::clone(&place);
    let running = Counted::task(background);
    let task = spawn(async move {
        let body = of_task.take()?;
        Some(read(body, running, action).await)
    });
    let response = match task {
        Ok(task) => task.await,
        Err(_) => Ok(None),
    };
    match (response, place.take()) {
        (Ok(Some(response)), _) => response,
        // There are too many tasks.
        (Ok(None), Some(body)) => read(body, counted, action).await,
        // The task has panicked, as its plan said.
        _ => std::panic::panic_any(IntendedPanic),
    }
}

async fn read(
    mut body: Incoming,
    counted: Counted,
    action: PullAction,
) -> Result<Response, IncomingError> {
    if let PullAction::Collect(len) = action {
        let body = body.collect(len).await?;
        return Ok(Response::text(checksum(&body)));
    }
    let mut taken = Vec::new();
    loop {
        match action {
            PullAction::Leave(len) if taken.len() >= len => {
                return Ok(Response::text("enough\n").status(Status::ACCEPTED));
            }
            PullAction::Panic(len) if taken.len() >= len => {
                std::panic::panic_any(IntendedPanic);
            }
            PullAction::Count(Some(wake)) => counted.wait(wake).await,
            PullAction::Count(None)
            | PullAction::Collect(_)
            | PullAction::Leave(_)
            | PullAction::Panic(_)
            | PullAction::Echo(_)
            | PullAction::EchoSome(_) => {}
        }
        let (least, most) = body.size_hint();
        let Some(chunk) = body.chunk().await? else {
            break;
        };
        if chunk.is_empty() {
            counted.report("an empty chunk");
        }
        if most.is_some_and(|most| most != least || most < chunk.len() as u64) {
            counted.report("more than was announced");
        }
        taken.extend_from_slice(&chunk);
    }
    if body.size_hint() != (0, Some(0)) {
        counted.report("less than was announced");
    }
    Ok(Response::text(checksum(&taken)))
}
