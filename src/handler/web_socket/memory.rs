//! The memory that the protocol reads and writes in place of a socket.

use std::io::{self, Cursor, ErrorKind, Read, Write};

use bytes::Bytes;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::sync::memory::Charge;

/// What the protocol takes for its stream. It yields no more than one frame at once, and its header as a whole: so the protocol
/// holds nothing between two frames.
pub(super) struct Memory {
    arrived: Bytes,
    pub(super) has_ended: bool,
    pub(super) written: Vec<u8>,
    /// Bytes of the frame that are still to be read.
    frame_left: u64,
    message: Fragments,
    /// The length of the largest frame since the last release, of either side.
    pub(super) largest: u64,
    /// For the message that arrives, which the protocol holds until it is whole.
    pub(super) charge: Option<Charge>,
    /// The largest message.
    pub(super) message_len_max: usize,
}

/// RFC 6455 §5.5.
const CONTROL_LEN_MAX: u64 = 125;

/// Whether the last frame was the last of its message (RFC 6455 §5.4).
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Fragments {
    #[default]
    All,
    MoreToCome,
}

impl Memory {
    pub(super) fn new(message_len_max: usize) -> Self {
        Self {
            arrived: Bytes::new(),
            has_ended: false,
            written: Vec::new(),
            frame_left: 0,
            message: Fragments::All,
            largest: 0,
            charge: None,
            message_len_max,
        }
    }

    /// The message is whole, and its reader's.
    pub(super) fn give_message(&mut self) {
        if let Some(charge) = &mut self.charge {
            // Less always fits.
            let _ = charge.set(0);
        }
    }

    /// Counts a frame of the message, all of which the protocol makes room for. The protocol itself would compare the length of the
    /// message only once the frame is whole.
    fn count(&mut self, len: u64) -> io::Result<()> {
        let Some(charge) = &mut self.charge else {
            return Ok(());
        };
        let held = usize::try_from(len).map_or(usize::MAX, |len| charge.len().saturating_add(len));
        if held > self.message_len_max {
            return Err(ErrorKind::FileTooLarge.into());
        }
        charge.set(held).map_err(|_| ErrorKind::OutOfMemory.into())
    }

    /// Called when all that came before was read, apart from the beginning of a header.
    pub(super) fn arrive(&mut self, bytes: Bytes) {
        self.arrived = if self.arrived.is_empty() {
            bytes
        } else {
            [&*self.arrived, &bytes].concat().into()
        };
    }

    /// Whether the protocol holds nothing of a message: the beginning of a header is held here.
    pub(super) fn is_between_messages(&self) -> bool {
        self.frame_left == 0 && self.message == Fragments::All
    }

    /// All is read that may be: the beginning of a header does not keep what it arrived with.
    pub(super) fn shrink(&mut self) {
        self.arrived = Bytes::copy_from_slice(&self.arrived);
    }

    /// Looks at the header of the next frame, if all of it is here.
    fn begin_frame(&mut self) -> io::Result<()> {
        let mut cursor = Cursor::new(&self.arrived);
        match FrameHeader::parse(&mut cursor) {
            Ok(Some((header, len))) => {
                self.frame_left = cursor.position().saturating_add(len);
                self.largest = self.largest.max(len);
                let has_reserved_bit = header.rsv1 || header.rsv2 || header.rsv3;
                // The protocol would say so once the frame is whole.
                if header.mask.is_none() || has_reserved_bit {
                    return Err(ErrorKind::InvalidData.into());
                }
                match header.opcode {
                    OpCode::Data(kind) => {
                        let is_first = kind != Data::Continue;
                        if is_first != (self.message == Fragments::All) {
                            return Err(ErrorKind::InvalidData.into());
                        }
                        self.message = if header.is_final {
                            Fragments::All
                        } else {
                            Fragments::MoreToCome
                        };
                        self.count(len)?;
                    }
                    // Not counted, so it may not be large.
                    OpCode::Control(_) if len > CONTROL_LEN_MAX || !header.is_final => {
                        return Err(ErrorKind::InvalidData.into());
                    }
                    OpCode::Control(_) => {}
                }
            }
            Ok(None) => {}
            // The protocol reports it.
            Err(_) => self.frame_left = u64::MAX,
        }
        Ok(())
    }
}

impl Read for Memory {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.frame_left == 0 && !self.arrived.is_empty() {
            self.begin_frame()?;
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
        self.largest = self.largest.max(bytes.len() as u64);
        self.written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
