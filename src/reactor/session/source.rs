//! Where the rest of a response comes from after its head was sent: a promise, a future, a file, or code that
//! sends it piece by piece.

use crate::handler::Handler;
use crate::handler::outcome::{Awaited, Pending, Wire};
use crate::limits::FILE_PIECE_LEN;
use crate::message::body::{self, Attachment, Body, Content, Piece, PieceSource, Step};
use crate::message::response::Response;
use crate::observe::ServerEvent;
use crate::os::Os;
use crate::reactor::deadlines::Renewal;
use crate::sync::oneshot::Polled;

use super::action::Written;
use super::driver::Driver;
use super::work::ResponseSource;

impl<O: Os, H: Handler> Driver<'_, O, H> {
    /// Remembers where the rest of the response comes from.
    #[inline(never)]
    pub(super) fn attach(&mut self, response: &mut Response) {
        match response.take_body() {
            Body(Content::Arriving(body)) if self.session.connection.is_body_due() => {
                let source = body.attach(Attachment {
                    notify: self.context.notify(),
                    memory: &self.context.shared.memory,
                    fields: response.raw_fields(),
                });
                self.polls_left = 1;
                // Pieces that wait already go out together with the head.
                self.pull_arriving(source);
            }
            // The head was the whole response.
            Body(Content::Whole(_) | Content::Arriving(_)) => {}
        }
    }

    /// The response comes later.
    #[inline(never)]
    pub(super) fn await_response(&mut self, awaited: Awaited) {
        let source = &mut self.session.work().source;
        *source = ResponseSource::Awaited(awaited);
        if let ResponseSource::Awaited(Awaited::Future(future)) = source {
            let notify = self.context.notify();
            // One that was woken in its first poll is polled in this turn, if there is a poll left: that needs no wake-up.
            if future.attach(notify.clone()) && self.polls_left == 0 {
                notify.notify();
            }
        }
    }

    /// Encodes the next batch of the response. The caller has taken `source` out of the session; what remains of it is put
    /// back. Returns how far it got if it sent the batch itself.
    #[inline(never)]
    pub(super) fn pull(&mut self, source: ResponseSource) -> Written {
        match source {
            ResponseSource::Nothing => {}
            ResponseSource::Awaited(awaited) => self.pull_awaited(awaited),
            ResponseSource::Upgrade(mut upgrade) => {
                let fields = upgrade.fields.iter();
                let fields = fields.map(|(name, value)| (name.as_str(), value.as_bytes()));
                let (os, scratch) = (&*self.context.os, &mut *self.context.scratch);
                self.session.connection.encode_switch(
                    scratch.out.run(),
                    upgrade.protocol.as_bytes(),
                    scratch.date.line(|| os.unix_seconds()),
                    fields,
                );
                match upgrade.take_code() {
                    Some(code) => self.stay(code),
                    None => self.session.work().source = ResponseSource::Upgrade(upgrade),
                }
            }
            ResponseSource::Arriving(source) => return self.pull_arriving(source),
        }
        Written::All
    }

    /// The pieces that are here, or as many as go out at once.
    pub(super) fn pull_arriving(&mut self, mut source: Box<dyn PieceSource>) -> Written {
        let began_at = self.begin_call();
        let (mut is_over, mut written) = (false, Written::All);
        while self.context.scratch.out.len() < FILE_PIECE_LEN && self.pieces_left > 0 {
            self.pieces_left -= 1;
            let (os, socket) = (&mut *self.context.os, &self.session.socket);
            let is_first = self.context.scratch.out.is_empty();
            let wire = body::Wire {
                outlet: is_first.then(|| os.outlet(socket)),
                connection: &mut self.session.connection,
                pieces_left: &mut self.pieces_left,
            };
            let step = source.send_next(&mut self.polls_left, wire);
            is_over = !step.is_followed() && !source.goes_on();
            match step {
                Step::Piece(Piece::Bytes(mut piece)) => {
                    self.encode_piece(&mut piece);
                    continue;
                }
                Step::Sent => {
                    self.session.renewal = Renewal::New;
                    continue;
                }
                Step::Full => {
                    self.context.os.on_full(&self.session.socket);
                    written = Written::Blocked;
                }
                Step::Gone => written = Written::PeerGone,
                Step::Piece(Piece::Pending) => {}
                Step::Piece(Piece::Finished(None)) => self.encode_end(),
                Step::Piece(Piece::Finished(Some(end))) => self.encode_end_with(&*end),
                Step::Piece(Piece::Cut) => self.session.connection.cut(),
                Step::Piece(Piece::WrongLength) => self.on_wrong_length(),
                Step::Piece(Piece::Broken) => {
                    self.context.observer.on(ServerEvent::HandlerPanicked);
                    self.session.connection.cut();
                }
            }
            break;
        }
        self.end_call(began_at);
        if !is_over && self.session.connection.is_body_due() {
            self.session.work().source = ResponseSource::Arriving(source);
            if self.pieces_left == 0 {
                written = Written::BudgetSpent;
            }
        }
        written
    }

    /// The response, if it is here. It may be another promise, when one pool has passed the request to another.
    fn pull_awaited(&mut self, mut awaited: Awaited) {
        let polled = match &mut awaited {
            Awaited::Promise(promise) => promise.poll(|| self.context.notify()),
            Awaited::Future(future) => {
                let began_at = self.begin_call();
                let work = self.session.work.get_or_insert_default();
                let wire = Wire {
                    connection: &mut self.session.connection,
                    out: self.context.scratch.out.run(),
                    half_closed: &mut work.half_closed,
                };
                let polled = future.poll(&mut self.polls_left, Some(wire));
                self.end_call(began_at);
                if matches!(polled, Polled::Broken) {
                    self.context.observer.on(ServerEvent::HandlerPanicked);
                }
                polled
            }
        };
        match polled {
            Polled::Pending => self.session.work().source = ResponseSource::Awaited(awaited),
            Polled::Broken => self.respond_with_failure(),
            Polled::Filled(Pending::Response(mut response)) => self.respond(&mut response),
            Polled::Filled(Pending::Promise(next)) => {
                self.pull_awaited(Awaited::Promise(next));
            }
        }
    }
}
