//! Bodies that stay on their thread, and what stands for them in a response.

use core::fmt;
use core::mem;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;

use crate::limits::WRITER_LEN_MAX;
use crate::message::body::{Arriving, Attachment, Body, Content, Piece, PieceSource};
use crate::message::counted::announced;
use crate::message::polled::{Frame, Function};
use crate::message::writer::{BodyWriter, Unwritten, Written};
use crate::sync::contain::contain;
use crate::sync::{StaticMutex, StaticMutexGuard};

/// A body whose code need not be `Send`: it is polled where it was made, on the loop that called the handler. It becomes part of a
/// response by [`Outcome::local`](crate::handler::Outcome::local).
///
/// Each constructor is that of [`Body`] with the same name, but for `Send`. On a thread of a [pool](crate::handler::Blocking) the
/// body is polled by that thread, which then serves no other request until the body has ended or the peer is gone.
///
/// ```
/// use std::cell::RefCell;
/// use std::rc::Rc;
///
/// use coldstart::handler::Outcome;
/// use coldstart::message::LocalBody;
/// use coldstart::{Response, TestRequest};
///
/// let sent = Rc::new(RefCell::new(0));
/// let response = TestRequest::get("/").run(|_| {
///     let sent = Rc::clone(&sent);
///     let body = LocalBody::writer(async move |out| {
///         for word in ["one ", "two\n"] {
///             out.send(word).await?;
///             *sent.borrow_mut() += 1;
///         }
///         Ok(())
///     });
///     Outcome::local(Response::text(""), body)
/// });
/// assert_eq!((response.text().as_str(), *sent.borrow()), ("one two\n", 2));
/// ```
pub struct LocalBody(Box<dyn Arriving>);

impl LocalBody {
    /// As [`Body::poll_fn`], of a function that need not be `Send`.
    #[must_use]
    pub fn poll_fn<E>(
        poll: impl FnMut(&mut Context<'_>) -> Poll<Option<Result<Bytes, E>>> + 'static,
    ) -> Self {
        Self(Box::new(Function::new(poll)))
    }

    /// As [`Body::poll_frames`], of a function that need not be `Send`.
    #[must_use]
    pub fn poll_frames<E>(
        poll: impl FnMut(&mut Context<'_>) -> Poll<Option<Result<Frame, E>>> + 'static,
    ) -> Self {
        Self(Box::new(Function::new(poll)))
    }

    /// As [`Body::writer`], of a closure that need not be `Send`.
    #[must_use]
    pub fn writer<F>(write: impl FnOnce(BodyWriter) -> F + 'static) -> Self
    where
        F: Future<Output = Written> + 'static,
    {
        Self::bounded_writer(WRITER_LEN_MAX, write)
    }

    /// As [`Body::bounded_writer`], of a closure that need not be `Send`.
    #[must_use]
    pub fn bounded_writer<F>(
        bytes_max: usize,
        write: impl FnOnce(BodyWriter) -> F + 'static,
    ) -> Self
    where
        F: Future<Output = Written> + 'static,
    {
        Self(Box::new(Unwritten::new(bytes_max, write)))
    }

    /// Announces its length in bytes, as [`Body::with_len`].
    #[must_use]
    pub fn with_len(self, len: u64) -> Self {
        Self(announced(self.0, len))
    }

    /// Keeps it on this thread. Returns what stands for it in a response.
    pub(crate) fn into_body(self) -> Body {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let len = self.0.len();
        let given_up = KEPT.try_with(|kept| {
            kept.bodies.borrow_mut().insert(number, self.0);
            kept.drop_given_up();
            Arc::clone(&kept.given_up)
        });
        // Without the map the thread ends, and the body is dropped.
        Body(Content::Arriving(Box::new(Substitute {
            place: given_up.ok().map(|given_up| (number, given_up)),
            len,
        })))
    }
}

impl fmt::Debug for LocalBody {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LocalBody")
            .field("len", &self.0.len())
            .finish_non_exhaustive()
    }
}

/// How many were kept, on all threads: no two have the same number.
static COUNT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static KEPT: Kept = Kept::default();
}

/// The bodies of responses that this thread has made and not yet begun to send.
#[derive(Default)]
struct Kept {
    bodies: RefCell<BTreeMap<usize, Box<dyn Arriving>>>,
    given_up: Arc<GivenUp>,
}

/// The numbers of bodies whose responses other threads have dropped, or begun to send. Their own thread drops them.
type GivenUp = StaticMutex<Vec<usize>>;

fn lock(given_up: &GivenUp) -> StaticMutexGuard<'_, Vec<usize>> {
    // No foreign code runs under this lock, so a poisoned one is still whole.
    given_up.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Kept {
    /// Drops what other threads have given up, whenever a body is made: so no more of them gather than are made in between.
    fn drop_given_up(&self) {
        let numbers = mem::take(&mut *lock(&self.given_up));
        for number in numbers {
            let body = self.bodies.borrow_mut().remove(&number);
            // A panic would hit the request that is handled now.
            contain(|| drop(body));
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // A panic here would end the process.
        for (_, body) in mem::take(self.bodies.get_mut()) {
            contain(|| drop(body));
        }
    }
}

/// Stands for a [`LocalBody`]. It moves with its response, which is `Send`; only on the body's thread does it lead to the body.
struct Substitute {
    /// `None` once it is taken. The number of the body, and where its thread learns that it is given up.
    place: Option<(usize, Arc<GivenUp>)>,
    len: Option<u64>,
}

impl Substitute {
    fn take(&mut self) -> Option<Box<dyn Arriving>> {
        let (number, given_up) = self.place.take()?;
        let body = KEPT.try_with(|kept| kept.bodies.borrow_mut().remove(&number));
        // Without the map the thread ends, and drops the body.
        let body = body.ok().flatten();
        if body.is_none() {
            lock(&given_up).push(number);
        }
        body
    }
}

impl Drop for Substitute {
    fn drop(&mut self) {
        drop(self.take());
    }
}

impl Arriving for Substitute {
    fn len(&self) -> Option<u64> {
        self.len
    }

    fn take_local(&mut self) -> Option<Box<dyn Arriving>> {
        self.take()
    }

    fn attach(mut self: Box<Self>, to: Attachment<'_>) -> Box<dyn PieceSource> {
        match self.take() {
            Some(body) => body.attach(to),
            None => self,
        }
    }
}

/// On another thread than the body's.
impl PieceSource for Substitute {
    fn next(&mut self, _: &mut usize) -> Piece {
        Piece::Cut
    }
}

#[cfg(test)]
mod tests {
    use core::task::Poll;
    use std::rc::Rc;
    use std::sync::Arc;

    use super::{Attachment, Body, Bytes, Content, KEPT, LocalBody, Piece};
    use crate::handler::Outcome;
    use crate::sync::memory::Memory;
    use crate::sync::notify::Notify;
    use crate::{Response, Status, TestRequest};

    fn once(of: &Rc<()>) -> LocalBody {
        let mut of = Some(Rc::clone(of));
        LocalBody::poll_fn(move |_| {
            Poll::Ready(of.take().map(|_| Ok::<_, ()>(Bytes::from("local"))))
        })
    }

    fn first_piece(body: Body) -> Piece {
        let Content::Arriving(body) = body.0 else {
            return Piece::Pending;
        };
        let mut source = body.attach(Attachment {
            notify: Notify::new(|| {}),
            memory: &Arc::new(Memory::new(None, || None)),
            fields: &[],
        });
        source.next(&mut 1)
    }

    #[test]
    fn a_body_is_found_on_its_thread_alone_and_dropped_with_its_response() {
        let held = Rc::new(());
        let (here, there) = (once(&held).into_body(), once(&held).into_body());
        assert!(matches!(first_piece(here), Piece::Bytes(_)));
        std::thread::scope(|scope| {
            scope.spawn(move || assert!(matches!(first_piece(there), Piece::Cut)));
        });
        // What another thread has given up is dropped when this one makes the next.
        assert_eq!(Rc::strong_count(&held), 2);
        drop(once(&held).into_body());
        assert_eq!(Rc::strong_count(&held), 1);
        let invalid = Response::text("").header("x-a", String::from("\n"));
        drop(Outcome::local(invalid, once(&held)));
        assert_eq!(Rc::strong_count(&held), 1);
        assert!(KEPT.with(|kept| kept.bodies.borrow().is_empty()));
    }

    #[test]
    fn bodies_that_other_threads_drop_do_not_gather() {
        /// Its drop makes and drops another body, and panics.
        struct Loud(Rc<()>);
        impl Drop for Loud {
            fn drop(&mut self) {
                drop(once(&self.0).into_body());
                std::panic::panic_any("on purpose");
            }
        }
        let held = Rc::new(());
        for _ in 0..10 {
            let loud = Loud(Rc::clone(&held));
            let body = LocalBody::poll_fn(move |_| {
                let _ = &loud;
                Poll::Ready(None::<Result<Bytes, ()>>)
            });
            let body = body.into_body();
            std::thread::scope(|scope| drop(scope.spawn(move || drop(body))));
            let (kept, counted) = (
                KEPT.with(|kept| kept.bodies.borrow().len()),
                Rc::strong_count(&held),
            );
            assert!(kept <= 1 && counted <= 2, "{kept} bodies");
        }
    }

    #[test]
    fn a_test_runs_what_an_async_handler_returns() {
        let held = Rc::new(());
        let response = TestRequest::get("/").run(|_| {
            let body = once(&held).with_len(5);
            async move {
                crate::yield_now().await;
                let response = Response::text("").status(Status::CREATED);
                let outcome = Outcome::local(response, body);
                let known = outcome.response().map(|response| response.content().len());
                assert_eq!(known, Some(Some(5)));
                outcome
            }
        });
        assert_eq!(
            (response.status().code(), response.text().as_str()),
            (201, "local")
        );
        assert_eq!(Rc::strong_count(&held), 1);
    }
}
