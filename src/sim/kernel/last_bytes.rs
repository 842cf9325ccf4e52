//! The last bytes of a connection: their end must follow at once, since a real kernel may hold them back for it (`MSG_MORE`).

use std::io::IoSlice;

use super::trace::Record;
use super::{Kernel, LinkId};
use crate::os::Fault;

impl Kernel {
    /// Sends bytes that the end is to follow at once.
    pub(in crate::sim) fn send_last(
        &mut self,
        id: LinkId,
        slices: &[IoSlice<'_>],
    ) -> Result<usize, Fault> {
        self.check_last_bytes();
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        let sent = self.send(id, slices)?;
        if sent == offered {
            self.record.owing = Some(id);
        }
        Ok(sent)
    }

    /// Called before anything else is sent last, and before each poll: by then the end must have followed. A real kernel would hold
    /// the bytes back for a fifth of a second.
    pub(in crate::sim) fn check_last_bytes(&mut self) {
        if let Some(id) = self.record.owing.take() {
            self.violate(format!("no end follows the last bytes on connection {id}"));
        }
    }
}

impl Record {
    /// The end of this link has followed, if it was to.
    pub(super) fn settle(&mut self, id: LinkId) {
        self.owing.take_if(|owing| *owing == id);
    }
}
