//! Bodies that are sent piece by piece from any thread.

use core::fmt;
use core::task::{Context, Poll, Waker};
use std::sync::{Arc, PoisonError};

use bytes::Bytes;

use crate::message::body::{Arriving, Attachment, Body, Content, Piece, PieceSource};
use crate::message::peer::PeerState;
use crate::message::pieces::Pieces;
use crate::message::send_error::{SendError, TrySendError};
use crate::message::trailers::{Closing, EndWithTrailers, Trailers, announced};
use crate::sync::contain::contain;
use crate::sync::elsewhere::WorkElsewhere;
use crate::sync::loop_thread::is_loop_thread;
use crate::sync::notify::Notify;
use crate::sync::thread::{self, ThreadId};
use crate::sync::{Condvar, Mutex, MutexGuard};

impl Body {
    /// A body that is sent piece by piece; the sender may move to any thread. At most `bytes_max` bytes wait in between, in at
    /// most one piece for each 64 of them (16 in a small channel); a larger single piece passes when nothing else waits. While peers
    /// hold as much as [`Limits::memory_max`](crate::server::Limits::memory_max), one piece waits at a time.
    ///
    /// The response's head is sent at once, and each piece when it arrives: server-sent events and tokens need no flush. Code
    /// that need not block is a [`writer`](Self::writer), without a thread.
    ///
    /// ```
    /// use coldstart::message::SendError;
    /// use coldstart::{Body, Response, TestRequest};
    ///
    /// let response = TestRequest::get("/").run(|_| {
    ///     let (sender, body) = Body::channel(64 * 1024);
    ///     std::thread::spawn(move || {
    ///         for number in 1..=3 {
    ///             sender.send(format!("line {number}\n"))?; // Blocks while the peer has to read.
    ///         }
    ///         sender.finish();
    ///         Ok::<_, SendError>(())
    ///     });
    ///     Response::text(body)
    /// });
    /// assert_eq!(response.text(), "line 1\nline 2\nline 3\n");
    /// ```
    #[must_use]
    pub fn channel(bytes_max: usize) -> (BodySender, Self) {
        let (mut sender, source) = channel(bytes_max);
        sender.work = Some(WorkElsewhere::begin());
        (sender, Self(Content::Arriving(Box::new(source))))
    }
}

/// The ends of a new channel.
pub(crate) fn channel(bytes_max: usize) -> (BodySender, BodySource) {
    let channel = Arc::new(Channel {
        queue: Mutex::new(Queue {
            held: Pieces::default(),
            refused_len: 0,
            sender: SenderState::Sending,
            receiver: ReceiverState::Unattached,
            notify: None,
            waiting: None,
            blocked: 0,
            closing: None,
            is_half_closed: false,
        }),
        room: Condvar::new(),
        bytes_max,
        made_by: thread::current().id(),
    });
    let sender = BodySender {
        work: None,
        channel: Arc::clone(&channel),
    };
    (sender, BodySource { channel })
}

struct Channel {
    queue: Mutex<Queue>,
    room: Condvar,
    bytes_max: usize,
    made_by: ThreadId,
}

struct Queue {
    held: Pieces,
    /// The length of the last piece that was returned; 0 once one was taken.
    refused_len: usize,
    sender: SenderState,
    receiver: ReceiverState,
    /// What the loop is notified by, once it has the body.
    notify: Option<Notify>,
    /// An async task that waits for room.
    waiting: Option<Waker>,
    /// Threads that wait for room: without one, making room needs no system call.
    blocked: u32,
    /// What follows the last piece.
    closing: Option<Box<Closing>>,
    /// The peer has ended its side.
    is_half_closed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum SenderState {
    Sending,
    Finished,
    Dropped,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ReceiverState {
    /// The body has not left the thread that made it.
    Unattached,
    /// The body is on its way to the loop.
    HandedOver,
    /// The loop wants to be notified.
    Attached,
    /// The loop itself polls what sends, and takes what that has sent next: it needs no notification.
    Looking,
    /// The peer, or the response, is gone.
    Gone,
}

impl Channel {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        #[cfg(feature = "_sim")]
        crate::sync::tally::count(|tally| tally.locks += 1);
        // No foreign code runs under this lock, so a poisoned one is consistent.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One piece may always wait, so that a channel goes on while others hold all memory.
    fn has_room(&self, queue: &Queue, len: usize) -> bool {
        queue.held.has_room(len, self.bytes_max)
    }

    /// Takes the piece, unless the loop no longer reads the channel. What stays with the caller is dropped outside the lock: a
    /// piece's memory may belong to foreign code, which may do anything when it is freed.
    fn push(&self, queue: &mut Queue, piece: &mut Bytes) -> Result<(), SendError> {
        self.put(queue, piece.len(), |held| held.push(std::mem::take(piece)))
    }

    /// Adds this many bytes, for which there is room, unless the channel is over, and wakes the loop if it may be asleep.
    fn put(
        &self,
        queue: &mut Queue,
        len: usize,
        put: impl FnOnce(&mut Pieces),
    ) -> Result<(), SendError> {
        if queue.is_over() {
            return Err(SendError::PeerGone);
        }
        if len > 0 {
            debug_assert!(self.has_room(queue, len), "more than may wait");
            let was_empty = queue.held.is_empty();
            put(&mut queue.held);
            queue.refused_len = 0;
            if was_empty {
                queue.notify();
            }
        }
        Ok(())
    }

    /// For threads that wait for room, if any do.
    fn unlock(&self, queue: MutexGuard<'_, Queue>, notify: fn(&Condvar)) {
        let has_blocked = queue.blocked > 0;
        drop(queue);
        if has_blocked {
            notify(&self.room);
        }
    }
}

impl Queue {
    const fn is_peer_gone(&self) -> bool {
        matches!(self.receiver, ReceiverState::Gone)
    }

    /// Whether no more pieces are taken.
    fn is_over(&self) -> bool {
        self.is_peer_gone() || self.sender != SenderState::Sending
    }

    /// The loop begins to look, or has looked, if it still has the body.
    fn look(&mut self, from: ReceiverState, to: ReceiverState) {
        if self.receiver == from {
            self.receiver = to;
        }
    }

    fn notify(&self) {
        if self.receiver == ReceiverState::Attached
            && let Some(notify) = &self.notify
        {
            notify.notify();
        }
    }
}

/// The sending end of a [`Body::channel`]. Dropped without [`finish`](Self::finish), it cuts the response: the peer sees
/// that the body is incomplete.
///
/// So an early return shows as an error, and not as a short file:
///
/// ```
/// use std::io::{self, Read};
///
/// use coldstart::message::BodySender;
/// use coldstart::{Body, Response, TestRequest};
///
/// fn copy(mut from: impl Read, to: BodySender) -> io::Result<()> {
///     let mut buffer = [0; 4096];
///     loop {
///         match from.read(&mut buffer)? {
///             0 => return Ok(to.finish()),
///             len => to.send(buffer[..len].to_vec()).map_err(io::Error::other)?,
///         }
///     }
/// }
///
/// let response = TestRequest::get("/").run(|_| {
///     let (sender, body) = Body::channel(64 * 1024);
///     std::thread::spawn(move || copy(&b"from somewhere"[..], sender));
///     Response::bytes(body)
/// });
/// assert_eq!(response.text(), "from somewhere");
/// ```
pub struct BodySender {
    channel: Arc<Channel>,
    work: Option<WorkElsewhere>,
}

impl BodySender {
    /// Sends a piece; blocks while `bytes_max` bytes are waiting. An empty piece is ignored.
    ///
    /// ```
    /// use coldstart::message::SendError;
    /// use coldstart::{Body, Response, TestRequest};
    ///
    /// let response = TestRequest::get("/").run(|_| {
    ///     let (sender, body) = Body::channel(8);
    ///     std::thread::spawn(move || {
    ///         for _ in 0..3 {
    ///             sender.send("eight...")?; // The second waits until the first is on its way.
    ///         }
    ///         sender.finish();
    ///         Ok::<(), SendError>(())
    ///     });
    ///     Response::text(body)
    /// });
    /// assert_eq!(response.text(), "eight...".repeat(3));
    /// ```
    ///
    /// # Errors
    ///
    /// [`SendError::PeerGone`] if the connection is gone; [`SendError::WouldDeadlock`] if the thread that would block runs
    /// the loop, which alone can make room, or still has to return the response.
    pub fn send(&self, piece: impl Into<Bytes>) -> Result<(), SendError> {
        let mut piece: Bytes = piece.into();
        let mut queue = self.channel.lock();
        while !queue.is_peer_gone() && !self.channel.has_room(&queue, piece.len()) {
            let is_unattached = matches!(queue.receiver, ReceiverState::Unattached);
            if is_loop_thread() || (is_unattached && thread::current().id() == self.channel.made_by)
            {
                return Err(SendError::WouldDeadlock);
            }
            queue.blocked += 1;
            queue = self
                .channel
                .room
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
            queue.blocked -= 1;
        }
        self.channel.push(&mut queue, &mut piece)
    }

    /// Sends a piece if there is room for it now.
    ///
    /// ```
    /// use coldstart::message::TrySendError;
    /// use coldstart::{Body, Bytes};
    ///
    /// let (sender, body) = Body::channel(8);
    /// assert_eq!(sender.try_send("eight..."), Ok(()));
    /// assert_eq!(sender.try_send("more"), Err(TrySendError::Full(Bytes::from("more"))));
    /// drop(body);
    /// assert_eq!(sender.try_send("more"), Err(TrySendError::PeerGone));
    /// ```
    ///
    /// # Errors
    ///
    /// [`TrySendError::Full`] returns the piece; [`TrySendError::PeerGone`] if the connection is gone.
    pub fn try_send(&self, piece: impl Into<Bytes>) -> Result<(), TrySendError> {
        let mut piece: Bytes = piece.into();
        let mut queue = self.channel.lock();
        if !queue.is_peer_gone() && !self.channel.has_room(&queue, piece.len()) {
            queue.refused_len = piece.len();
            return Err(TrySendError::Full(piece));
        }
        let pushed = self.channel.push(&mut queue, &mut piece);
        pushed.map_err(|_| TrySendError::PeerGone)
    }

    /// For async code of any runtime: ready when a piece can be sent; after a [`TrySendError::Full`], when the piece that it
    /// returned can. `std::future::poll_fn` makes it awaitable. The task that polled last is woken.
    ///
    /// ```
    /// use std::future::poll_fn;
    ///
    /// use coldstart::message::{BodySender, SendError, TrySendError};
    /// use coldstart::{Body, Bytes, Response, TestRequest, spawn};
    ///
    /// async fn send(sender: &BodySender, mut piece: Bytes) -> Result<(), SendError> {
    ///     while let Err(error) = sender.try_send(piece) {
    ///         match error {
    ///             TrySendError::Full(back) => piece = back,
    ///             _ => return Err(SendError::PeerGone),
    ///         }
    ///         poll_fn(|context| sender.poll_ready(context)).await?;
    ///     }
    ///     Ok(())
    /// }
    ///
    /// let response = TestRequest::get("/").run(|_| {
    ///     let (sender, body) = Body::channel(4);
    ///     let task = spawn(async move {
    ///         for piece in ["four", "more"] {
    ///             send(&sender, piece.into()).await?;
    ///         }
    ///         sender.finish();
    ///         Ok::<_, SendError>(())
    ///     });
    ///     assert!(task.is_ok(), "there are not many tasks");
    ///     Response::text(body)
    /// });
    /// assert_eq!(response.text(), "fourmore");
    /// ```
    ///
    /// # Errors
    ///
    /// [`SendError::PeerGone`] if the connection is gone.
    pub fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        // A waker is foreign code: it is cloned and dropped outside the lock.
        let waker = context.waker().clone();
        let mut queue = self.channel.lock();
        if queue.is_peer_gone() {
            return Poll::Ready(Err(SendError::PeerGone));
        }
        if self.channel.has_room(&queue, queue.refused_len.max(1)) {
            return Poll::Ready(Ok(()));
        }
        let before = queue.waiting.replace(waker);
        drop(queue);
        drop(before);
        Poll::Pending
    }

    /// Sends `piece` once it has room; until then it stays with the caller.
    pub(crate) fn poll_send(
        &self,
        piece: &mut Bytes,
        context: &Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        self.poll_with_room(piece.len(), context, |channel, queue| {
            channel.push(queue, piece)
        })
    }

    /// Adds a part of this length to what waits, once there is room for it: parts that follow one another are taken as one piece.
    pub(crate) fn poll_append(
        &self,
        len: usize,
        context: &Context<'_>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Poll<Result<(), SendError>> {
        self.poll_with_room(len, context, |channel, queue| {
            channel.put(queue, len, |held| held.append(len, write))
        })
    }

    fn poll_with_room(
        &self,
        len: usize,
        context: &Context<'_>,
        put: impl FnOnce(&Channel, &mut Queue) -> Result<(), SendError>,
    ) -> Poll<Result<(), SendError>> {
        let mut queue = self.channel.lock();
        if queue.is_over() || self.channel.has_room(&queue, len) {
            return Poll::Ready(put(&self.channel, &mut queue));
        }
        drop(queue);
        // A waker is foreign code: it is cloned and dropped outside the lock. Room may be made meanwhile.
        let waker = context.waker().clone();
        let mut queue = self.channel.lock();
        if queue.is_over() || self.channel.has_room(&queue, len) {
            return Poll::Ready(put(&self.channel, &mut queue));
        }
        let before = queue.waiting.replace(waker);
        drop(queue);
        drop(before);
        Poll::Pending
    }

    /// Calls the waker when the peer has gone, or a piece was taken before.
    pub(crate) fn wake_when_gone(&self, waker: Waker) {
        let before = self.channel.lock().waiting.replace(waker);
        drop(before);
    }

    /// Whether the peer is gone, so that work for it can stop.
    #[must_use]
    pub fn is_peer_gone(&self) -> bool {
        self.channel.lock().is_peer_gone()
    }

    /// Whether the peer is still connected.
    #[must_use]
    pub fn peer(&self) -> PeerState {
        let queue = self.channel.lock();
        match queue.receiver {
            ReceiverState::Gone => PeerState::Gone,
            _ if queue.is_half_closed => PeerState::HalfClosed,
            ReceiverState::Unattached
            | ReceiverState::HandedOver
            | ReceiverState::Attached
            | ReceiverState::Looking => PeerState::Open,
        }
    }

    /// What sends beside it.
    pub(crate) fn pulse(&self) -> Pulse {
        Pulse {
            channel: Arc::clone(&self.channel),
        }
    }

    /// Ends the body: it is complete.
    pub fn finish(self) {
        let mut queue = self.channel.lock();
        queue.sender = SenderState::Finished;
        // Drop notifies the loop.
    }

    /// Ends the body with trailer fields, if they may be sent: see [`Trailers`].
    ///
    /// ```
    /// use coldstart::message::Trailers;
    /// use coldstart::{Body, Response, TestRequest};
    ///
    /// let mut response = TestRequest::get("/").header("te", "trailers").run(|_| {
    ///     let (sender, body) = Body::channel(64 * 1024);
    ///     std::thread::spawn(move || {
    ///         sender.send("hello")?;
    ///         sender.finish_with(Trailers::new().field("x-letters", 5_u64));
    ///         Ok::<_, coldstart::message::SendError>(())
    ///     });
    ///     Response::text(body)
    /// });
    /// while response.next_piece().is_some() {}
    /// assert_eq!(response.trailer("x-letters"), Some("5"));
    /// ```
    pub fn finish_with(self, trailers: Trailers) {
        let mut queue = self.channel.lock();
        queue.sender = SenderState::Finished;
        let closing = queue.closing.get_or_insert_default();
        closing.trailers = trailers;
        // Drop notifies the loop.
    }
}

impl Drop for BodySender {
    fn drop(&mut self) {
        self.work = None;
        let mut queue = self.channel.lock();
        if queue.sender == SenderState::Sending {
            queue.sender = SenderState::Dropped;
        }
        queue.notify();
    }
}

impl fmt::Debug for BodySender {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = self.channel.lock();
        formatter
            .debug_struct("BodySender")
            .field("bytes_waiting", &queue.held.len())
            .finish_non_exhaustive()
    }
}

/// Sends into a channel that another has the sender of.
pub(crate) struct Pulse {
    channel: Arc<Channel>,
}

impl Pulse {
    /// Sends a piece if nothing waits, and the body is not over.
    pub(crate) fn send(&self, mut piece: Bytes) {
        let mut queue = self.channel.lock();
        if queue.held.is_empty() {
            let _ = self.channel.push(&mut queue, &mut piece);
        }
    }
}

/// The loop's end of a channel.
pub(crate) struct BodySource {
    channel: Arc<Channel>,
}

impl BodySource {
    /// From now on `notify` is called when [`take`](Self::take) would return something new, and what waits counts in `memory`.
    pub(crate) fn attach(&self, to: Attachment<'_>) {
        let names = announced(to.fields);
        let mut queue = self.channel.lock();
        queue.receiver = ReceiverState::Attached;
        queue.notify = Some(to.notify);
        queue.held.count_in(to.memory);
        if !names.is_empty() {
            queue.closing.get_or_insert_default().names = names;
        }
        // A sender may be waiting for its response to be returned.
        self.channel.unlock(queue, Condvar::notify_all);
    }

    /// The loop is about to poll what sends: until [`end_look`](Self::end_look) it is not notified.
    pub(crate) fn begin_look(&self) {
        let mut queue = self.channel.lock();
        queue.look(ReceiverState::Attached, ReceiverState::Looking);
    }

    /// The loop has polled it. If it is over, that says how, unless the sender has said so before.
    pub(crate) fn end_look(&self, end: Option<SenderState>) {
        let mut queue = self.channel.lock();
        queue.look(ReceiverState::Looking, ReceiverState::Attached);
        if let Some(end) = end
            && queue.sender != SenderState::Finished
        {
            queue.sender = end;
        }
    }

    pub(crate) fn take(&self) -> Piece {
        let mut queue = self.channel.lock();
        let Some(piece) = queue.held.pop() else {
            return match queue.sender {
                SenderState::Sending => Piece::Pending,
                SenderState::Finished => {
                    let end = queue.closing.take();
                    Piece::Finished(end.map(|end| end as Box<dyn EndWithTrailers>))
                }
                SenderState::Dropped => Piece::Cut,
            };
        };
        #[cfg(feature = "_sim")]
        crate::sync::tally::count(|tally| tally.pieces += 1);
        let waiting = queue.waiting.take();
        self.channel.unlock(queue, Condvar::notify_one);
        if let Some(waiting) = waiting {
            let _ = contain(|| waiting.wake());
        }
        Piece::Bytes(piece)
    }
}

impl Arriving for BodySource {
    fn hand_over(&self) {
        self.channel.lock().receiver = ReceiverState::HandedOver;
    }

    fn attach(self: Box<Self>, to: Attachment<'_>) -> Box<dyn PieceSource> {
        Self::attach(&self, to);
        self
    }
}

impl PieceSource for BodySource {
    fn next(&mut self, _: &mut usize) -> Piece {
        self.take()
    }

    fn half_close(&self) {
        self.channel.lock().is_half_closed = true;
    }
}

impl Drop for BodySource {
    fn drop(&mut self) {
        let mut queue = self.channel.lock();
        queue.receiver = ReceiverState::Gone;
        queue.notify = None;
        let pieces = queue.held.take_all();
        let waiting = queue.waiting.take();
        self.channel.unlock(queue, Condvar::notify_all);
        // Pieces and waker are the user's: each is dropped by itself, and a panic of one keeps nothing from the others.
        if let Some(waiting) = waiting {
            let _ = contain(|| waiting.wake());
        }
        for piece in pieces {
            let _ = contain(|| drop(piece));
        }
    }
}

#[cfg(test)]
mod tests {
    use core::task::{Context, Poll, Waker};
    use std::sync::Arc;
    use std::task::Wake;

    use super::{
        Attachment, Body, BodySender, Bytes, Notify, Piece, SendError, TrySendError, channel,
    };
    use crate::sync::contain::foreign::alarming_waker;
    use crate::sync::memory::Memory;
    use crate::sync::oneshot::oneshot;

    fn to(notify: Notify, memory: &Arc<Memory>) -> Attachment<'_> {
        Attachment {
            notify,
            memory,
            fields: &[],
        }
    }

    #[test]
    fn a_full_channel_gives_the_piece_back() {
        let (sender, body) = Body::channel(4);
        assert_eq!(
            sender.try_send("12345"),
            Ok(()),
            "a larger piece passes when nothing waits"
        );
        assert_eq!(sender.try_send("6"), Err(TrySendError::Full("6".into())));
        assert_eq!(sender.send("6"), Err(SendError::WouldDeadlock));
        drop(body);
        assert_eq!(sender.send("6"), Err(SendError::PeerGone));
        assert!(sender.is_peer_gone());
    }

    /// Memory that locks the channel when it is freed: under the channel's lock that would deadlock.
    struct Asks(Arc<BodySender>, &'static [u8]);

    impl AsRef<[u8]> for Asks {
        fn as_ref(&self) -> &[u8] {
            self.1
        }
    }

    impl Drop for Asks {
        fn drop(&mut self) {
            assert!(
                self.0.is_peer_gone() || self.1.is_empty(),
                "it is freed when the loop does not take it"
            );
        }
    }

    #[test]
    fn memory_is_given_back_outside_the_lock() {
        let (sender, body) = Body::channel(8);
        let sender = Arc::new(sender);
        let piece = |bytes| Bytes::from_owner(Asks(Arc::clone(&sender), bytes));
        assert_eq!(sender.send(piece(b"a")), Ok(()));
        assert_eq!(sender.send(piece(b"")), Ok(()));
        drop(body);
        assert_eq!(sender.send(piece(b"b")), Err(SendError::PeerGone));
        assert_eq!(sender.try_send(piece(b"c")), Err(TrySendError::PeerGone));
    }

    /// A waker that locks the channel when it is dropped, as a task does that owns the sender.
    struct CurrentRequest(Arc<BodySender>);

    impl Wake for CurrentRequest {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for CurrentRequest {
        fn drop(&mut self) {
            assert!(!self.0.is_peer_gone(), "the source is still here");
        }
    }

    #[test]
    fn a_task_that_waited_before_is_dropped_outside_the_lock() {
        let (sender, source) = channel(1);
        let sender = Arc::new(sender);
        assert_eq!(sender.send("a"), Ok(()));
        for _ in 0..2 {
            let waker = Waker::from(Arc::new(CurrentRequest(Arc::clone(&sender))));
            let mut context = Context::from_waker(&waker);
            assert_eq!(sender.poll_ready(&mut context), Poll::Pending);
        }
        assert!(matches!(source.take(), Piece::Bytes(_)));
    }

    #[test]
    fn a_waker_that_panics_is_no_fault_of_the_loop() {
        let waker = alarming_waker();
        let mut context = Context::from_waker(&waker);
        let (sender, source) = channel(1);
        assert_eq!(sender.send("a"), Ok(()));
        assert_eq!(sender.poll_ready(&mut context), Poll::Pending);
        assert!(matches!(source.take(), Piece::Bytes(_)));
        assert_eq!(sender.send("b"), Ok(()));
        assert_eq!(sender.poll_ready(&mut context), Poll::Pending);
        drop(source);
        assert_eq!(sender.send("c"), Err(SendError::PeerGone));
    }

    #[test]
    fn it_is_ready_when_the_piece_that_came_back_has_room() {
        let (sender, source) = channel(3);
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(sender.send("ab"), Ok(()));
        assert_eq!(sender.poll_ready(&mut context), Poll::Ready(Ok(())));
        assert_eq!(sender.try_send("cd"), Err(TrySendError::Full("cd".into())));
        // If it were ready now, it would be polled again and again and never wait.
        assert_eq!(sender.poll_ready(&mut context), Poll::Pending);
        assert_eq!(sender.try_send("c"), Ok(()));
        assert_eq!(sender.poll_ready(&mut context), Poll::Pending);
        assert!(matches!(source.take(), Piece::Bytes(_)));
        assert_eq!(sender.poll_ready(&mut context), Poll::Ready(Ok(())));
    }

    #[test]
    fn small_pieces_count_for_what_they_take() {
        let (sender, body) = Body::channel(64 * 1024);
        let accepted = (0..10_000).take_while(|_| sender.try_send("a").is_ok());
        assert_eq!(accepted.count(), 1024);
        drop(body);
    }

    #[test]
    fn a_channel_goes_on_piece_by_piece_while_others_hold_all_memory() {
        let (sender, source) = channel(64 * 1024);
        let memory = Arc::new(Memory::new(Some(1000), || None));
        assert_eq!(sender.try_send("a"), Ok(()), "before the body is returned");
        source.attach(to(Notify::new(|| {}), &memory));
        assert_eq!(sender.try_send("b"), Ok(()), "there is room");
        memory.take_anyway(1000);
        for _ in 0..2 {
            assert!(matches!(sender.try_send("c"), Err(TrySendError::Full(_))));
            while matches!(source.take(), Piece::Bytes(_)) {}
            assert_eq!(sender.try_send("c"), Ok(()));
        }
        drop(source);
        assert_eq!(memory.held(), 1000, "what waited is given back");
    }

    fn append(sender: &BodySender, part: &str) -> Poll<Result<(), SendError>> {
        let context = Context::from_waker(Waker::noop());
        sender.poll_append(part.len(), &context, |tail| {
            tail.extend_from_slice(part.as_bytes());
        })
    }

    #[test]
    fn parts_are_one_piece_until_another_piece_follows() {
        let (sender, source) = channel(64 * 1024);
        let memory = Arc::new(Memory::new(None, || None));
        assert_eq!(append(&sender, "a"), Poll::Ready(Ok(())), "unattached");
        source.attach(to(Notify::new(|| {}), &memory));
        for part in ["b", "c"] {
            assert_eq!(append(&sender, part), Poll::Ready(Ok(())));
        }
        assert_eq!(sender.send("d"), Ok(()));
        assert_eq!(append(&sender, "e"), Poll::Ready(Ok(())));
        assert_eq!(memory.held(), 5 + 3 * 64);
        for piece in ["abc", "d"] {
            assert!(matches!(source.take(), Piece::Bytes(taken) if taken == piece));
        }
        assert_eq!(append(&sender, "f"), Poll::Ready(Ok(())));
        assert!(matches!(source.take(), Piece::Bytes(piece) if piece == "ef"));
        assert!(matches!(source.take(), Piece::Pending));
        assert_eq!(append(&sender, "g"), Poll::Ready(Ok(())));
        drop(source);
        assert_eq!(memory.held(), 0, "what waited is given back");
        assert_eq!(append(&sender, "h"), Poll::Ready(Err(SendError::PeerGone)));
    }

    #[test]
    fn as_many_parts_wait_as_pieces() {
        let (sender, source) = channel(64 * 1024);
        for _ in 0..2 {
            let ready = (0..10_000).take_while(|_| append(&sender, "a").is_ready());
            assert_eq!(ready.count(), 1024);
            assert!(matches!(source.take(), Piece::Bytes(piece) if piece.len() == 1024));
        }
    }

    #[test]
    fn room_wakes_the_sender_and_a_piece_wakes_the_receiver() {
        let (sender, source) = channel(1);
        let (tell, told) = std::sync::mpsc::channel();
        let notify = Notify::new(move || {
            tell.send(()).expect("somebody listens");
        });
        source.attach(to(notify, &Arc::new(Memory::new(None, || None))));
        let mut taken = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for piece in ["a", "b", "c"] {
                    sender.send(piece).expect("a peer");
                }
                sender.finish();
            });
            loop {
                match source.take() {
                    Piece::Bytes(piece) => taken.push(piece),
                    Piece::Pending => told.recv().expect("news comes"),
                    Piece::Finished(_) => break,
                    Piece::Cut | Piece::WrongLength | Piece::Broken => panic!("it was finished"),
                }
            }
        });
        assert_eq!(taken.concat(), b"abc");
    }

    #[test]
    fn a_sender_may_wait_for_room_once_the_body_is_elsewhere() {
        let (sender, body) = Body::channel(1);
        let (reply, promised) = oneshot::<crate::Response>();
        sender.send("a").expect("room");
        let response = crate::Response::text(body);
        response.hand_over();
        reply.send(response);
        std::thread::scope(|scope| {
            scope.spawn(move || drop(promised));
            // The peer's end is dropped: that is reported as such, not as a deadlock.
            assert_eq!(sender.send("b"), Err(SendError::PeerGone));
        });
    }

    #[test]
    fn a_sender_dropped_unfinished_is_a_cut() {
        for finishes in [false, true] {
            let (sender, source) = channel(4);
            assert!(matches!(source.take(), Piece::Pending));
            sender.send("a").expect("room");
            if finishes {
                sender.finish();
            } else {
                drop(sender);
            }
            assert!(matches!(source.take(), Piece::Bytes(piece) if piece == "a"));
            assert_eq!(matches!(source.take(), Piece::Finished(None)), finishes);
            assert_eq!(matches!(source.take(), Piece::Cut), !finishes);
        }
    }
}
