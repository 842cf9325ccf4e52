//! Deadlines as linked lists: each kind of wait has one time-out, so the order of arming is the order of expiry.
//!
//! Arming and disarming are a few stores and no allocation. With nothing armed, the loop sleeps without a time-out.

use core::time::Duration;

use crate::limits::Timeouts;
use crate::os::Instant;
use crate::reactor::settings::IdlePolicy;

/// What a session waits for: exactly one of these at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// A request to begin: without a deadline ([contract rule 4](crate::contract#1-the-rules)).
    FirstByte,
    /// The rest of a head.
    Head,
    /// The rest of a body.
    Body,
    /// The handler, its stream or its promise: without a deadline, since the peer is not at fault.
    Handler,
    /// The peer to read.
    Write,
    /// The peer to close.
    Linger,
}

/// Whether a wait continues, or a new one begins with a new deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewal {
    Same,
    New,
}

/// Lists with a time-out.
const TIMED: usize = 4;
/// Idle connections that have never sent a request, and all others: in the order in which they became idle.
const FRESH: usize = TIMED;
const IDLE: usize = TIMED + 1;
const LISTS: usize = TIMED + 2;
/// In place of a list: the slot is on none.
const UNLISTED: usize = UNLINKED.list as usize;
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Link {
    at: Instant,
    previous: u32,
    next: u32,
    waiting: Waiting,
    list: u8,
}

// With a deadline or not, each connection may have one of these beside its slot in the table.
const _: () = assert!(
    size_of::<Link>() <= 20,
    "an idle connection takes more memory"
);

const UNLINKED: Link = Link {
    at: Instant(0),
    previous: NONE,
    next: NONE,
    waiting: Waiting::FirstByte,
    list: u8::MAX,
};

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
    idle: IdlePolicy,
}

/// The list of a wait that has a time-out.
const fn timed(waiting: Waiting) -> Option<usize> {
    match waiting {
        Waiting::FirstByte | Waiting::Handler => None,
        Waiting::Head => Some(0),
        Waiting::Body => Some(1),
        Waiting::Write => Some(2),
        Waiting::Linger => Some(3),
    }
}

impl Deadlines {
    pub(super) fn new(timeouts: &Timeouts, idle: IdlePolicy) -> Self {
        let list = |timeout| List {
            first: NONE,
            last: NONE,
            timeout,
        };
        let lists = [
            timeouts.head,
            timeouts.body,
            timeouts.write,
            timeouts.linger,
            Duration::ZERO,
            Duration::ZERO,
        ]
        .map(list);
        Self {
            links: Vec::new(),
            lists,
            idle,
        }
    }

    /// The list that a slot belongs on when it begins to wait. A slot whose idle wait is not new has never had a request.
    const fn list_of(&self, waiting: Waiting, renewal: Renewal) -> usize {
        match (timed(waiting), waiting, self.idle, renewal) {
            (Some(list), ..) => list,
            (None, Waiting::FirstByte, IdlePolicy::Evict, Renewal::Same) => FRESH,
            (None, Waiting::FirstByte, IdlePolicy::Evict, Renewal::New) => IDLE,
            (None, ..) => UNLISTED,
        }
    }

    /// The slot waits for this now. `now` is called only if there is a deadline to set.
    pub(super) fn arm(
        &mut self,
        slot: u32,
        waiting: Waiting,
        renewal: Renewal,
        now: impl FnOnce() -> Instant,
    ) {
        let index = slot as usize;
        let list = self.list_of(waiting, renewal);
        let current = self.links.get(index).copied().unwrap_or(UNLINKED);
        let is_same = current.waiting == waiting && renewal == Renewal::Same;
        // The same wait keeps its place. A connection that is idle for the first time has none yet.
        if is_same && (list == UNLISTED || usize::from(current.list) != UNLISTED) {
            return;
        }
        if index >= self.links.len() {
            if list == UNLISTED {
                return;
            }
            self.links.resize(index + 1, UNLINKED);
        }
        self.unlink(slot);
        if list != UNLISTED {
            let at = timed(waiting).map_or(Instant(u64::MAX), |_| now());
            self.push_back(slot, waiting, list, at);
        } else if let Some(link) = self.links.get_mut(index) {
            link.waiting = waiting;
        }
    }

    /// The slot no longer waits for anything.
    pub(super) fn disarm(&mut self, slot: u32) {
        self.unlink(slot);
    }

    /// The earliest deadline; `None` if nothing is armed.
    pub(super) fn next(&self) -> Option<Instant> {
        let lists = self.timed_lists().iter();
        lists
            .filter_map(|list| self.links.get(list.first as usize).map(|link| link.at))
            .min()
    }

    /// A slot whose deadline has passed, and what it waits for. It stays armed.
    pub(super) fn expired(&self, now: Instant) -> Option<(u32, Waiting)> {
        self.timed_lists().iter().find_map(|list| {
            let link = self.links.get(list.first as usize)?;
            (link.at <= now).then_some((list.first, link.waiting))
        })
    }

    /// An array, not an iterator of six lists: its loops are unrolled.
    const fn timed_lists(&self) -> &[List; TIMED] {
        let [timed @ .., _, _] = &self.lists;
        timed
    }

    /// The slot of a connection that waits for a request, the first to be given up: one that never had a request, else the
    /// one that has been idle for longest. `None` while idle connections are kept.
    pub(super) fn oldest_idle(&self) -> Option<u32> {
        let lists = self.lists.iter().skip(TIMED);
        lists.map(|list| list.first).find(|slot| *slot != NONE)
    }

    fn push_back(&mut self, slot: u32, waiting: Waiting, number: usize, now: Instant) {
        let Some(list) = self.lists.get_mut(number) else {
            return;
        };
        let link = Link {
            at: now.after(list.timeout),
            previous: list.last,
            next: NONE,
            waiting,
            list: u8::try_from(number).unwrap_or(UNLINKED.list),
        };
        let last = std::mem::replace(&mut list.last, slot);
        match self.links.get_mut(last as usize) {
            Some(last) => last.next = slot,
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
            previous,
            next,
            list,
            ..
        } = *link;
        link.waiting = Waiting::FirstByte;
        link.list = UNLINKED.list;
        let Some(list) = self.lists.get_mut(usize::from(list)) else {
            return;
        };
        match self.links.get_mut(previous as usize) {
            Some(link) => link.next = next,
            None => list.first = next,
        }
        match self.links.get_mut(next as usize) {
            Some(link) => link.previous = previous,
            None => list.last = previous,
        }
    }

    /// Has address space for this many slots at once, if there is so much.
    pub(super) fn reserve(&mut self, len_max: usize) {
        let more = len_max.saturating_sub(self.links.len());
        let _ = self.links.try_reserve_exact(more);
    }

    /// Frees the memory of the slots from `len` on, none of which is armed.
    pub(super) fn truncate(&mut self, len: usize) {
        self.links.truncate(len);
        self.links.shrink_to(len);
    }
}

#[cfg(test)]
mod tests {
    use super::{Deadlines, IdlePolicy, Instant, Renewal, Timeouts, Waiting};
    use core::time::Duration;

    fn deadlines() -> Deadlines {
        let second = Duration::from_secs;
        Deadlines::new(
            &Timeouts::new()
                .head(second(3))
                .body(second(5))
                .write(second(7))
                .linger(second(1)),
            IdlePolicy::Keep,
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
    fn a_burst_has_its_memory_at_once_and_none_of_it_remains() {
        let mut deadlines = deadlines();
        deadlines.reserve(1_000);
        assert!(deadlines.links.capacity() >= 1_000);
        // More than there can be: it grows as it has to.
        deadlines.reserve(usize::MAX);
        deadlines.arm(7, Waiting::Head, Renewal::New, || Instant(0));
        deadlines.disarm(7);
        deadlines.truncate(0);
        assert_eq!(deadlines.links.capacity(), 0);
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

    #[test]
    fn the_connection_to_evict_never_had_a_request_or_has_been_idle_for_longest() {
        let no_clock = || panic!("idle connections need no clock");
        let mut deadlines = Deadlines::new(&Timeouts::new(), IdlePolicy::Evict);
        for (slot, renewal) in [(4, Renewal::New), (2, Renewal::New), (9, Renewal::Same)] {
            deadlines.arm(slot, Waiting::FirstByte, renewal, no_clock);
        }
        // An event that brings nothing changes no place; a request does.
        deadlines.arm(4, Waiting::FirstByte, Renewal::Same, no_clock);
        assert_eq!(deadlines.oldest_idle(), Some(9));
        deadlines.disarm(9);
        assert_eq!(deadlines.oldest_idle(), Some(4));
        deadlines.arm(4, Waiting::Handler, Renewal::New, no_clock);
        assert_eq!(deadlines.oldest_idle(), Some(2));
        deadlines.arm(4, Waiting::FirstByte, Renewal::New, no_clock);
        deadlines.disarm(2);
        assert_eq!(deadlines.oldest_idle(), Some(4));
        assert_eq!(deadlines.next(), None, "none of them has a deadline");
        assert_eq!(deadlines.expired(Instant(u64::MAX)), None);
    }
}
