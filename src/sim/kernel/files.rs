//! Files that the simulated kernel sends itself, as sendfile(2) does.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::link::PeerEnd;
use super::{Flow, Kernel, LinkId};
use crate::os::Fault;
use crate::sim::faults::Syscall;
use crate::sync::tally::count;

impl Kernel {
    /// Sends `len` bytes of the file from a position on. 0 is a refusal, or the end of the file.
    pub(in crate::sim) fn send_file(
        &mut self,
        id: LinkId,
        file: &File,
        (at, len): (u64, usize),
    ) -> Result<usize, Fault> {
        self.counts.sends += 1;
        if !self.is_accepted(id, Syscall::SendFile) {
            return Err(Fault::Other(9));
        }
        if len == 0 {
            self.violate(format!("connection {id} sends nothing from a file"));
        }
        match self.links[id].outbound_flow {
            Flow::Open => {}
            Flow::Ended => {
                self.violate(format!("a file on connection {id} after its output ended"));
            }
            Flow::Broken => return Err(Fault::Gone),
        }
        match self.fault(Syscall::SendFile, Some(id)) {
            None => {}
            Some(Fault::Again) => return Err(self.has_no_room(id)),
            Some(Fault::Gone) => return Err(Fault::Gone),
            Some(Fault::Exhausted | Fault::Other(_)) => return Ok(self.refuse_file(id)),
        }
        if self.faults.prng.chance(self.faults.rates.refused) {
            return Ok(self.refuse_file(id));
        }
        self.transfer(id, file, (at, len))
    }

    fn refuse_file(&mut self, id: LinkId) -> usize {
        self.counts.files_refused += 1;
        self.note(|| format!("refuse to send a file on {id}"));
        0
    }

    /// A short count may have its reason in the file: then no event will follow.
    fn transfer(&mut self, id: LinkId, file: &File, part: (u64, usize)) -> Result<usize, Fault> {
        let (at, len) = part;
        let mut bytes = vec![0; len];
        let len = file.read_at(&mut bytes, at).unwrap_or(0);
        bytes.truncate(len);
        if bytes.is_empty() {
            self.note(|| format!("nothing to send from a file on {id}"));
            return Ok(0);
        }
        if self.faults.prng.chance(self.faults.rates.short) {
            bytes.truncate(self.faults.prng.skewed(len).max(1));
        }
        let link = &mut self.links[id];
        let room = link.outbound_len_max.saturating_sub(link.outbound.len());
        let is_full = room < bytes.len();
        bytes.truncate(room);
        let sent = bytes.len();
        link.outbound.extend(bytes);
        self.counts.bytes_out += sent as u64;
        self.counts.bytes_of_files += sent as u64;
        count(|tally| tally.file_len += sent as u64);
        self.touched.insert(id);
        self.note(|| format!("send {id}: {sent} bytes of a file"));
        let gone = self.links[id].peer_end == PeerEnd::Closed;
        if gone {
            self.reset(id);
        }
        if is_full {
            let again = self.has_no_room(id);
            return if sent == 0 { Err(again) } else { Ok(sent) };
        }
        Ok(sent)
    }

    /// The socket is full; the peer may have read in the meantime.
    fn has_no_room(&mut self, id: LinkId) -> Fault {
        self.links[id].is_send_blocked = true;
        self.report_room(id);
        Fault::Again
    }
}
