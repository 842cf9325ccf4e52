//! The last bytes of a connection, which the simulated kernel may hold back until their end follows, as a real one does with
//! `MSG_MORE`.

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
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        let sent = self.send(id, slices)?;
        if sent == offered {
            self.record.owing = Some(id);
        }
        Ok(sent)
    }

    /// A real kernel would hold them back for a fifth of a second.
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
