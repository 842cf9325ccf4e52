//! Bodies from files: sent by the kernel where it can, else read piece by piece.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use bytes::Bytes;

use crate::limits::{
    FILE_PIECE_LEN, FILE_SEND_LEN_MAX, FILE_SEND_PIECES_MIN, FILE_SENT_PIECE_LEN,
    SHORT_FILE_LEN_MAX,
};
use crate::message::body::{Arriving, Attachment, Body, Content, Piece, PieceSource, Step, Wire};
use crate::os::{Fault, can_send_files};

impl Body {
    /// The bytes of `file` in `range`, sent as the peer takes them, never in memory as a whole.
    ///
    /// On Linux the kernel sends them, by `sendfile`. Up to 16 KiB are read and sent together with the head; what the kernel cannot
    /// send itself is read in pieces of 64 KiB, as elsewhere. In each of these ways a file on a slow disk keeps the loop waiting.
    ///
    /// The announced length is the range's. If the file turns out to be shorter, the response is cut, which the peer can tell. A
    /// file that is overwritten while it is sent may arrive as a mixture: replace files by renaming, and they arrive as they were.
    ///
    /// ```
    /// use std::fs::File;
    ///
    /// use coldstart::{Body, Request, Response, Status, TestRequest};
    ///
    /// # let place = tempfile::NamedTempFile::new().expect("a file");
    /// # std::fs::write(place.path(), "0123456789").expect("room");
    /// # let path = place.path().to_owned();
    /// let last_half = move |_: &Request<'_>| {
    ///     let file = File::open(&path).map_err(|_| Status::NOT_FOUND)?;
    ///     let len = file.metadata().map_err(|_| Status::NOT_FOUND)?.len();
    ///     Ok::<_, Status>(Response::text(Body::file(file, len / 2..len)))
    /// };
    /// assert_eq!(TestRequest::get("/").run(last_half).text(), "56789");
    /// ```
    #[must_use]
    pub fn file(file: File, range: Range<u64>) -> Self {
        Self(Content::Arriving(Box::new(FilePart {
            file,
            rest: range,
            way: Way::Read,
        })))
    }
}

/// The part of a file that is still to be sent.
struct FilePart {
    file: File,
    rest: Range<u64>,
    way: Way,
}

/// How it is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// In pieces that are read.
    Read,
    /// By the kernel, for as long as it does.
    Kernel,
}

impl FilePart {
    /// Bytes of it, at most `len_max`.
    fn len_up_to(&self, len_max: usize) -> usize {
        let left = self.rest.end.saturating_sub(self.rest.start);
        usize::try_from(left).unwrap_or(usize::MAX).min(len_max)
    }

    fn advance(&mut self, len: usize) {
        self.rest.start = self.rest.start.saturating_add(len as u64);
    }
}

impl Arriving for FilePart {
    fn len(&self) -> Option<u64> {
        Some(self.rest.end.saturating_sub(self.rest.start))
    }

    fn has_own_len(&self) -> bool {
        true
    }

    fn attach(mut self: Box<Self>, _: Attachment<'_>) -> Box<dyn PieceSource> {
        if self.len_up_to(usize::MAX) > SHORT_FILE_LEN_MAX && can_send_files() {
            self.way = Way::Kernel;
        }
        self
    }
}

impl PieceSource for FilePart {
    fn next(&mut self, _: &mut usize) -> Piece {
        let mut piece = vec![0; self.len_up_to(FILE_PIECE_LEN)];
        if piece.is_empty() {
            return Piece::Finished(None);
        }
        loop {
            match self.file.read_at(&mut piece, self.rest.start) {
                Ok(len @ 1..) => {
                    piece.truncate(len);
                    self.advance(len);
                    return Piece::Bytes(Bytes::from(piece));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // It ends early, or cannot be read.
                Ok(0) | Err(_) => return Piece::WrongLength,
            }
        }
    }

    fn send_next(&mut self, polls_left: &mut usize, wire: Wire<'_>) -> Step {
        if self.way == Way::Read || self.rest.is_empty() {
            return Step::Piece(self.next(polls_left));
        }
        let Some(outlet) = wire.outlet else {
            return Step::Piece(Piece::Pending);
        };
        let len = self.len_up_to(FILE_SEND_LEN_MAX);
        match outlet.send(&self.file, self.rest.start, len) {
            Ok(0) => {
                self.way = Way::Read;
                Step::Piece(self.next(polls_left))
            }
            Ok(sent) => {
                self.advance(sent);
                let pieces = (sent / FILE_SENT_PIECE_LEN).max(FILE_SEND_PIECES_MIN);
                *wire.pieces_left = wire.pieces_left.saturating_sub(pieces);
                // Its length is announced, so this only counts.
                let mut nothing = Vec::new();
                if wire
                    .connection
                    .encode_piece_start(&mut nothing, sent)
                    .is_err()
                {
                    return Step::Piece(Piece::WrongLength);
                }
                wire.connection.encode_piece_end(&mut nothing);
                Step::Sent
            }
            Err(Fault::Again) => Step::Full,
            Err(Fault::Gone | Fault::Exhausted | Fault::Other(_)) => Step::Gone,
        }
    }
}
