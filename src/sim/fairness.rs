//! Fairness: what one session may do in one turn, in work and not in bytes.
//!
//! The bounds are those of `limits.rs` and of the loop, written down once more: one that is raised there fails here.

use crate::limits::Limits;
use crate::reactor::Drive;

/// One session may be driven once in each phase: accept, mail, receive, flush, expire, and the check for a stop.
const DRIVES_A_TURN_MAX: usize = 6;
const READS_A_DRIVE_MAX: u64 = 4;
const PIECES_A_DRIVE_MAX: u64 = 128;
const WRITES_A_DRIVE_MAX: u64 = 8;
/// Bytes that the kernel sends from files.
const FILE_LEN_A_DRIVE_MAX: u64 = 1024 * 1024;
/// Steps for one request beside those over its body: an empty line in two halves, the head, the end.
const STEPS_A_REQUEST_MAX: u64 = 4;
/// A response is attached to its channel, polled and dropped; the sender's end may be seen by the handler.
const LOCKS_A_REQUEST_MAX: u64 = 6;

/// The most work that was seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MostWork {
    pub(super) drives: usize,
    pub(super) receives: u64,
    pub(super) sends: u64,
    pub(super) file_sends: u64,
    pub(super) file_len: u64,
    pub(super) requests: u64,
    pub(super) polls: u64,
    pub(super) pieces: u64,
    pub(super) locks: u64,
    pub(super) futures: u64,
    /// Drives that used up their budget for pieces.
    pub(super) budgets_spent: u64,
}

impl MostWork {
    /// Checks the drives of one turn.
    pub(super) fn check(&mut self, drives: &[Drive], limits: &Limits) -> Result<(), String> {
        for (number, drive) in drives.iter().enumerate() {
            let earlier = drives[..number].iter();
            let drives = 1 + earlier.filter(|earlier| earlier.key == drive.key).count();
            self.drives = self.drives.max(drives);
            self.check_drive(drive, limits)?;
            if drives > DRIVES_A_TURN_MAX {
                return Err(format!("a session was driven {drives} times in one turn"));
            }
        }
        Ok(())
    }

    fn check_drive(&mut self, drive: &Drive, limits: &Limits) -> Result<(), String> {
        let work = drive.work;
        self.receives = self.receives.max(work.receives);
        self.sends = self.sends.max(work.sends);
        self.file_sends = self.file_sends.max(work.file_sends);
        self.file_len = self.file_len.max(work.file_len);
        self.requests = self.requests.max(work.requests);
        self.polls = self.polls.max(work.polls);
        self.pieces = self.pieces.max(work.pieces);
        self.locks = self.locks.max(work.locks);
        self.futures = self.futures.max(work.futures);
        self.budgets_spent += u64::from(work.pieces >= PIECES_A_DRIVE_MAX);
        let requests = limits.pipeline_max as u64;
        let steps = STEPS_A_REQUEST_MAX * (requests + 1) + PIECES_A_DRIVE_MAX + READS_A_DRIVE_MAX;
        let bounds = [
            ("receives", work.receives, READS_A_DRIVE_MAX),
            ("sends", work.sends, WRITES_A_DRIVE_MAX),
            ("sends of files", work.file_sends, WRITES_A_DRIVE_MAX),
            ("bytes of files", work.file_len, FILE_LEN_A_DRIVE_MAX),
            ("requests", work.requests, requests),
            ("steps of the protocol", work.polls, steps),
            // A body that has arrived whole is one, too, and costs no more than its request.
            (
                "pieces of bodies",
                work.pieces,
                PIECES_A_DRIVE_MAX + work.requests,
            ),
            (
                "locks of channels",
                work.locks,
                PIECES_A_DRIVE_MAX + LOCKS_A_REQUEST_MAX * (requests + 1),
            ),
            // One that was woken, once more at the end of input, and the first poll of each that a handler returns.
            ("polls of futures", work.futures, requests + 2),
        ];
        match bounds.iter().find(|(_, done, bound)| done > bound) {
            Some((what, done, bound)) => Err(format!(
                "{what} of one session in one go: {done} is over {bound}"
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{DRIVES_A_TURN_MAX, Drive, Limits, MostWork, PIECES_A_DRIVE_MAX};
    use crate::os::Key;
    use crate::sync::tally::Tally;

    #[test]
    fn work_beyond_a_bound_is_a_violation() {
        type Case = (fn(&mut Tally), &'static str);
        let drive = |add: fn(&mut Tally)| {
            let mut work = Tally::default();
            add(&mut work);
            Drive {
                key: Key {
                    slot: 0,
                    generation: 0,
                },
                work,
            }
        };
        let limits = Limits::new().pipeline_max(2);
        let check = |drives: &[Drive]| MostWork::default().check(drives, &limits).err();
        let cases: [Case; 9] = [
            (|work| work.receives = 5, "receives"),
            (|work| work.sends = 9, "sends"),
            (|work| work.file_sends = 9, "sends of files"),
            (|work| work.file_len = 1_048_577, "bytes of files"),
            (|work| work.requests = 3, "requests"),
            (|work| work.polls = 145, "steps"),
            (|work| work.pieces = 129, "pieces"),
            (|work| work.locks = 147, "locks"),
            (|work| work.futures = 5, "polls of futures"),
        ];
        for (add, what) in cases {
            let found = check(&[drive(add)]).expect("a violation");
            assert!(found.starts_with(what), "{found}");
        }
        let busy = drive(|work| {
            (work.receives, work.sends, work.requests) = (4, 8, 2);
            (work.polls, work.pieces, work.locks) = (144, PIECES_A_DRIVE_MAX, 146);
            (work.futures, work.file_sends, work.file_len) = (4, 8, 1_048_576);
        });
        assert_eq!(check(&[busy; DRIVES_A_TURN_MAX]), None);
        assert!(check(&[busy; DRIVES_A_TURN_MAX + 1]).is_some());
    }
}
