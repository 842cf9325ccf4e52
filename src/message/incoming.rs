//! Bodies of requests that are pulled: the reader asks, and the loop reads no more than a window ahead of it.

use core::fmt;
use core::future::poll_fn;
use core::mem;
use core::task::{Context, Poll, Waker};
use std::sync::{Arc, PoisonError};

use bytes::{Bytes, BytesMut};

use crate::h1::{self, Refusal};
use crate::limits::INCOMING_LEN_MAX;
use crate::message::incoming_error::IncomingError;
use crate::message::request::{HEAD_LIMITS_OPEN, Head, Request};
use crate::sync::contain::contain;
use crate::sync::memory::{Charge, Memory};
use crate::sync::notify::Notify;
use crate::sync::{Mutex, MutexGuard};

/// The body of a request, which its reader pulls: [`chunk`](Self::chunk) waits for more, [`collect`](Self::collect) for all of it.
///
/// [`handler::incoming`](crate::handler::incoming), [`Router::post_incoming`](crate::Router::post_incoming) and
/// [`Accept::pull`](crate::handler::Accept::pull) make one. It moves to any thread.
///
/// - **Nothing is read before the first chunk is asked for**, and then a peer that waits for `100 Continue` gets it (RFC 9110
///   §10.1.1). From then on at most 64 KiB wait for the reader, and what one read brings, 68 KiB; beyond that the server does not
///   read, and TCP makes the peer wait. What waits counts in [`Limits::memory_max`](crate::server::Limits::memory_max).
/// - **No bound on the whole**, since it is never held: [`collect`](Self::collect) has its own, and
///   [`Router::body_len_max`](crate::Router::body_len_max) sets one for a route.
/// - **Time-outs**: [`Timeouts::body`](crate::server::Timeouts::body) applies while the server waits for the peer, and not while it
///   waits for the reader.
/// - **The response may begin, and end, while the body arrives.** If this is dropped before the end of the body, the server
///   discards the rest if it is short; otherwise the connection ends after the response.
///
/// ```
/// use coldstart::message::IncomingError;
/// use coldstart::{Router, TestRequest};
///
/// let mut router = Router::new().post_incoming("/count/{name}", |head, mut body| {
///     // What is needed of the head is read before the first await.
///     let name = head.parameter("name").unwrap_or_default().into_owned();
///     async move {
///         let mut len = 0;
///         while let Some(chunk) = body.chunk().await? {
///             len += chunk.len();
///         }
///         Ok::<_, IncomingError>(format!("{name}: {len} bytes\n"))
///     }
/// });
/// let response = TestRequest::post("/count/a").body("abc").run_handler(&mut router);
/// assert_eq!(response.text(), "a: 3 bytes\n");
/// ```
pub struct Incoming {
    source: Source,
    /// As received, once they are there.
    trailers: Box<[u8]>,
}

/// Where the chunks come from.
enum Source {
    /// The rest of a body that was complete.
    Whole(Bytes),
    Arriving(Arc<Window>),
}

/// What the loop and the reader share.
struct Window {
    state: Mutex<State>,
}

struct State {
    /// What has arrived and was not taken.
    unread: BytesMut,
    /// What it counts for.
    charged: usize,
    memory: Option<Arc<Memory>>,
    /// Bytes that the reader may still get: `None` if they are not announced.
    left: Option<u64>,
    /// Bytes that may still arrive.
    room: u64,
    notify: Option<Notify>,
    producer: Producer,
    reader: Reader,
}

/// How far the body has arrived.
enum Producer {
    /// There may be more.
    Reading,
    /// There may be more, and the loop is to be notified once the reader wants it.
    Waiting,
    /// It is complete.
    Ended(Box<[u8]>),
    /// It will never be complete.
    Cut(IncomingError),
}

/// What the reader does.
enum Reader {
    /// It has not asked for anything yet.
    Silent,
    Working,
    /// It waits for more.
    Waiting(Waker),
    Gone,
}

impl Window {
    fn new(state: State) -> Arc<Self> {
        let state = Mutex::new(state);
        Arc::new(Self { state })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No foreign code runs under this lock, so a poisoned one is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the producer's side, and wakes a reader that waits for it.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let reader = match mem::replace(&mut state.reader, Reader::Working) {
            Reader::Waiting(waker) => Some(waker),
            before @ (Reader::Silent | Reader::Working | Reader::Gone) => {
                state.reader = before;
                None
            }
        };
        drop(state);
        if let Some(waker) = reader {
            // It is foreign code, and no fault of the connection.
            let _ = contain(|| waker.wake());
        }
    }
}

impl State {
    fn new(left: Option<u64>) -> Self {
        Self {
            unread: BytesMut::new(),
            charged: 0,
            memory: None,
            left,
            room: u64::MAX,
            notify: None,
            producer: Producer::Waiting,
            reader: Reader::Silent,
        }
    }

    const fn is_open(&self) -> bool {
        matches!(self.producer, Producer::Reading | Producer::Waiting)
    }

    /// Counts what is held now.
    fn charge(&mut self) {
        let held = self.unread.capacity();
        if let Some(memory) = &self.memory {
            match held.checked_sub(self.charged) {
                Some(more) => drop(memory.take_anyway(more)),
                None => memory.give_back(self.charged.saturating_sub(held)),
            }
            self.charged = held;
        }
    }

    fn has_room(&self) -> bool {
        let has_memory = || {
            self.memory
                .as_ref()
                .is_none_or(|memory| memory.has_room(INCOMING_LEN_MAX))
        };
        self.unread.is_empty() || (self.unread.len() < INCOMING_LEN_MAX && has_memory())
    }

    fn push(&mut self, piece: &[u8]) {
        let room = self.room.checked_sub(piece.len() as u64);
        self.room = room.unwrap_or_default();
        if room.is_none() {
            self.cut(IncomingError::TooLarge);
        } else if self.is_open() && !matches!(self.reader, Reader::Gone) {
            self.unread.extend_from_slice(piece);
            self.charge();
        }
    }

    fn cut(&mut self, why: IncomingError) {
        if self.is_open() {
            self.producer = Producer::Cut(why);
            self.unread = BytesMut::new();
            self.charge();
        }
    }

    /// What waits; and the loop's wake-up, if the loop waits for that.
    fn take(&mut self) -> (Bytes, Option<Notify>) {
        let chunk = mem::take(&mut self.unread).freeze();
        self.charge();
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(chunk.len() as u64);
        }
        (chunk, self.ask())
    }

    /// The reader wants more.
    fn ask(&mut self) -> Option<Notify> {
        if !matches!(self.producer, Producer::Waiting) {
            return None;
        }
        self.producer = Producer::Reading;
        self.notify.clone()
    }
}

impl Incoming {
    /// A body that arrives, and the loop's end of it. `head` is the request's.
    pub(crate) fn begin(head: &Head<'_>) -> (Self, Box<dyn IncomingSink>) {
        let left = h1::announced_length(head.view());
        let window = Window::new(State::new(left));
        let sink = Box::new(Sink(Arc::clone(&window)));
        (Self::arriving(window), sink)
    }

    /// What a peer sends after HTTP, until it ends its side.
    pub(crate) fn tunnel() -> (Self, Box<dyn IncomingSink>) {
        let window = Window::new(State::new(None));
        let sink = Box::new(Sink(Arc::clone(&window)));
        (Self::arriving(window), sink)
    }

    fn arriving(window: Arc<Window>) -> Self {
        Self {
            source: Source::Arriving(window),
            trailers: Box::default(),
        }
    }

    /// Returns what has arrived since the last call, never empty; waits if that is nothing. `None` at the end of the body.
    ///
    /// # Errors
    ///
    /// The body will never be complete; see [`IncomingError`]. Bytes that had arrived and were not taken are lost.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, IncomingError> {
        poll_fn(|context| self.poll_chunk(context)).await
    }

    /// As [`chunk`](Self::chunk). The task that polled last is woken.
    ///
    /// This is how a body becomes a stream, here one of the crate futures:
    /// `stream::poll_fn(move |context| body.poll_chunk(context).map(Result::transpose))`. Without a crate:
    ///
    /// ```
    /// use std::future::poll_fn;
    ///
    /// use coldstart::message::IncomingError;
    /// use coldstart::{Router, TestRequest};
    ///
    /// let mut router = Router::new().post_incoming("/", |_, mut body| async move {
    ///     let mut len = 0;
    ///     while let Some(chunk) = poll_fn(|context| body.poll_chunk(context)).await? {
    ///         len += chunk.len();
    ///     }
    ///     Ok::<_, IncomingError>(format!("{len} bytes\n"))
    /// });
    /// assert_eq!(TestRequest::post("/").body("abc").run_handler(&mut router).text(), "3 bytes\n");
    /// ```
    ///
    /// # Errors
    ///
    /// As [`chunk`](Self::chunk).
    pub fn poll_chunk(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, IncomingError>> {
        let window = match &mut self.source {
            Source::Whole(rest) => {
                let rest = mem::take(rest);
                return Poll::Ready(Ok(Some(rest).filter(|rest| !rest.is_empty())));
            }
            Source::Arriving(window) => window,
        };
        // A waker is foreign code: it is cloned and dropped outside the lock.
        let waker = context.waker().clone();
        let mut state = window.lock();
        if !state.unread.is_empty() {
            let (chunk, notify) = state.take();
            drop(state);
            if let Some(notify) = notify {
                notify.notify();
            }
            return Poll::Ready(Ok(Some(chunk)));
        }
        match &mut state.producer {
            Producer::Ended(trailers) => {
                let trailers = mem::take(trailers);
                if !trailers.is_empty() {
                    self.trailers = trailers;
                }
                Poll::Ready(Ok(None))
            }
            Producer::Cut(why) => Poll::Ready(Err(*why)),
            Producer::Reading | Producer::Waiting => {
                let notify = state.ask();
                let before = mem::replace(&mut state.reader, Reader::Waiting(waker));
                drop(state);
                drop(before);
                if let Some(notify) = notify {
                    notify.notify();
                }
                Poll::Pending
            }
        }
    }

    /// The rest of the body, of at most `len_max` bytes. It is put together as it arrives, so that a peer which announces
    /// much and sends little takes little memory. Until it is whole, it counts in
    /// [`Limits::memory_max`](crate::server::Limits::memory_max).
    ///
    /// # Errors
    ///
    /// [`IncomingError::TooLarge`] if it is longer: at once if its length is announced, before a peer that waits for
    /// `100 Continue` gets it. [`IncomingError::OutOfMemory`] if peers hold too much already. Otherwise as [`chunk`](Self::chunk).
    ///
    /// ```
    /// use coldstart::handler::incoming;
    /// use coldstart::{Response, TestRequest};
    ///
    /// let mut handler = incoming(|_, mut body| async move {
    ///     // An error becomes the response: 413 here.
    ///     body.collect(5).await.map(Response::bytes)
    /// });
    /// assert_eq!(TestRequest::post("/").body("abc").run_handler(&mut handler).text(), "abc");
    /// assert_eq!(TestRequest::post("/").body("abcdef").run_handler(&mut handler).status(), 413);
    /// ```
    pub async fn collect(&mut self, len_max: usize) -> Result<Bytes, IncomingError> {
        let (least, _) = self.size_hint();
        if least > len_max as u64 {
            return Err(IncomingError::TooLarge);
        }
        let mut body = Bytes::new();
        let mut joined = BytesMut::new();
        let mut charge = None;
        while let Some(chunk) = self.chunk().await? {
            let held = joined.len().saturating_add(body.len());
            let len = held.saturating_add(chunk.len());
            if len > len_max {
                return Err(IncomingError::TooLarge);
            }
            // What has arrived is on the loop, which knows the memory.
            charge = charge.or_else(|| self.charge());
            if charge
                .as_mut()
                .is_some_and(|charge| charge.set(len).is_err())
            {
                return Err(IncomingError::OutOfMemory);
            }
            if joined.is_empty() && body.is_empty() {
                body = chunk;
                continue;
            }
            joined.extend_from_slice(&mem::take(&mut body));
            joined.extend_from_slice(&chunk);
        }
        if joined.is_empty() {
            return Ok(body);
        }
        Ok(joined.freeze())
    }

    /// For what its reader keeps of it until that is whole: it counts where what waits for the reader does. `None` before any of it
    /// has arrived, and of a body that was complete.
    pub(crate) fn charge(&self) -> Option<Charge> {
        match &self.source {
            Source::Whole(_) => None,
            Source::Arriving(window) => window.lock().memory.as_ref().map(Charge::new),
        }
    }

    /// The trailer fields after a chunked body, if there were any (RFC 9112 §7.1.2): once [`chunk`](Self::chunk) has returned
    /// `None`, or [`collect`](Self::collect) has returned the body.
    ///
    /// ```
    /// use coldstart::message::IncomingError;
    /// use coldstart::{Router, TestRequest};
    ///
    /// let mut router = Router::new().post_incoming("/", |_, mut body| async move {
    ///     let whole = body.collect(1024).await?;
    ///     let sum = body.trailers().into_iter().find(|(name, _)| name.eq_ignore_ascii_case("sum"));
    ///     Ok::<_, IncomingError>(format!("{} bytes, sum {:?}\n", whole.len(), sum.map(|(_, sum)| sum)))
    /// });
    /// let post = TestRequest::post("/").header("transfer-encoding", "chunked");
    /// let post = post.body("3\r\nabc\r\n0\r\nsum: 9\r\n\r\n");
    /// assert_eq!(post.run_handler(&mut router).text(), "3 bytes, sum Some([57])\n");
    /// ```
    #[must_use]
    pub fn trailers(&self) -> Vec<(&str, &[u8])> {
        // The section was checked when it arrived.
        h1::trailer_fields(&self.trailers, &HEAD_LIMITS_OPEN).unwrap_or_default()
    }

    /// Bounds on the bytes that [`chunk`](Self::chunk) will still return: the lower one, and the upper one if it is known. If the
    /// length is announced, both are what is left of it.
    ///
    /// ```
    /// use coldstart::message::IncomingError;
    /// use coldstart::{Router, TestRequest};
    ///
    /// let mut router = Router::new().put_incoming("/disk", |_, mut body| async move {
    ///     // What does not fit is refused before any of it is read.
    ///     if body.size_hint().0 > 1000 {
    ///         return Err(IncomingError::TooLarge);
    ///     }
    ///     body.collect(1000).await
    /// });
    /// let put = TestRequest::new("PUT", "/disk");
    /// assert_eq!(put.clone().body([0; 2000]).run_handler(&mut router).status(), 413);
    /// assert_eq!(put.body("abc").run_handler(&mut router).text(), "abc");
    /// ```
    #[must_use]
    pub fn size_hint(&self) -> (u64, Option<u64>) {
        let window = match &self.source {
            Source::Whole(rest) => return (rest.len() as u64, Some(rest.len() as u64)),
            Source::Arriving(window) => window,
        };
        let state = window.lock();
        match (state.left, &state.producer) {
            (Some(left), _) => (left, Some(left)),
            (None, Producer::Ended(_)) => {
                let len = state.unread.len() as u64;
                (len, Some(len))
            }
            (None, Producer::Reading | Producer::Waiting | Producer::Cut(_)) => {
                (state.unread.len() as u64, None)
            }
        }
    }
}

#[cfg(feature = "http")]
impl Incoming {
    /// Whether nothing follows, neither a chunk nor trailers.
    pub(super) fn is_over(&self) -> bool {
        let is_all = match &self.source {
            Source::Whole(rest) => rest.is_empty(),
            Source::Arriving(window) => {
                let state = window.lock();
                let is_ended = matches!(&state.producer, Producer::Ended(rest) if rest.is_empty());
                is_ended && state.unread.is_empty()
            }
        };
        is_all && self.trailers.is_empty()
    }

    /// The trailer section as received, to pass it on.
    pub(super) fn take_trailers(&mut self) -> Box<[u8]> {
        mem::take(&mut self.trailers)
    }
}

/// The body of a complete request, for code that pulls one. A large one is shared, a small one is copied.
impl From<&Request<'_>> for Incoming {
    fn from(request: &Request<'_>) -> Self {
        Self {
            source: Source::Whole(request.body_bytes()),
            trailers: request.trailers_bytes().into(),
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let Source::Arriving(window) = &self.source else {
            return;
        };
        let mut state = window.lock();
        let before = mem::replace(&mut state.reader, Reader::Gone);
        let unread = mem::take(&mut state.unread);
        state.charge();
        // It learns that nothing takes the rest.
        let notify = state.is_open().then(|| state.notify.clone()).flatten();
        drop(state);
        if let Some(notify) = notify {
            notify.notify();
        }
        drop((before, unread));
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Incoming")
            .field("size_hint", &self.size_hint())
            .finish_non_exhaustive()
    }
}

/// Whether a pulled body takes more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Appetite {
    More,
    /// Not now: a notification will follow.
    Full,
    /// Never again.
    Gone,
}

/// The loop's end of an [`Incoming`]. Dropped before the end of the body, it is cut. A trait object, so that a program without
/// pulled bodies links no code for them.
pub(crate) trait IncomingSink {
    /// From now on `notify` is called when [`appetite`](Self::appetite) may have changed, and what waits counts in `memory`.
    fn attach(&self, notify: Notify, memory: &Arc<Memory>);

    /// Whether the next piece is wanted.
    fn appetite(&self) -> Appetite;

    /// The next piece, never empty.
    fn push(&self, piece: &[u8]);

    /// The body is complete. The trailer section is as received.
    fn end(&self, trailers: &[u8]);

    /// The request is refused.
    fn refuse(&self, refusal: Refusal);

    /// A body of more than this many bytes is refused.
    fn limit(&self, len_max: u64);
}

struct Sink(Arc<Window>);

impl IncomingSink for Sink {
    fn attach(&self, notify: Notify, memory: &Arc<Memory>) {
        let mut state = self.0.lock();
        state.notify = Some(notify);
        state.memory = Some(Arc::clone(memory));
        state.charge();
    }

    fn appetite(&self) -> Appetite {
        let mut state = self.0.lock();
        match (&state.reader, &state.producer) {
            (Reader::Gone, _) | (_, Producer::Ended(_) | Producer::Cut(_)) => Appetite::Gone,
            (Reader::Silent, Producer::Waiting) => Appetite::Full,
            (_, Producer::Reading | Producer::Waiting) if state.has_room() => Appetite::More,
            (_, Producer::Reading | Producer::Waiting) => {
                state.producer = Producer::Waiting;
                Appetite::Full
            }
        }
    }

    fn push(&self, piece: &[u8]) {
        #[cfg(feature = "_sim")]
        crate::sync::tally::count(|tally| tally.pieces += 1);
        self.0.change(|state| state.push(piece));
    }

    fn end(&self, trailers: &[u8]) {
        self.0.change(|state| {
            if state.is_open() {
                state.producer = Producer::Ended(trailers.into());
            }
        });
    }

    fn refuse(&self, refusal: Refusal) {
        self.0.change(|state| state.cut(refusal.into()));
    }

    fn limit(&self, len_max: u64) {
        self.0.change(|state| {
            state.room = len_max;
            if state.left.is_some_and(|left| left > len_max) {
                state.cut(IncomingError::TooLarge);
            }
        });
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.0.change(|state| {
            state.cut(IncomingError::PeerLeft);
            state.notify = None;
        });
    }
}

#[cfg(test)]
mod tests {
    use core::task::{Context, Poll, Waker};
    use std::sync::Arc;

    use super::{Incoming, IncomingError, Memory, Notify};

    #[test]
    fn what_is_cut_counts_no_more_although_its_reader_is_still_there() {
        let memory = Arc::new(Memory::new(None, || None));
        let (mut body, sink) = Incoming::tunnel();
        sink.attach(Notify::new(|| {}), &memory);
        sink.push(&[0; 1000]);
        assert!(memory.held() >= 1000);
        drop(sink);
        assert_eq!(memory.held(), 0);
        let polled = body.poll_chunk(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled, Poll::Ready(Err(IncomingError::PeerLeft)));
    }
}
