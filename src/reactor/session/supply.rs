//! Where the rest of an answer comes from, once its head has gone: a promise, a channel, a file.

use std::os::unix::fs::FileExt as _;

use bytes::Bytes;

use crate::handler::Handler;
use crate::limits::FILE_PIECE_LEN;
use crate::message::body::{Body, Content, FilePart, Piece};
use crate::message::response::{Response, Source};
use crate::os::Os;
use crate::sync::oneshot::{Polled, Receiver};

use super::Session;
use super::context::Context;
use super::work::ResponseSource;

impl<S> Session<S> {
    /// What is to come of an answer comes from here.
    #[inline(never)]
    pub(super) fn supply_from<O: Os, H>(&mut self, source: Source, context: &Context<'_, O, H>) {
        match source {
            // The head was the whole answer.
            Source::Body(Body(Content::File(part))) if part.rest.is_empty() => {}
            Source::Body(Body(Content::File(part))) => {
                self.work().source = ResponseSource::File(part);
            }
            Source::Body(Body(Content::Channel(source))) => {
                source.attach(context.notify());
                self.work().source = ResponseSource::Channel(source);
            }
            Source::Body(Body(Content::Whole(_))) => {}
            Source::Promise(promise) => self.work().source = ResponseSource::Promise(promise),
        }
    }

    /// Brings the next batch of an answer under way from its `supply`, which was taken for that.
    #[inline(never)]
    pub(super) fn supply<O: Os<Socket = S>, H: Handler>(
        &mut self,
        supply: ResponseSource,
        context: &mut Context<'_, O, H>,
    ) {
        match supply {
            ResponseSource::Nothing => {}
            ResponseSource::Promise(promise) => self.supply_promise(promise, context),
            ResponseSource::Upgrade(upgrade) => {
                let fields = upgrade.fields.iter();
                let fields = fields.map(|(name, value)| (name.as_str(), value.as_bytes()));
                self.connection
                    .encode_switch(context.scratch.out.run(), fields);
                self.work().source = ResponseSource::Upgrade(upgrade);
            }
            ResponseSource::File(part) => self.supply_file(part, context),
            ResponseSource::Channel(source) => {
                while context.scratch.out.len() < FILE_PIECE_LEN {
                    match source.take() {
                        Piece::Bytes(mut piece) => self.encode_piece(&mut piece, context),
                        Piece::Pending => break,
                        Piece::Finished => return self.encode_end(context),
                        Piece::Cut => return self.connection.cut(),
                    }
                }
                self.work().source = ResponseSource::Channel(source);
            }
        }
    }

    /// The promised answer, if it is here. It may be a promise in its turn, where one pool has handed on to another.
    fn supply_promise<O: Os<Socket = S>, H: Handler>(
        &mut self,
        mut promise: Receiver<Response>,
        context: &mut Context<'_, O, H>,
    ) {
        loop {
            match promise.poll(|| context.notify()) {
                Polled::Pending => {
                    self.work().source = ResponseSource::Promise(promise);
                    return;
                }
                Polled::Broken => return self.answer_failure(context),
                Polled::Filled(mut response) => self.answer(&mut response, context),
            }
            let work = self.work();
            match std::mem::take(&mut work.source) {
                ResponseSource::Promise(next) => promise = next,
                supply @ (ResponseSource::Nothing
                | ResponseSource::Upgrade(_)
                | ResponseSource::File(_)
                | ResponseSource::Channel(_)) => {
                    work.source = supply;
                    return;
                }
            }
        }
    }

    /// One piece of a file. A file that ends early, or can't be read, cuts the answer.
    fn supply_file<O: Os<Socket = S>, H: Handler>(
        &mut self,
        mut part: FilePart,
        context: &mut Context<'_, O, H>,
    ) {
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
                self.encode_piece(&mut Bytes::from(piece), context);
                if part.rest.start < part.rest.end {
                    self.work().source = ResponseSource::File(part);
                } else {
                    self.encode_end(context);
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {
                self.work().source = ResponseSource::File(part);
            }
            Ok(0) | Err(_) => self.on_wrong_length(context),
        }
    }
}
