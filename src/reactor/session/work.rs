//! Memory that a session owns only while a request is unfinished or a response unsent.

use core::time::Duration;

use crate::handler::middleware::ChangeResponse;
use crate::handler::outcome::{Awaited, WhenHalfClosed};
use crate::handler::{Upgrade, Upload};
use crate::limits::BODY_QUOTA_LEN;
use crate::message::body::PieceSource;
use crate::message::incoming::{Appetite, IncomingSink};
use crate::os::Instant;
use crate::sync::memory::Charge;
use crate::sync::notify::Notify;
use crate::sync::pause::Pause;

use crate::reactor::send_queue::SendQueue;

/// Memory of one session. An idle connection has none.
#[derive(Default)]
pub(super) struct Work {
    /// Bytes that were received but not parsed yet.
    pub(super) input: Vec<u8>,
    pub(super) input_state: InputState,
    /// The head of the request whose body is being buffered.
    pub(super) head: Vec<u8>,
    pub(super) sink: RequestSink,
    pub(super) source: ResponseSource,
    /// Bytes that the socket had no room for.
    pub(super) out: SendQueue,
    /// The memory that the session has beyond one turn.
    pub(super) charge: Option<Charge>,
    /// Bytes of the body since its deadline was last set.
    pub(super) quota_len: u32,
    pub(super) peer_time: PeerTime,
    /// What the handler wants for this response when its peer half-closes.
    pub(super) half_closed: WhenHalfClosed,
    /// What is done with the response before it is sent.
    pub(super) watch: Option<Box<dyn ChangeResponse>>,
}

impl Work {
    /// Whether all of it can be freed.
    pub(super) fn is_over(&self) -> bool {
        self.input.is_empty()
            && self.input_state == InputState::NeedsMore
            && self.head.is_empty()
            && self.out.is_empty()
            && matches!(self.sink, RequestSink::Nothing)
            && matches!(self.source, ResponseSource::Nothing)
    }

    /// Whether an upload takes more. If its pause is over, it continues.
    pub(super) fn appetite(
        &mut self,
        notify: impl FnOnce() -> Notify,
        now: impl FnOnce() -> Instant,
    ) -> Appetite {
        let pause = match &self.sink {
            RequestSink::Pulled(sink) => return sink.appetite(),
            RequestSink::Paused(_, pause) => pause,
            RequestSink::Nothing | RequestSink::Buffer(_) | RequestSink::Upload(_) => {
                return Appetite::More;
            }
        };
        if !pause.is_over(notify) {
            return Appetite::Full;
        }
        if let RequestSink::Paused(upload, _) = std::mem::take(&mut self.sink) {
            self.sink = RequestSink::Upload(upload);
        }
        self.peer_time.since = Some(now());
        Appetite::More
    }

    /// Called when a pause begins, since the session then no longer waits for the peer. Whether the peer has used up `timeout`
    /// without meeting its quota. Each wait between pauses has its own deadline, so their sum is what counts.
    pub(super) fn has_stalled(&mut self, now: Instant, timeout: Duration) -> bool {
        if self.quota_len >= BODY_QUOTA_LEN {
            self.begin_quota();
            return false;
        }
        let time = &mut self.peer_time;
        let wait = time
            .since
            .take()
            .map_or(Duration::ZERO, |since| now.since(since));
        // A longer wait has passed its deadline, so the process was frozen meanwhile.
        if wait <= timeout {
            time.spent = time.spent.saturating_add(wait);
        }
        time.spent >= timeout
    }

    /// The quota is met: the next one begins.
    pub(super) fn begin_quota(&mut self) {
        self.quota_len = 0;
        self.peer_time = PeerTime::default();
    }

    pub(super) fn size(&self) -> WorkSize {
        let body = match &self.sink {
            RequestSink::Buffer(body) => body.capacity(),
            RequestSink::Nothing
            | RequestSink::Upload(_)
            | RequestSink::Paused(..)
            | RequestSink::Pulled(_) => 0,
        };
        WorkSize {
            input: self.input.capacity(),
            head: self.head.capacity(),
            body,
            out: self.out.memory_len(),
        }
    }
}

/// How long the peer of an upload that pauses has been waited for since its quota was last met.
#[derive(Default)]
pub(super) struct PeerTime {
    /// When the last pause ended.
    since: Option<Instant>,
    /// Before that.
    spent: Duration,
}

/// Bytes of memory that one session owns, by kind: capacity, not only what is in use.
#[derive(Clone, Copy, Debug)]
pub(in crate::reactor) struct WorkSize {
    pub(in crate::reactor) input: usize,
    pub(in crate::reactor) head: usize,
    pub(in crate::reactor) body: usize,
    pub(in crate::reactor) out: usize,
}

/// Whether parsing the kept input once more can yield anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum InputState {
    /// Not before more bytes are received.
    #[default]
    NeedsMore,
    /// Parsing stopped because something else had to happen first. The input may be empty: the end of a body, or the
    /// need for `100 Continue`, only shows on the next poll.
    Unparsed,
}

/// Where a request's body goes.
#[derive(Default)]
pub(super) enum RequestSink {
    /// There is no body, or it is discarded.
    #[default]
    Nothing,
    Buffer(Vec<u8>),
    Upload(Box<dyn Upload>),
    /// To the upload, once its pause is over.
    Paused(Box<dyn Upload>, Pause),
    /// To a reader, as it asks for it.
    Pulled(Box<dyn IncomingSink>),
}

/// Where the rest of a response comes from.
#[derive(Default)]
pub(super) enum ResponseSource {
    /// There is no rest.
    #[default]
    Nothing,
    /// The whole response.
    Awaited(Awaited),
    Arriving(Box<dyn PieceSource>),
    /// The response is `101`; after it the bytes are no longer HTTP.
    Upgrade(Upgrade),
}
