//! Measures the work of each drive of a session, for the simulation. Feature `_sim`, never shipped.

use std::cell::RefCell;

use crate::os::Key;
use crate::sync::tally::{Tally, tally};

use super::session::Session;

/// What a session did while it was driven once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drive {
    pub(crate) key: Key,
    pub(crate) work: Tally,
    /// Bytes of input that were kept from earlier drives, at most.
    pub(crate) kept_len: usize,
}

thread_local! {
    static DRIVES: RefCell<Vec<Drive>> = const { RefCell::new(Vec::new()) };
}

/// A turn of this thread's loop begins.
pub(super) fn begin_turn() {
    DRIVES.with_borrow_mut(Vec::clear);
}

/// A drive of this session begins.
pub(super) fn begin<S>(key: Key, session: &Session<S>) -> Drive {
    Drive {
        key,
        work: tally(),
        kept_len: session.work_size().map_or(0, |size| size.input),
    }
}

/// The drive has ended.
pub(super) fn end(begun: Drive) {
    let work = tally().since(begun.work);
    DRIVES.with_borrow_mut(|drives| drives.push(Drive { work, ..begun }));
}

/// The drives of this thread's last turn, in order.
pub(crate) fn drives() -> Vec<Drive> {
    DRIVES.take()
}
