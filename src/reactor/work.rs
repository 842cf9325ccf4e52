//! What a session owns only while a request is unfinished or an answer unsent.

use bytes::Bytes;

use crate::body::{BodySource, FilePart};
use crate::handler::{Upgrade, Upload};
use crate::pause::Pause;
use crate::promise::{Notify, Promise};

use super::deadlines::Renewal;
use super::outbox::Outbox;

/// Memory of one session. An idle connection has none.
#[derive(Default)]
pub(super) struct Work {
    /// Bytes that came and could not be taken yet.
    pub(super) input: Vec<u8>,
    pub(super) appetite: Appetite,
    /// The head of the request whose body is being collected.
    pub(super) head: Vec<u8>,
    pub(super) intake: Intake,
    pub(super) supply: Supply,
    /// Bytes that the socket had no room for.
    pub(super) out: Outbox,
    /// Bytes of the body since its deadline was last set.
    pub(super) quota_len: u32,
}

impl Work {
    /// Whether nothing of it is needed any more.
    pub(super) fn is_over(&self) -> bool {
        self.input.is_empty()
            && self.appetite == Appetite::Starved
            && self.head.is_empty()
            && self.out.is_empty()
            && matches!(self.intake, Intake::Nothing)
            && matches!(self.supply, Supply::Nothing)
    }

    /// Whether the upload does not want more yet; if its pause is over, it goes on from here, and its time with it.
    pub(super) fn is_paused(
        &mut self,
        renewal: &mut Renewal,
        notify: impl FnOnce() -> Notify,
    ) -> bool {
        let Intake::Paused(_, pause) = &self.intake else {
            return false;
        };
        if !pause.is_over(notify) {
            return true;
        }
        if let Intake::Paused(upload, _) = std::mem::take(&mut self.intake) {
            self.intake = Intake::Upload(upload);
        }
        *renewal = Renewal::New;
        false
    }
}

/// Whether another look at the kept input can bring anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Appetite {
    /// Not before more bytes come.
    #[default]
    Starved,
    /// It was left because something else had to happen first. There may be no byte of it: the end of a body, or the
    /// wish for `100 Continue`, is seen by looking.
    Untried,
}

/// Where a request's body goes.
#[derive(Default)]
pub(super) enum Intake {
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
pub(super) enum Supply {
    /// There is no rest.
    #[default]
    Nothing,
    /// The whole answer, from elsewhere.
    Promise(Promise),
    Channel(BodySource),
    File(FilePart),
    /// The answer is `101`, and what follows is no longer ours.
    Upgrade(Upgrade),
}

/// A session's socket leaves the loop.
pub(super) struct HandOver {
    pub(super) upgrade: Upgrade,
    /// What came behind the request.
    pub(super) rest: Bytes,
}
