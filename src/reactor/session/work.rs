//! What a session owns only while a request is unfinished or an answer unsent.

use bytes::Bytes;

use crate::handler::{Upgrade, Upload};
use crate::message::body::{BodySource, FilePart};
use crate::message::response::Response;
use crate::sync::notify::Notify;
use crate::sync::oneshot::Receiver;
use crate::sync::pause::Pause;

use crate::reactor::deadlines::Renewal;
use crate::reactor::send_queue::SendQueue;

/// Memory of one session. An idle connection has none.
#[derive(Default)]
pub(in crate::reactor) struct Work {
    /// Bytes that came and could not be taken yet.
    pub(in crate::reactor) input: Vec<u8>,
    pub(in crate::reactor) appetite: Appetite,
    /// The head of the request whose body is being collected.
    pub(in crate::reactor) head: Vec<u8>,
    pub(in crate::reactor) sink: RequestSink,
    pub(in crate::reactor) source: ResponseSource,
    /// Bytes that the socket had no room for.
    pub(in crate::reactor) out: SendQueue,
    /// Bytes of the body since its deadline was last set.
    pub(in crate::reactor) quota_len: u32,
}

impl Work {
    /// Whether nothing of it is needed any more.
    pub(in crate::reactor) fn is_over(&self) -> bool {
        self.input.is_empty()
            && self.appetite == Appetite::Starved
            && self.head.is_empty()
            && self.out.is_empty()
            && matches!(self.sink, RequestSink::Nothing)
            && matches!(self.source, ResponseSource::Nothing)
    }

    /// Whether the upload does not want more yet; if its pause is over, it goes on from here, and its time with it.
    pub(in crate::reactor) fn is_paused(
        &mut self,
        renewal: &mut Renewal,
        notify: impl FnOnce() -> Notify,
    ) -> bool {
        let RequestSink::Paused(_, pause) = &self.sink else {
            return false;
        };
        if !pause.is_over(notify) {
            return true;
        }
        if let RequestSink::Paused(upload, _) = std::mem::take(&mut self.sink) {
            self.sink = RequestSink::Upload(upload);
        }
        *renewal = Renewal::New;
        false
    }
}

/// Whether another look at the kept input can bring anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::reactor) enum Appetite {
    /// Not before more bytes come.
    #[default]
    Starved,
    /// It was left because something else had to happen first. There may be no byte of it: the end of a body, or the
    /// wish for `100 Continue`, is seen by looking.
    Untried,
}

/// Where a request's body goes.
#[derive(Default)]
pub(in crate::reactor) enum RequestSink {
    /// Nowhere: there is none, or it is thrown away.
    #[default]
    Nothing,
    Buffer(Vec<u8>),
    Upload(Box<dyn Upload>),
    /// To the upload, once it is ready again.
    Paused(Box<dyn Upload>, Pause),
}

/// Where the rest of an answer comes from.
#[derive(Default)]
pub(in crate::reactor) enum ResponseSource {
    /// There is no rest.
    #[default]
    Nothing,
    /// The whole answer, from elsewhere.
    Promise(Receiver<Response>),
    Channel(BodySource),
    File(FilePart),
    /// The answer is `101`, and what follows is no longer ours.
    Upgrade(Upgrade),
}

/// A session's socket leaves the loop.
pub(in crate::reactor) struct HandOver {
    pub(in crate::reactor) upgrade: Upgrade,
    /// What came behind the request.
    pub(in crate::reactor) rest: Bytes,
}
