//! The way out of HTTP: upgrades (RFC 9110 §7.8), tunnels (§9.3.6), and what the connection is afterwards.

use super::{Connection, Continuation};
use crate::h1::date::DateLine;
use crate::h1::encode::{self, BodyFraming};
use crate::h1::framing::{self, UpgradeOffer};
use crate::h1::head::HeadView;
use crate::h1::state::{Close, Recv, RecvFact, Send, SendFact};

impl Connection {
    /// What follows on this connection is not HTTP: bytes in both directions, each until its side ends. To be called once the
    /// response that says so was written.
    pub(crate) fn switch(&mut self) {
        self.recv = self.recv.on(RecvFact::Switched);
        self.send = self.send.on(SendFact::HeadAndBody);
        self.close = self.close.or(Close::HandlerAsked);
        self.response = BodyFraming::Switched;
    }

    /// HTTP has ended.
    pub(crate) const fn is_switched(&self) -> bool {
        matches!(self.response, BodyFraming::Switched)
    }

    /// Our side was ended, while the peer's goes on.
    pub(crate) fn on_output_ended(&mut self) {
        self.send = self.send.on(SendFact::Ended);
    }

    /// So it is: no more bytes can be sent.
    pub(crate) fn is_output_ended(&self) -> bool {
        self.send == Send::Ended
    }

    pub(crate) const fn upgrade(&self) -> UpgradeOffer {
        self.upgrade
    }

    /// Whether the request whose head this is may become `protocol`. A tunnel has no name, and nothing is left of the request
    /// only if it has no body.
    pub(crate) fn can_switch(&self, head: HeadView<'_>, protocol: &[u8]) -> bool {
        self.recv == Recv::Done
            && match self.upgrade {
                UpgradeOffer::None => false,
                UpgradeOffer::Offered => framing::offers(head, protocol),
                UpgradeOffer::Tunnel => true,
            }
    }

    /// Writes the response that ends HTTP on this connection, at most once: `101` to an upgrade (RFC 9110 §15.2.2), 2xx to
    /// CONNECT (§9.3.6).
    pub(crate) fn encode_switch<'f>(
        &mut self,
        out: &mut Vec<u8>,
        protocol: &[u8],
        date: &DateLine,
        fields: impl Iterator<Item = (&'f str, &'f [u8])>,
    ) {
        match core::mem::replace(&mut self.upgrade, UpgradeOffer::None) {
            UpgradeOffer::None => {}
            UpgradeOffer::Offered => {
                if self.continuation == Continuation::Asked {
                    // RFC 9110 §7.8: even though there is no body.
                    self.continuation = Continuation::Given;
                    encode::encode_continue(out);
                }
                encode::encode_switch(out, protocol, fields);
            }
            UpgradeOffer::Tunnel => encode::encode_tunnel(out, date, fields),
        }
    }
}
