//! Where the rest of an answer comes from, once its head has gone: a promise, a channel, a file.

use std::os::unix::fs::FileExt as _;

use bytes::Bytes;

use crate::body::{Body, Content, FilePart, Piece};
use crate::handler::Handler;
use crate::limits::FILE_PIECE_LEN;
use crate::os::Os;
use crate::promise::{Promise, Promised};
use crate::response::Source;

use super::Context;
use super::session::Session;
use super::work::Supply;

impl<S> Session<S> {
    /// What is to come of an answer comes from here.
    #[inline(never)]
    pub(super) fn supply_from<O: Os, H>(&mut self, source: Source, context: &Context<'_, O, H>) {
        match source {
            // The head was the whole answer.
            Source::Body(Body(Content::File(part))) if part.rest.is_empty() => {}
            Source::Body(Body(Content::File(part))) => self.work().supply = Supply::File(part),
            Source::Body(Body(Content::Channel(source))) => {
                source.attach(context.notify());
                self.work().supply = Supply::Channel(source);
            }
            Source::Body(Body(Content::Whole(_))) => {}
            Source::Promise(promise) => self.work().supply = Supply::Promise(promise),
        }
    }

    /// Brings the next batch of an answer under way from its `supply`, which was taken for that.
    #[inline(never)]
    pub(super) fn supply<O: Os<Socket = S>, H: Handler>(
        &mut self,
        supply: Supply,
        context: &mut Context<'_, O, H>,
    ) {
        match supply {
            Supply::Nothing => {}
            Supply::Promise(promise) => self.supply_promise(promise, context),
            Supply::Upgrade(upgrade) => {
                let fields = upgrade.fields.iter();
                let fields = fields.map(|(name, value)| (name.as_str(), value.as_bytes()));
                self.connection
                    .encode_switch(context.scratch.out.run(), fields);
                self.work().supply = Supply::Upgrade(upgrade);
            }
            Supply::File(part) => self.supply_file(part, context),
            Supply::Channel(source) => {
                while context.scratch.out.len() < FILE_PIECE_LEN {
                    match source.take() {
                        Piece::Bytes(mut piece) => self.encode_piece(&mut piece, context),
                        Piece::Pending => break,
                        Piece::Finished => return self.encode_end(context),
                        Piece::Cut => return self.connection.cut(),
                    }
                }
                self.work().supply = Supply::Channel(source);
            }
        }
    }

    /// The promised answer, if it is here. It may be a promise in its turn, where one pool has handed on to another.
    fn supply_promise<O: Os<Socket = S>, H: Handler>(
        &mut self,
        mut promise: Promise,
        context: &mut Context<'_, O, H>,
    ) {
        loop {
            match promise.poll(|| context.notify()) {
                Promised::Pending => {
                    self.work().supply = Supply::Promise(promise);
                    return;
                }
                Promised::Broken => return self.answer_failure(context),
                Promised::Kept(mut response) => self.answer(&mut response, context),
            }
            let work = self.work();
            match std::mem::take(&mut work.supply) {
                Supply::Promise(next) => promise = next,
                supply @ (Supply::Nothing
                | Supply::Upgrade(_)
                | Supply::File(_)
                | Supply::Channel(_)) => {
                    work.supply = supply;
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
                    self.work().supply = Supply::File(part);
                } else {
                    self.encode_end(context);
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {
                self.work().supply = Supply::File(part);
            }
            Ok(0) | Err(_) => self.on_wrong_length(context),
        }
    }
}
