//! Bodies that async code writes, on the loop of their connection.

use core::error::Error;
use core::fmt;
use core::future::poll_fn;
use core::marker::PhantomData;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll};

use bytes::Bytes;

use crate::current_request::CurrentRequest;
use crate::limits::WRITER_LEN_MAX;
use crate::message::body::{Arriving, Attachment, Body, Content, Piece, PieceSource};
use crate::message::channel::{BodySender, BodySource, Pulse, SenderState, channel};
use crate::message::peer::PeerState;
use crate::message::polled::{PollPiece, Polled};
use crate::message::send_error::SendError;
use crate::message::trailers::Trailers;
use crate::sync::contain::contain;

/// How the code of a [`Body::writer`] ends.
///
/// ```
/// use coldstart::message::{BodyWriter, Written};
///
/// async fn numbers(out: BodyWriter) -> Written {
///     for text in ["1", "2"] {
///         let number: u32 = text.parse()?; // Any error may leave by `?`.
///         out.send(format!("{number}\n")).await?;
///     }
///     Ok(())
/// }
/// # let response = coldstart::TestRequest::get("/").run(|_| coldstart::Body::writer(numbers));
/// # assert_eq!(response.text(), "1\n2\n");
/// ```
pub type Written = Result<(), Box<dyn Error>>;

impl Body {
    /// A body that async code writes, without a thread and without a runtime. At most 64 KiB wait for the peer in between:
    /// [`BodyWriter::send`] waits for room.
    ///
    /// `write` is called on the loop of the connection once the head is written, and its future is polled there as those of
    /// [async handlers](crate::handler#async-handlers) are. So `write` is `Send`, while the future need not be. No future
    /// is made for a response without a body, such as one to HEAD.
    ///
    /// | the future | the response |
    /// | --- | --- |
    /// | returns `Ok` | is complete |
    /// | returns an error | is cut: the peer sees that it is incomplete |
    /// | panics | the same, and [`ServerEvent::HandlerPanicked`](crate::server::ServerEvent::HandlerPanicked) is reported |
    /// | drops the writer, then waits for something | is cut, and the future is dropped |
    /// | calls [`BodyWriter::finish`] | is complete, and the future is dropped once all of it is on its way |
    ///
    /// The future is also dropped when the peer has gone. `?` passes on any error; nothing reports it, so log what matters.
    ///
    /// ```
    /// use coldstart::{Body, Response, TestRequest};
    ///
    /// let response = TestRequest::get("/").run(|_| {
    ///     Response::text(Body::writer(async |out| {
    ///         for number in 1..=3 {
    ///             // Here it may wait for a database, a timer, …
    ///             out.send(format!("line {number}\n")).await?;
    ///         }
    ///         Ok(())
    ///     }))
    /// });
    /// assert_eq!(response.text(), "line 1\nline 2\nline 3\n");
    /// ```
    #[must_use]
    pub fn writer<F>(write: impl FnOnce(BodyWriter) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Written> + 'static,
    {
        Self::bounded_writer(WRITER_LEN_MAX, write)
    }

    /// As [`writer`](Self::writer), with a bound of its own: at most `bytes_max` bytes wait, as in a [`channel`](Self::channel).
    ///
    /// ```
    /// use coldstart::{Body, Response, TestRequest};
    ///
    /// let response = TestRequest::get("/").run(|_| {
    ///     // At most 4 KiB wait for the reader, in place of 64.
    ///     Response::text(Body::bounded_writer(4096, async |out| Ok(out.send("hello\n").await?)))
    /// });
    /// assert_eq!(response.text(), "hello\n");
    /// ```
    #[must_use]
    pub fn bounded_writer<F>(
        bytes_max: usize,
        write: impl FnOnce(BodyWriter) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Written> + 'static,
    {
        Self(Content::Arriving(Box::new(Unwritten::new(
            bytes_max, write,
        ))))
    }
}

/// What a [`Body::writer`] writes to.
///
/// ```
/// use coldstart::message::{BodyWriter, Written};
/// use coldstart::{Body, Response, TestRequest, yield_now};
///
/// async fn primes(out: BodyWriter) -> Written {
///     for number in 2..20_u32 {
///         if (2..number).all(|other| number % other > 0) {
///             out.send(format!("{number}\n")).await?;
///         }
///         yield_now().await; // It computes: others have their turn.
///     }
///     Ok(())
/// }
///
/// let response = TestRequest::get("/").run(|_| Response::text(Body::writer(primes)));
/// assert_eq!(response.text(), "2\n3\n5\n7\n11\n13\n17\n19\n");
/// ```
pub struct BodyWriter {
    sender: BodySender,
    /// It stays on its loop, which does not wait for what other threads do with it.
    local: PhantomData<*const ()>,
}

impl BodyWriter {
    /// Sends a piece; waits while it has no room beside the bytes that wait for the peer. An empty piece is ignored. What is sent
    /// before the future waits goes out in one write. Only one call may wait at a time.
    ///
    /// # Errors
    ///
    /// [`SendError::PeerGone`] if the response is over.
    pub async fn send(&self, piece: impl Into<Bytes>) -> Result<(), SendError> {
        let mut piece: Bytes = piece.into();
        poll_fn(|context| self.poll_send(&mut piece, context)).await
    }

    /// Sends the piece once there is room for it; until then it stays with the caller.
    pub(crate) fn poll_send(
        &self,
        piece: &mut Bytes,
        context: &Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        self.sender.poll_send(piece, context)
    }

    /// Adds a part to what waits: parts that follow one another are taken as one piece.
    pub(crate) fn poll_append(
        &self,
        len: usize,
        context: &Context<'_>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Poll<Result<(), SendError>> {
        self.sender.poll_append(len, context, write)
    }

    /// What sends beside it, on the same loop.
    pub(crate) fn pulse(&self) -> Pulse {
        self.sender.pulse()
    }

    /// Whether the peer is still connected.
    #[must_use]
    pub fn peer(&self) -> PeerState {
        self.sender.peer()
    }

    /// Ends the body: it is complete, as when the future returns `Ok`.
    pub fn finish(self) {
        self.sender.finish();
    }

    /// Ends the body with trailer fields, if they may be sent: see [`Trailers`].
    pub fn finish_with(self, trailers: Trailers) {
        self.sender.finish_with(trailers);
    }
}

impl fmt::Debug for BodyWriter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("BodyWriter").finish_non_exhaustive()
    }
}

/// A body whose future is not made yet.
pub(crate) struct Unwritten<W> {
    write: W,
    bytes_max: usize,
    current: Option<Box<CurrentRequest>>,
}

impl<W> Unwritten<W> {
    pub(crate) fn new(bytes_max: usize, write: W) -> Self {
        Self {
            write,
            bytes_max,
            current: CurrentRequest::kept(),
        }
    }
}

impl<W, F> Arriving for Unwritten<W>
where
    W: FnOnce(BodyWriter) -> F + 'static,
    F: Future<Output = Written> + 'static,
{
    fn attach(self: Box<Self>, to: Attachment<'_>) -> Box<dyn PieceSource> {
        let notify = to.notify.clone();
        let channel = channel(self.bytes_max);
        let writing = Writing::new(self.write, channel, Output::Whole, to);
        Box::new(Polled::new(writing, notify, self.current))
    }
}

/// A body that is being written.
pub(crate) struct Writing<W, F> {
    source: BodySource,
    code: Code<W, F>,
    turn: Turn,
    output: Output,
}

/// What the end of the output means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// The code is over as well.
    Whole,
    /// The code goes on: it is one direction of two.
    Half,
    /// The same, and the loop knows of the end.
    HalfEnded,
}

enum Code<W, F> {
    New(W, BodyWriter),
    Running(Pin<Box<F>>),
    Over,
}

/// What follows an empty queue.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// The code: it was woken.
    Queue,
    /// A wait: the code was polled before.
    Code,
}

impl<W, F> Writing<W, F>
where
    W: FnOnce(BodyWriter) -> F,
    F: Future<Output = Written>,
{
    /// On the loop: news is notified, and what waits counts in the memory.
    pub(crate) fn new(
        write: W,
        (sender, source): (BodySender, BodySource),
        output: Output,
        to: Attachment<'_>,
    ) -> Self {
        source.attach(to);
        let local = PhantomData;
        Self {
            source,
            code: Code::New(write, BodyWriter { sender, local }),
            turn: Turn::Queue,
            output,
        }
    }

    fn next_in_queue(&mut self) -> Piece {
        match self.source.take() {
            Piece::Finished(_) | Piece::Cut if self.goes_on() => {
                match mem::replace(&mut self.output, Output::HalfEnded) {
                    Output::Whole | Output::Half => Piece::Finished(None),
                    Output::HalfEnded => Piece::Pending,
                }
            }
            piece @ (Piece::Bytes(_)
            | Piece::Pending
            | Piece::Finished(_)
            | Piece::Cut
            | Piece::WrongLength
            | Piece::Broken) => piece,
        }
    }

    fn poll_code(&mut self, context: &mut Context<'_>) -> Option<SenderState> {
        #[cfg(feature = "_sim")]
        crate::sync::tally::count(|tally| tally.futures += 1);
        if matches!(self.code, Code::New(..))
            && let Code::New(write, writer) = mem::replace(&mut self.code, Code::Over)
        {
            self.code = Code::Running(Box::pin(write(writer)));
        }
        // In its place: while a panic of it unwinds, its drop may not panic as well.
        let Code::Running(future) = &mut self.code else {
            return None;
        };
        let end = match future.as_mut().poll(context) {
            Poll::Pending => return None,
            Poll::Ready(Ok(())) => SenderState::Finished,
            Poll::Ready(Err(error)) => {
                let _ = contain(|| drop(error));
                SenderState::Dropped
            }
        };
        self.code = Code::Over;
        Some(end)
    }
}

impl<W, F> PollPiece for Writing<W, F>
where
    W: FnOnce(BodyWriter) -> F,
    F: Future<Output = Written>,
{
    fn take_waiting(&mut self) -> Option<Piece> {
        match self.next_in_queue() {
            Piece::Pending => None,
            piece @ (Piece::Bytes(_)
            | Piece::Finished(_)
            | Piece::Cut
            | Piece::WrongLength
            | Piece::Broken) => Some(piece),
        }
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Piece> {
        if self.turn == Turn::Queue {
            self.source.begin_look();
            let end = self.poll_code(context);
            self.source.end_look(end);
            if let Some(piece) = self.take_waiting() {
                self.turn = Turn::Code;
                return Poll::Ready(piece);
            }
        }
        self.turn = Turn::Queue;
        Poll::Pending
    }

    fn half_close(&self) {
        self.source.half_close();
    }

    fn goes_on(&self) -> bool {
        self.output != Output::Whole && !matches!(self.code, Code::Over)
    }
}

#[cfg(test)]
mod tests {
    use core::future::{pending, poll_fn};
    use core::task::{Poll, Waker};
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::{
        Attachment, Body, BodyWriter, Bytes, Content, CurrentRequest, PeerState, Piece,
        PieceSource, SendError, Written,
    };
    use crate::current_request::leave_afterwards;
    use crate::sync::memory::Memory;
    use crate::sync::notify::Notify;

    /// A writer's body on its loop, and how often it has notified the loop.
    struct Attached {
        source: Box<dyn PieceSource>,
        notified: Arc<AtomicUsize>,
        memory: Arc<Memory>,
    }

    fn attach(body: Body) -> Attached {
        let Content::Arriving(body) = body.0 else {
            panic!("it arrives piece by piece")
        };
        let notified = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&notified);
        let notify = Notify::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let memory = Arc::new(Memory::new(None, || None));
        Attached {
            source: body.attach(Attachment {
                notify,
                memory: &memory,
                fields: &[],
            }),
            notified,
            memory,
        }
    }

    impl Attached {
        /// The pieces of one turn, and what follows them.
        fn turn(&mut self) -> (String, &'static str) {
            let (mut text, mut polls_left) = (String::new(), 1);
            loop {
                let end = match self.source.next(&mut polls_left) {
                    Piece::Bytes(piece) => {
                        text.push_str(core::str::from_utf8(&piece).expect("text"));
                        continue;
                    }
                    Piece::Pending => "pending",
                    Piece::Finished(_) => "finished",
                    Piece::Cut => "cut",
                    Piece::WrongLength => "wrong length",
                    Piece::Broken => "broken",
                };
                return (text, end);
            }
        }

        fn notified(&self) -> usize {
            self.notified.swap(0, Ordering::Relaxed)
        }
    }

    async fn sleep_once() {
        let mut is_woken = false;
        poll_fn(|context| {
            if core::mem::replace(&mut is_woken, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    fn turns(body: Body) -> Vec<(String, &'static str)> {
        let mut attached = attach(body);
        let mut turns = Vec::new();
        loop {
            turns.push(attached.turn());
            match turns.last() {
                Some((_, "pending")) if turns.len() < 9 => {}
                _ => return turns,
            }
        }
    }

    fn texts(turns: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
        let owned = |(text, end): &(&str, &'static str)| ((*text).to_owned(), *end);
        turns.iter().map(owned).collect()
    }

    #[test]
    fn what_is_sent_in_one_poll_arrives_together_and_needs_no_notification() {
        let mut attached = attach(Body::writer(async |out| {
            out.send("a").await?;
            out.send("").await?;
            out.send("b").await?;
            sleep_once().await;
            Ok(out.send("c").await?)
        }));
        assert_eq!(attached.turn(), ("ab".to_owned(), "pending"));
        assert_eq!(
            attached.notified(),
            2,
            "for the wake, and that it waits for a poll"
        );
        assert_eq!(attached.turn(), ("c".to_owned(), "finished"));
        assert_eq!(attached.notified(), 0);
    }

    #[test]
    fn it_waits_for_room_and_is_polled_once_in_a_turn() {
        let body = Body::bounded_writer(4, async |out| {
            for piece in ["123", "45", "6", "789012", "3"] {
                out.send(piece).await?;
            }
            Ok(())
        });
        let (pending, finished) = ("pending", "finished");
        let expected = [
            ("123", pending),
            ("456", pending),
            ("789012", pending),
            ("3", finished),
        ];
        assert_eq!(turns(body), texts(&expected));
    }

    #[test]
    fn a_wake_up_that_came_while_the_peer_did_not_read_is_not_lost() {
        let mut attached = attach(Body::bounded_writer(1, async |out| {
            out.send("a").await?;
            out.send("b").await?;
            pending().await
        }));
        assert!(matches!(attached.source.next(&mut 1), Piece::Bytes(_)));
        assert_eq!(attached.notified(), 1, "there is room for more");
        // The loop is driven, and does not look: the socket has no room.
        assert!(matches!(attached.source.next(&mut 1), Piece::Pending));
        assert_eq!(attached.notified(), 1, "it is to be polled");
        assert!(matches!(attached.source.next(&mut 1), Piece::Bytes(_)));
    }

    #[test]
    fn what_waits_counts_as_memory_until_it_is_taken_or_dropped() {
        let mut attached = attach(Body::writer(async |out| {
            out.send("a").await?;
            out.send("b").await?;
            pending().await
        }));
        assert_eq!(attached.memory.held(), 0);
        assert!(matches!(attached.source.next(&mut 1), Piece::Bytes(_)));
        assert!(attached.memory.held() > 0);
        drop(attached.source);
        assert_eq!(attached.memory.held(), 0);
    }

    #[test]
    fn the_end_of_the_future_is_the_end_of_the_body() {
        type Write = fn(BodyWriter) -> core::pin::Pin<Box<dyn Future<Output = Written>>>;
        let cases: [(Write, &[(&str, &str)]); 8] = [
            (|_| Box::pin(async { Ok(()) }), &[("", "finished")]),
            (
                |_| Box::pin(async { Err("no more".into()) }),
                &[("", "cut")],
            ),
            (|_| panic!("before the future"), &[("", "broken")]),
            (
                |out| {
                    Box::pin(async move {
                        out.send("a").await?;
                        panic!("in the first poll")
                    })
                },
                &[("", "broken")],
            ),
            (
                |out| {
                    Box::pin(async move {
                        out.send("a").await?;
                        sleep_once().await;
                        panic!("in the second poll")
                    })
                },
                &[("a", "pending"), ("", "broken")],
            ),
            (
                |out| {
                    Box::pin(async move {
                        out.send("a").await?;
                        drop(out);
                        pending().await
                    })
                },
                &[("a", "cut")],
            ),
            (
                |out| {
                    Box::pin(async move {
                        out.send("a").await?;
                        out.finish();
                        pending().await
                    })
                },
                &[("a", "finished")],
            ),
            (
                |out| {
                    Box::pin(async move {
                        out.finish();
                        Err("after the end".into())
                    })
                },
                &[("", "finished")],
            ),
        ];
        for (number, (write, expected)) in cases.into_iter().enumerate() {
            let turns = turns(Body::writer(write));
            let turns: Vec<_> = turns.iter().map(|turn| (turn.0.as_str(), turn.1)).collect();
            assert_eq!(turns, expected, "case {number}");
        }
    }

    #[test]
    fn the_future_is_made_when_the_body_is_attached_and_dropped_with_it() {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let writer = || {
            let counted = Arc::clone(&counted);
            Body::writer(move |out: BodyWriter| {
                counted.fetch_add(1, Ordering::Relaxed);
                // Not `Send`.
                let alive = Rc::new(out);
                async move {
                    pending::<()>().await;
                    drop(alive);
                    Ok(())
                }
            })
        };
        drop(writer());
        assert_eq!(
            (count.load(Ordering::Relaxed), Arc::strong_count(&count)),
            (0, 2)
        );
        let mut attached = attach(writer());
        assert_eq!(attached.turn(), (String::new(), "pending"));
        assert_eq!(count.load(Ordering::Relaxed), 1);
        drop(attached);
    }

    #[test]
    fn a_send_after_the_end_fails_and_so_does_one_to_a_peer_that_has_gone() {
        thread_local! {
            static KEPT: RefCell<Option<BodyWriter>> = const { RefCell::new(None) };
        }
        let body = Body::writer(async |out| {
            KEPT.set(Some(out));
            Ok(())
        });
        let mut attached = attach(body);
        assert_eq!(attached.turn(), (String::new(), "finished"));
        let out = KEPT.take().expect("it was kept");
        let context = core::task::Context::from_waker(Waker::noop());
        let mut piece = Bytes::from_static(b"late");
        let polled = out.sender.poll_send(&mut piece, &context);
        assert_eq!(polled, Poll::Ready(Err(SendError::PeerGone)));
        drop(attached);
        assert_eq!(out.peer(), PeerState::Gone);
    }

    #[test]
    fn each_poll_and_the_drop_belong_to_the_request() {
        thread_local! {
            static NAMES: RefCell<Vec<Option<String>>> = const { RefCell::new(Vec::new()) };
        }
        fn note() {
            let name = CurrentRequest::current().name().map(str::to_owned);
            NAMES.with_borrow_mut(|names| names.push(name));
        }
        struct Noting;
        impl Drop for Noting {
            fn drop(&mut self) {
                note();
            }
        }
        let _leave = leave_afterwards();
        let scope = CurrentRequest::current().named("a").enter();
        let body = Body::writer(async |_out| {
            let _noting = Noting;
            note();
            sleep_once().await;
            note();
            pending().await
        });
        drop(scope);
        let mut attached = attach(body);
        let first = attached.turn();
        assert_eq!(
            (first, attached.turn().1),
            ((String::new(), "pending"), "pending")
        );
        drop(attached);
        assert_eq!(NAMES.take(), vec![Some("a".to_owned()); 3]);
        assert_eq!(CurrentRequest::current().name(), None);
    }

    #[test]
    fn a_function_is_polled_for_the_request_that_it_was_made_in() {
        let _leave = leave_afterwards();
        let scope = CurrentRequest::current().named("a").enter();
        let body = Body::poll_fn(|_| {
            let name = CurrentRequest::current().name().map(str::to_owned);
            Poll::Ready(Some(name.map(Bytes::from).ok_or("no name")))
        });
        // An async handler has returned it: what calls that is over.
        drop(scope);
        let mut attached = attach(body);
        let first = attached.source.next(&mut 1);
        assert!(matches!(first, Piece::Bytes(name) if name == "a"));
    }

    #[test]
    fn a_body_with_an_announced_length_has_it_or_is_refused() {
        let of = |pieces: &'static [&'static str], len| {
            let write = async move |out: BodyWriter| {
                for piece in pieces {
                    out.send(*piece).await?;
                }
                Ok(())
            };
            turns(Body::writer(write).with_len(len))
        };
        assert_eq!(of(&["ab", "c"], 3), texts(&[("abc", "finished")]));
        assert_eq!(of(&["ab", "c"], 4), texts(&[("abc", "wrong length")]));
        assert_eq!(of(&["ab", "cd"], 3), texts(&[("ab", "wrong length")]));
        assert_eq!(of(&["ab", "c", "d"], 3), texts(&[("ab", "wrong length")]));
        let body = Body::writer(async |_| Ok(())).with_len(7);
        assert_eq!((body.len(), body.is_empty()), (Some(7), false));
        assert_eq!(Body::from("abc").with_len(7).len(), Some(3));
    }

    #[test]
    fn a_function_is_polled_until_it_is_pending_and_again_once_woken() {
        let polls = Arc::new(AtomicUsize::new(0));
        let polled = Arc::clone(&polls);
        let mut attached = attach(Body::poll_fn(move |context| {
            Poll::Ready(match polled.fetch_add(1, Ordering::Relaxed) {
                0 => Some(Ok::<_, SendError>(Bytes::from_static(b"a"))),
                1 => Some(Ok(Bytes::new())),
                2 => {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                3 => Some(Ok(Bytes::from_static(b"b"))),
                4 => return Poll::Pending,
                _ => None,
            })
        }));
        assert_eq!(attached.turn(), ("a".to_owned(), "pending"));
        assert_eq!((attached.notified(), polls.load(Ordering::Relaxed)), (1, 3));
        assert_eq!(attached.turn(), ("b".to_owned(), "pending"));
        assert_eq!(attached.turn(), (String::new(), "pending"));
        assert_eq!((attached.notified(), polls.load(Ordering::Relaxed)), (0, 5));
    }

    #[test]
    fn an_error_or_a_panic_of_a_function_ends_its_body_and_it_is_not_polled_again() {
        let error = || Body::poll_fn(|_| Poll::Ready(Some(Err("lost"))));
        assert_eq!(turns(error()), texts(&[("", "cut")]));
        let mut attached = attach(Body::poll_fn(|_| -> Poll<Option<Result<Bytes, ()>>> {
            panic!("in the poll")
        }));
        assert_eq!(attached.turn().1, "broken");
    }
}
