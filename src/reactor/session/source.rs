//! Where the rest of a response comes from after its head was sent: a promise, a future, a file, or code that
//! sends it piece by piece.

use std::os::unix::fs::FileExt as _;

use bytes::Bytes;

use crate::handler::Handler;
use crate::handler::outcome::{Awaited, Pending, Wire};
use crate::limits::FILE_PIECE_LEN;
use crate::message::body::{Attachment, Body, Content, FilePart, Piece, PieceSource};
use crate::message::response::Response;
use crate::observe::ServerEvent;
use crate::os::Os;
use crate::sync::oneshot::Polled;

use super::driver::Driver;
use super::work::ResponseSource;

impl<O: Os, H: Handler> Driver<'_, O, H> {
    /// Remembers where the rest of the response comes from.
    #[inline(never)]
    pub(super) fn attach(&mut self, response: &mut Response) {
        match response.take_body() {
            // The head was the whole response.
            Body(Content::File(part)) if part.rest.is_empty() => {}
            Body(Content::File(part)) => self.session.work().source = ResponseSource::File(part),
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
            Body(Content::Whole(_) | Content::Arriving(_)) => {}
        }
    }

    /// The response comes later.
    pub(super) fn await_response(&mut self, awaited: Awaited) {
        let source = &mut self.session.work().source;
        *source = ResponseSource::Awaited(awaited);
        if let ResponseSource::Awaited(Awaited::Future(future)) = source {
            future.attach(self.context.notify());
        }
    }

    /// Encodes the next batch of the response. The caller has taken `source` out of the session; what remains of it is put
    /// back.
    #[inline(never)]
    pub(super) fn pull(&mut self, source: ResponseSource) {
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
            ResponseSource::File(part) => self.pull_file(part),
            ResponseSource::Arriving(source) => self.pull_arriving(source),
        }
    }

    /// The pieces that are here, or as many as go out at once.
    pub(super) fn pull_arriving(&mut self, mut source: Box<dyn PieceSource>) {
        let began_at = self.begin_call();
        let mut is_over = false;
        while self.context.scratch.out.len() < FILE_PIECE_LEN && self.pieces_left > 0 {
            self.pieces_left -= 1;
            let piece = source.next(&mut self.polls_left);
            is_over = !matches!(piece, Piece::Bytes(_) | Piece::Pending) && !source.goes_on();
            match piece {
                Piece::Bytes(mut piece) => {
                    self.encode_piece(&mut piece);
                    continue;
                }
                Piece::Pending => {}
                Piece::Finished(None) => self.encode_end(),
                Piece::Finished(Some(end)) => self.encode_end_with(&*end),
                Piece::Cut => self.session.connection.cut(),
                Piece::WrongLength => self.on_wrong_length(),
                Piece::Broken => {
                    self.context.observer.on(ServerEvent::HandlerPanicked);
                    self.session.connection.cut();
                }
            }
            break;
        }
        self.end_call(began_at);
        if !is_over && self.session.connection.is_body_due() {
            self.session.work().source = ResponseSource::Arriving(source);
        }
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

    /// One piece of a file. A file that ends early, or cannot be read, cuts the response.
    fn pull_file(&mut self, mut part: FilePart) {
        let left = part.rest.end.saturating_sub(part.rest.start);
        let mut piece = vec![
            0;
            usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(FILE_PIECE_LEN)
        ];
        match part.file.read_at(&mut piece, part.rest.start) {
            Ok(len @ 1..) => {
                piece.truncate(len);
                part.rest.start = part.rest.start.saturating_add(len as u64);
                self.encode_piece(&mut Bytes::from(piece));
                if part.rest.start < part.rest.end {
                    self.session.work().source = ResponseSource::File(part);
                } else {
                    self.encode_end();
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {
                self.session.work().source = ResponseSource::File(part);
            }
            Ok(0) | Err(_) => self.on_wrong_length(),
        }
    }
}
