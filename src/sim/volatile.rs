//! Values of the user's that panic when they are dropped, in each place where the server takes one.
#![expect(clippy::panic, reason = "that is what they are for")]

use core::fmt;
use core::future::poll_fn;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::cell::RefCell;
use std::error::Error;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Wake;

use super::background::Background;
use super::plan::IntendedPanic;
use super::volatile_plan::{InAccept, InFunction, InResponse};
use super::writer::{await_wake, enter, reached, wait};
use super::writer_plan::WakeKind;
use crate::Bytes;
use crate::handler::outcome::{IntoOutcome as _, Outcome};
use crate::handler::{Accept, Demand, Upgrade, Upload};
use crate::message::body::Body;
use crate::message::incoming::Incoming;
use crate::message::local::LocalBody;
use crate::message::request::Head;
use crate::message::response::Response;
use crate::message::writer::Written;
use crate::task::spawn;

/// Panics when it is dropped.
struct Volatile(());

impl Volatile {
    fn new() -> Self {
        if let Some(background) = reached() {
            background.borrow_mut().handled.volatile += 1;
        }
        Self(())
    }
}

impl Drop for Volatile {
    fn drop(&mut self) {
        if let Some(background) = reached()
            && let Ok(mut background) = background.try_borrow_mut()
        {
            background.handled.volatile -= 1;
        }
        std::panic::panic_any(IntendedPanic)
    }
}

/// Memory that panics when it is freed.
struct Piece {
    bytes: Vec<u8>,
    _held: Volatile,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn piece(len: usize) -> Bytes {
    Bytes::from_owner(Piece {
        bytes: vec![b'v'; len],
        _held: Volatile::new(),
    })
}

/// An error that panics when it is dropped.
struct Failed {
    _held: Volatile,
}

impl Failed {
    fn new() -> Self {
        let _held = Volatile::new();
        Self { _held }
    }
}

impl Error for Failed {}

impl fmt::Debug for Failed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Failed")
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("failed")
    }
}

/// Panics after it has woken another waker. It does not panic again when it is dropped.
struct Alarming(Waker);

impl Wake for Alarming {
    fn wake(self: Arc<Self>) {
        self.0.wake_by_ref();
        std::panic::panic_any(IntendedPanic)
    }
}

/// A future that panics, and then again when it is dropped.
struct Panicking<T> {
    wait: Pin<Box<dyn Future<Output = ()>>>,
    output: PhantomData<fn() -> T>,
    _held: Volatile,
}

impl<T> Panicking<T> {
    fn new(waits: usize) -> Self {
        Self {
            wait: Box::pin(pause(waits)),
            output: PhantomData,
            _held: Volatile::new(),
        }
    }
}

impl<T> Future for Panicking<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match self.wait.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => std::panic::panic_any(IntendedPanic),
        }
    }
}

async fn pause(waits: usize) {
    for _ in 0..waits {
        wait(Some(WakeKind::Elsewhere)).await;
    }
}

/// What a handler decides that takes the body, or the connection.
pub(super) fn accept(
    head: &Head<'_>,
    background: &Rc<RefCell<Background>>,
    (place, waits): (InAccept, usize),
) -> Accept {
    enter(background);
    match place {
        InAccept::Upload => Accept::Stream(Box::new(HeldUpload {
            _held: Volatile::new(),
        })),
        InAccept::Socket => {
            let held = Volatile::new();
            Accept::Upgrade(Upgrade::on_loop(
                "made-up",
                move |reader, writer| async move {
                    let _kept = (held, reader, writer);
                    pause(waits).await;
                    Ok(())
                },
            ))
        }
        InAccept::PanickingSocket => Accept::Upgrade(Upgrade::on_loop("made-up", move |_, _| {
            Panicking::<Written>::new(waits)
        })),
        InAccept::PanickingReader => Accept::pull(head, move |_| Panicking::<Response>::new(waits)),
        InAccept::Waker => Accept::pull(head, read_with_a_waker_that_panics),
        InAccept::Reader => {
            let held = Volatile::new();
            Accept::pull(head, move |mut body| async move {
                let _held = held;
                while let Ok(Some(_)) = body.chunk().await {
                    pause(waits).await;
                }
                "read\n"
            })
        }
    }
}

async fn read_with_a_waker_that_panics(mut body: Incoming) -> &'static str {
    poll_fn(|context| {
        let waker = Waker::from(Arc::new(Alarming(context.waker().clone())));
        loop {
            match body.poll_chunk(&mut Context::from_waker(&waker)) {
                Poll::Ready(Ok(Some(_))) => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
    "read\n"
}

/// What a handler returns.
pub(super) fn respond(
    background: &Rc<RefCell<Background>>,
    (place, waits): (InResponse, usize),
) -> Outcome {
    enter(background);
    match place {
        InResponse::Future => {
            let held = Volatile::new();
            Outcome::future(async move {
                let _held = held;
                pause(waits).await;
                "future\n"
            })
        }
        InResponse::PanickingFuture => Panicking::<Response>::new(waits).into_outcome(),
        InResponse::Writer => {
            let held = Volatile::new();
            Response::bytes(Body::writer(move |out| async move {
                let _held = held;
                out.send(piece(10)).await?;
                pause(waits).await;
                Ok(())
            }))
            .into()
        }
        InResponse::WriterError => Response::bytes(Body::writer(move |_| async move {
            pause(waits).await;
            Err(Failed::new().into())
        }))
        .into(),
        InResponse::PanickingWriter => {
            Response::bytes(Body::writer(move |_| Panicking::<Written>::new(waits))).into()
        }
        InResponse::Whole(len) => Response::bytes(piece(len)).into(),
        InResponse::Task => {
            let held = Volatile::new();
            let task = spawn(async move {
                pause(waits).await;
                held
            });
            drop(task);
            Response::text("task\n").into()
        }
    }
}

/// A body that a function yields: a piece, perhaps a wait, and the end.
pub(super) fn yielded(
    background: &Rc<RefCell<Background>>,
    (place, mut waits): (InFunction, usize),
) -> Outcome {
    enter(background);
    let held = Volatile::new();
    let mut steps = 0;
    let poll = move |context: &mut Context<'_>| {
        let _held = &held;
        steps += 1;
        match place {
            InFunction::Piece(len) if steps == 1 => Poll::Ready(Some(Ok(piece(len)))),
            _ if waits > 0 => {
                waits -= 1;
                await_wake(WakeKind::Elsewhere, context.waker());
                Poll::Pending
            }
            InFunction::Panicking => std::panic::panic_any(IntendedPanic),
            InFunction::Error => Poll::Ready(Some(Err(Failed::new()))),
            InFunction::Piece(_) | InFunction::Local => Poll::Ready(None),
        }
    };
    if place == InFunction::Local {
        return Outcome::local(Response::bytes(""), LocalBody::poll_fn(poll));
    }
    Response::bytes(Body::poll_fn(poll)).into()
}

struct HeldUpload {
    _held: Volatile,
}

impl Upload for HeldUpload {
    fn on_piece(&mut self, _: &[u8]) -> Demand {
        Demand::More
    }

    fn on_end(self: Box<Self>) -> Outcome {
        Response::text("upload\n").into()
    }
}
