//! The memory that the protocol reads and writes in place of a socket.

use std::io::{self, Cursor, ErrorKind, Read, Write};

use bytes::Bytes;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::OpCode;

/// What the protocol takes for its stream. It yields no more than one frame at once, and its header as a whole: so the protocol
/// holds nothing between two frames.
#[derive(Default)]
pub(super) struct Memory {
    arrived: Bytes,
    pub(super) has_ended: bool,
    pub(super) written: Vec<u8>,
    /// Bytes of the frame that are still to be read.
    frame_left: u64,
    message: Fragments,
    /// The length of the largest frame since the last release.
    pub(super) largest: u64,
}

/// Whether the last frame was the last of its message (RFC 6455 §5.4).
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Fragments {
    #[default]
    All,
    MoreToCome,
}

impl Memory {
    /// Called when all that came before was read, apart from the beginning of a header.
    pub(super) fn arrive(&mut self, bytes: Bytes) {
        self.arrived = if self.arrived.is_empty() {
            bytes
        } else {
            [&*self.arrived, &bytes].concat().into()
        };
    }

    pub(super) fn is_between_messages(&self) -> bool {
        self.frame_left == 0 && self.arrived.is_empty() && self.message == Fragments::All
    }

    /// Looks at the header of the next frame, if all of it is here.
    fn begin_frame(&mut self) {
        let mut cursor = Cursor::new(&self.arrived);
        match FrameHeader::parse(&mut cursor) {
            Ok(Some((header, len))) => {
                self.frame_left = cursor.position().saturating_add(len);
                self.largest = self.largest.max(len);
                match header.opcode {
                    OpCode::Data(_) if header.is_final => self.message = Fragments::All,
                    OpCode::Data(_) => self.message = Fragments::MoreToCome,
                    OpCode::Control(_) => {}
                }
            }
            Ok(None) => {}
            // The protocol reports it.
            Err(_) => self.frame_left = u64::MAX,
        }
    }
}

impl Read for Memory {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.frame_left == 0 && !self.arrived.is_empty() {
            self.begin_frame();
        }
        let left = usize::try_from(self.frame_left).unwrap_or(usize::MAX);
        let len = into.len().min(self.arrived.len()).min(left);
        if len == 0 && !self.has_ended {
            return Err(ErrorKind::WouldBlock.into());
        }
        let taken = self.arrived.split_to(len);
        self.frame_left -= len as u64;
        into.get_mut(..len)
            .unwrap_or_default()
            .copy_from_slice(&taken);
        if self.arrived.is_empty() {
            // Nothing is held while nothing arrives.
            self.arrived = Bytes::new();
        }
        Ok(len)
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
