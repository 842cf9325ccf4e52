//! Measures the work of each drive of a session, for the simulation. Feature `_sim`, never shipped.

use std::cell::RefCell;

use crate::os::Key;
use crate::sync::tally::{Tally, tally};

/// What a session did while it was driven once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drive {
    pub(crate) key: Key,
    pub(crate) work: Tally,
}

thread_local! {
    static DRIVES: RefCell<Vec<Drive>> = const { RefCell::new(Vec::new()) };
}

/// A turn of this thread's loop begins.
pub(super) fn begin_turn() {
    DRIVES.with_borrow_mut(Vec::clear);
}

/// A drive of this session begins.
pub(super) fn begin(key: Key) -> Drive {
    Drive { key, work: tally() }
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
