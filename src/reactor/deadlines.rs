//! Deadlines as lists: each kind of wait has one time-out, so the order of arming is the order of expiry.
//!
//! Arming and disarming are a few stores and no allocation. When nothing is armed the loop sleeps without a time-out.

use core::time::Duration;

use crate::limits::Timeouts;
use crate::os::Instant;

/// What a session waits for; exactly one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// A request to begin: never too long ([contract rule 4](crate::contract#1-the-rules)).
    FirstByte,
    /// A head that has begun.
    Head,
    /// A body under way.
    Body,
    /// The handler, a stream of its, or a promise: their time is not the peer's.
    Handler,
    /// The peer to read.
    Write,
    /// The peer to close.
    Linger,
}

/// Whether the same wait goes on or a new one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewal {
    Same,
    New,
}

const LISTS: usize = 4;
const NOBODY: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Link {
    at: Instant,
    before: u32,
    behind: u32,
    waiting: Waiting,
}

#[derive(Clone, Copy, Debug)]
struct List {
    first: u32,
    last: u32,
    timeout: Duration,
}

#[derive(Debug)]
pub(super) struct Deadlines {
    links: Vec<Link>,
    lists: [List; LISTS],
}

const fn list_of(waiting: Waiting) -> Option<usize> {
    match waiting {
        Waiting::FirstByte | Waiting::Handler => None,
        Waiting::Head => Some(0),
        Waiting::Body => Some(1),
        Waiting::Write => Some(2),
        Waiting::Linger => Some(3),
    }
}

impl Deadlines {
    pub(super) fn new(timeouts: &Timeouts) -> Self {
        let list = |timeout| List {
            first: NOBODY,
            last: NOBODY,
            timeout,
        };
        let lists = [
            timeouts.head,
            timeouts.body,
            timeouts.write,
            timeouts.linger,
        ]
        .map(list);
        Self {
            links: Vec::new(),
            lists,
        }
    }

    /// The slot waits for this now. `now` is asked only if there is a deadline to set.
    pub(super) fn arm(
        &mut self,
        slot: u32,
        waiting: Waiting,
        renewal: Renewal,
        now: impl FnOnce() -> Instant,
    ) {
        let index = slot as usize;
        if index >= self.links.len() {
            if list_of(waiting).is_none() {
                return;
            }
            let unarmed = Link {
                at: Instant(0),
                before: NOBODY,
                behind: NOBODY,
                waiting: Waiting::FirstByte,
            };
            self.links.resize(index + 1, unarmed);
        }
        let before = self
            .links
            .get(index)
            .map_or(Waiting::FirstByte, |link| link.waiting);
        if before == waiting && renewal == Renewal::Same {
            return;
        }
        self.unlink(slot);
        if let Some(list) = list_of(waiting) {
            self.push_back(slot, waiting, list, now());
        } else if let Some(link) = self.links.get_mut(index) {
            link.waiting = waiting;
        }
    }

    /// The slot waits for nothing any more.
    pub(super) fn disarm(&mut self, slot: u32) {
        self.unlink(slot);
    }

    /// When the loop has to look again; `None` if nothing is armed.
    pub(super) fn next(&self) -> Option<Instant> {
        self.lists
            .iter()
            .filter_map(|list| self.links.get(list.first as usize).map(|link| link.at))
            .min()
    }

    /// A slot whose deadline is past, and what it waited for. It stays armed.
    pub(super) fn expired(&self, now: Instant) -> Option<(u32, Waiting)> {
        self.lists.iter().find_map(|list| {
            let link = self.links.get(list.first as usize)?;
            (link.at <= now).then_some((list.first, link.waiting))
        })
    }

    fn push_back(&mut self, slot: u32, waiting: Waiting, list: usize, now: Instant) {
        let Some(list) = self.lists.get_mut(list) else {
            return;
        };
        let link = Link {
            at: now.after(list.timeout),
            before: list.last,
            behind: NOBODY,
            waiting,
        };
        let last = std::mem::replace(&mut list.last, slot);
        match self.links.get_mut(last as usize) {
            Some(last) => last.behind = slot,
            None => list.first = slot,
        }
        if let Some(place) = self.links.get_mut(slot as usize) {
            *place = link;
        }
    }

    fn unlink(&mut self, slot: u32) {
        let Some(link) = self.links.get_mut(slot as usize) else {
            return;
        };
        let Link {
            before,
            behind,
            waiting,
            ..
        } = *link;
        link.waiting = Waiting::FirstByte;
        let Some(list) = list_of(waiting).and_then(|list| self.lists.get_mut(list)) else {
            return;
        };
        match self.links.get_mut(before as usize) {
            Some(link) => link.behind = behind,
            None => list.first = behind,
        }
        match self.links.get_mut(behind as usize) {
            Some(link) => link.before = before,
            None => list.last = before,
        }
    }

    /// Gives the memory of slots from `len` on back; none of them is armed.
    pub(super) fn truncate(&mut self, len: usize) {
        self.links.truncate(len);
        self.links.shrink_to(len);
    }
}

#[cfg(test)]
mod tests {
    use super::{Deadlines, Instant, Renewal, Timeouts, Waiting};
    use core::time::Duration;

    fn deadlines() -> Deadlines {
        let second = Duration::from_secs;
        Deadlines::new(
            &Timeouts::new()
                .head(second(3))
                .body(second(5))
                .write(second(7))
                .linger(second(1)),
        )
    }

    #[test]
    fn nothing_armed_means_no_deadline() {
        let mut deadlines = deadlines();
        deadlines.arm(7, Waiting::FirstByte, Renewal::New, || {
            panic!("no clock is needed")
        });
        deadlines.arm(8, Waiting::Handler, Renewal::New, || {
            panic!("no clock is needed")
        });
        assert_eq!(deadlines.next(), None);
        assert_eq!(deadlines.expired(Instant(u64::MAX)), None);
    }

    #[test]
    fn slots_expire_in_the_order_of_their_deadlines() {
        let mut deadlines = deadlines();
        for slot in 0..5_u32 {
            deadlines.arm(slot, Waiting::Head, Renewal::New, || {
                Instant(u64::from(slot))
            });
        }
        deadlines.disarm(2);
        deadlines.disarm(0);
        deadlines.disarm(4);
        deadlines.arm(1, Waiting::Head, Renewal::Same, || Instant(99));
        deadlines.arm(3, Waiting::Linger, Renewal::Same, || Instant(10));
        assert_eq!(deadlines.next(), Some(Instant(1_010)));
        assert_eq!(deadlines.expired(Instant(1_009)), None);
        assert_eq!(
            deadlines.expired(Instant(1_010)),
            Some((3, Waiting::Linger))
        );
        deadlines.disarm(3);
        assert_eq!(deadlines.expired(Instant(3_001)), Some((1, Waiting::Head)));
        deadlines.arm(1, Waiting::Head, Renewal::New, || Instant(3_001));
        assert_eq!(deadlines.expired(Instant(3_001)), None);
        assert_eq!(deadlines.next(), Some(Instant(6_001)));
    }
}
