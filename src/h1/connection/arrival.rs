//! A head that has arrived, and is indexed: what it says about its message and its connection.

use super::{Connection, Continuation, Event};
use crate::h1::decode::Decoder;
use crate::h1::encode::RequestMethod;
use crate::h1::framing::{self, BodyLength, Expectation, TrailerUse, UpgradeOffer};
use crate::h1::head::HeadView;
use crate::h1::refusal::Refusal;
use crate::h1::state::RecvFact;

impl Connection {
    /// A plain head has arrived, and is indexed.
    #[inline]
    pub(super) fn take_plain_head<'a>(
        &mut self,
        head: HeadView<'_>,
    ) -> Result<(usize, Event<'a>), Refusal> {
        let Some(body) = framing::read_usual(head) else {
            let taken = self.take_head(head);
            return taken.inspect_err(|_| self.on_refused_head(head.as_bytes()));
        };
        self.upgrade = UpgradeOffer::None;
        self.trailers = TrailerUse::Unknown;
        self.continuation = Continuation::Unasked;
        Ok(self.on_head(head, body))
    }

    /// A head has arrived, and is indexed.
    #[inline(never)]
    pub(super) fn take_head<'a>(
        &mut self,
        head: HeadView<'_>,
    ) -> Result<(usize, Event<'a>), Refusal> {
        let framing = framing::read(head)?;
        self.close = self.close.or(framing.close);
        self.upgrade = framing.upgrade;
        self.trailers = framing.trailers;
        self.continuation = match framing.expectation {
            Expectation::None => Continuation::Unasked,
            Expectation::Continue => Continuation::Asked,
        };
        Ok(self.on_head(head, framing.body))
    }

    #[inline]
    fn on_head<'a>(&mut self, head: HeadView<'_>, body: BodyLength) -> (usize, Event<'a>) {
        self.version = head.version();
        self.method = if head.is_head() {
            RequestMethod::Head
        } else {
            RequestMethod::Other
        };
        self.decoder = Decoder::new(body);
        self.recv = self.recv.on(match body {
            BodyLength::None => RecvFact::HeadAlone,
            BodyLength::Length(_) | BodyLength::Chunked => RecvFact::HeadAndBody,
        });
        (head.as_bytes().len(), Event::Head { body })
    }
}
