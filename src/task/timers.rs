//! The timers of a thread: a binary heap in which each timer knows its place, so that one that is dropped is removed.
//!
//! A timer has no clock. It begins with a duration, and its deadline is set when the loop reads the clock next: once for all
//! that are new, and never too early.

use core::mem;
use core::task::Waker;
use core::time::Duration;

use crate::os::Instant;

/// A timer, until it is removed or fires. (A number is used again after 2^32 timers.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimerId {
    slot: u32,
    number: u32,
}

/// When a timer fires, before the time is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    After(Duration),
    /// The next tick after the previous one, of which those that were missed are left out.
    Tick {
        previous: Option<Instant>,
        period: Duration,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The slot has no timer. The next vacant slot.
    Vacant(u32),
    /// A position in `fresh`.
    Fresh(u32),
    /// A position in `heap`.
    Armed(u32),
    Fired,
}

#[derive(Debug)]
struct Entry {
    at: Instant,
    waker: Option<Waker>,
    number: u32,
    place: Place,
    /// Milliseconds; `ONCE` if it is no tick. A tick is kept when it has fired, since its deadline counts for the next one.
    period: u64,
}

const ONCE: u64 = 0;

/// What a timer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Waits,
    /// It has fired, for this deadline if it is a tick.
    Fired(Option<Instant>),
}

const NONE: u32 = u32::MAX;
/// Without timers, the memory for this many is kept.
const SLOTS_KEPT: usize = 64;

#[derive(Debug)]
pub(super) struct Timers {
    entries: Vec<Entry>,
    vacant: u32,
    len: usize,
    next_number: u32,
    /// Timers whose deadlines are not set yet, by slot.
    fresh: Vec<(u32, Start)>,
    /// Timers that have a deadline: none is earlier than its parent.
    heap: Vec<Due>,
}

/// A timer in the heap, with its deadline: to compare two needs no look at their slots.
#[derive(Clone, Copy, Debug)]
struct Due {
    at: Instant,
    slot: u32,
}

impl Timers {
    pub(super) const fn new() -> Self {
        Self {
            entries: Vec::new(),
            vacant: NONE,
            len: 0,
            next_number: 0,
            fresh: Vec::new(),
            heap: Vec::new(),
        }
    }

    /// Timers that were not removed.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn insert(&mut self, start: Start, waker: Waker) -> TimerId {
        let number = self.next_number;
        self.next_number = number.wrapping_add(1);
        let slot = self.vacant;
        let entry = Entry {
            at: Instant(0),
            waker: Some(waker),
            number,
            place: Place::Fresh(index(self.fresh.len())),
            period: match start {
                Start::After(_) => ONCE,
                Start::Tick { period, .. } => millis(period).max(1),
            },
        };
        self.len += 1;
        let slot = match self.entries.get_mut(slot as usize) {
            Some(vacant) => {
                if let Place::Vacant(next) = vacant.place {
                    self.vacant = next;
                }
                *vacant = entry;
                slot
            }
            None => {
                self.entries.push(entry);
                index(self.entries.len() - 1)
            }
        };
        self.fresh.push((slot, start));
        TimerId { slot, number }
    }

    fn find(&mut self, id: TimerId) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(id.slot as usize)?;
        let is_there = entry.number == id.number && !matches!(entry.place, Place::Vacant(_));
        is_there.then_some(entry)
    }

    /// What a timer does, unless it waits and would wake another than this waker.
    pub(super) fn found(&mut self, id: TimerId, waker: &Waker) -> Option<Found> {
        let Some(entry) = self.find(id) else {
            // It was removed when it fired.
            return Some(Found::Fired(None));
        };
        if entry.place == Place::Fired {
            return Some(Found::Fired(Some(entry.at)));
        }
        let own = entry.waker.as_ref();
        own.is_some_and(|own| own.will_wake(waker))
            .then_some(Found::Waits)
    }

    /// What a timer does. One that waits wakes `waker` from now on; the other one is returned, and dropped where foreign code
    /// may run.
    pub(super) fn poll(&mut self, id: TimerId, waker: Waker) -> (Found, Option<Waker>) {
        match self.find(id) {
            // It was removed when it fired.
            None => (Found::Fired(None), Some(waker)),
            Some(entry) if entry.place == Place::Fired => {
                (Found::Fired(Some(entry.at)), Some(waker))
            }
            Some(entry) => (Found::Waits, entry.waker.replace(waker)),
        }
    }

    /// Removes a timer, if it is still there. The caller drops its waker.
    pub(super) fn remove(&mut self, id: TimerId) -> Option<Waker> {
        let place = self.find(id)?.place;
        match place {
            Place::Fresh(at) => self.remove_fresh(at as usize),
            Place::Armed(at) => self.remove_armed(at as usize),
            Place::Fired | Place::Vacant(_) => {}
        }
        self.vacate(id.slot)
    }

    fn vacate(&mut self, slot: u32) -> Option<Waker> {
        let entry = self.entries.get_mut(slot as usize)?;
        entry.place = Place::Vacant(mem::replace(&mut self.vacant, slot));
        let waker = entry.waker.take();
        self.len -= 1;
        if self.len == 0 {
            self.vacant = NONE;
            self.entries.clear();
            self.entries.shrink_to(SLOTS_KEPT);
            self.heap.shrink_to(SLOTS_KEPT);
            self.fresh.shrink_to(SLOTS_KEPT);
        }
        waker
    }

    fn remove_fresh(&mut self, at: usize) {
        self.fresh.swap_remove(at);
        if let Some((moved, _)) = self.fresh.get(at)
            && let Some(entry) = self.entries.get_mut(*moved as usize)
        {
            entry.place = Place::Fresh(index(at));
        }
    }

    /// Whether there are timers without a deadline.
    pub(super) const fn has_fresh(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// Gives deadlines to the timers that have none. It is `now` or later: they began before it was read.
    pub(super) fn arm(&mut self, now: Instant) {
        let mut fresh = mem::take(&mut self.fresh);
        for (slot, start) in fresh.drain(..) {
            if let Some(entry) = self.entries.get_mut(slot as usize) {
                let at = deadline(start, now);
                entry.at = at;
                let due = Due { at, slot };
                self.heap.push(due);
                self.rise(self.heap.len() - 1, due);
            }
        }
        self.fresh = fresh;
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.first().map(|due| due.at)
    }

    /// The waker of a timer that fires now, if there is one.
    pub(super) fn fire(&mut self, now: Instant) -> Option<Waker> {
        let Due { at, slot } = *self.heap.first()?;
        if at > now {
            return None;
        }
        let entry = self.entries.get_mut(slot as usize)?;
        entry.place = Place::Fired;
        let is_kept = entry.period != ONCE;
        if is_kept {
            // It stands for all that have passed.
            entry.at = last_tick(at, entry.period, now);
        }
        let waker = entry.waker.take();
        self.remove_armed(0);
        if !is_kept {
            drop(self.vacate(slot));
        }
        waker
    }

    fn remove_armed(&mut self, at: usize) {
        let Some(last) = self.heap.pop() else { return };
        if at < self.heap.len() {
            // The last one is a late one: what is above its place is found sooner from below.
            let bottom = self.sink(at);
            self.rise(bottom, last);
        }
    }

    /// Moves the place that has no timer down to where nothing is below it, and returns it.
    fn sink(&mut self, mut position: usize) -> usize {
        loop {
            let left = 2 * position + 1;
            let Some(mut child) = self.heap.get(left).copied() else {
                return position;
            };
            let mut from = left;
            if let Some(right) = self.heap.get(left + 1)
                && right.at < child.at
            {
                (child, from) = (*right, left + 1);
            }
            self.put(position, child);
            position = from;
        }
    }

    /// Puts a timer in the place, which has none, or above it.
    fn rise(&mut self, mut position: usize, due: Due) {
        while let Some(above) = position.checked_sub(1).map(|above| above / 2)
            && let Some(parent) = self.heap.get(above).copied()
            && due.at < parent.at
        {
            self.put(position, parent);
            position = above;
        }
        self.put(position, due);
    }

    fn put(&mut self, position: usize, due: Due) {
        if let Some(place) = self.heap.get_mut(position) {
            *place = due;
        }
        if let Some(entry) = self.entries.get_mut(due.slot as usize) {
            entry.place = Place::Armed(index(position));
        }
    }
}

/// There are never 2^32 timers: each has more than one byte.
fn index(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(NONE)
}

fn deadline(start: Start, now: Instant) -> Instant {
    match start {
        Start::After(Duration::ZERO) => now,
        // `now` is the millisecond that has begun, and the timer began later in it.
        Start::After(duration) => Instant(now.0.saturating_add(millis(duration)).saturating_add(1)),
        Start::Tick {
            previous: None,
            period,
        } => Instant(now.0.saturating_add(millis(period)).saturating_add(1)),
        Start::Tick {
            previous: Some(previous),
            period,
        } => {
            let period = millis(period).max(1);
            // The last of those that have passed fires at once, and the ones before it not at all.
            let next = Instant(previous.0.saturating_add(period));
            last_tick(next, period, now)
        }
    }
}

/// This tick, or the last one after it that is not later than `now`.
const fn last_tick(tick: Instant, period: u64, now: Instant) -> Instant {
    let passed = now.0.saturating_sub(tick.0) / period;
    Instant(tick.0.saturating_add(passed.saturating_mul(period)))
}

/// Rounded up.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use core::task::Waker;
    use core::time::Duration;

    use super::{Found, Instant, SLOTS_KEPT, Start, TimerId, Timers};

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn after(timers: &mut Timers, millis: u32) -> TimerId {
        timers.insert(Start::After(millis * MILLISECOND), Waker::noop().clone())
    }

    fn fire(timers: &mut Timers, now: u64) -> usize {
        core::iter::from_fn(|| timers.fire(Instant(now))).count()
    }

    fn poll(timers: &mut Timers, id: TimerId) -> Found {
        timers.poll(id, Waker::noop().clone()).0
    }

    #[test]
    fn timers_fire_in_the_order_of_their_deadlines_and_never_early() {
        const COUNT: u32 = if cfg!(miri) { 200 } else { 10_000 };
        let mut timers = Timers::new();
        let times: Vec<u32> = (0..COUNT).map(|number| number * 7919 % COUNT).collect();
        let ids: Vec<_> = times.iter().map(|time| after(&mut timers, *time)).collect();
        assert_eq!(timers.next(), None, "no clock was read");
        timers.arm(Instant(1000));
        // Each third one is removed, from all over the heap.
        for id in ids.iter().step_by(3) {
            assert!(timers.remove(*id).is_some());
        }
        let mut fired = 0;
        while let Some(next) = timers.next() {
            assert_eq!(fire(&mut timers, next.0 - 1), 0);
            fired += fire(&mut timers, next.0);
            for (id, time) in ids.iter().zip(&times).skip(1).step_by(3).step_by(97) {
                // Zero has no millisecond that has begun to wait out.
                let at = 1000 + u64::from(*time) + u64::from(*time > 0);
                let is_over = poll(&mut timers, *id) != Found::Waits;
                assert_eq!(is_over, at <= next.0, "{time}");
            }
        }
        assert_eq!(fired, ids.len() - ids.len().div_ceil(3));
        assert_eq!(timers.len(), 0);
        assert!(timers.entries.capacity() <= SLOTS_KEPT);
    }

    #[test]
    fn a_timer_can_be_removed_before_its_clock_is_read_and_is_removed_when_it_has_fired() {
        let mut timers = Timers::new();
        let ids = [1, 2, 3].map(|time| after(&mut timers, time));
        assert!(timers.remove(ids[0]).is_some());
        assert!(timers.remove(ids[0]).is_none());
        timers.arm(Instant(0));
        assert_eq!(fire(&mut timers, 3), 1);
        assert_eq!(poll(&mut timers, ids[1]), Found::Fired(None));
        // The slot has another timer now.
        let next = after(&mut timers, 9);
        assert!(timers.remove(ids[1]).is_none());
        timers.arm(Instant(3));
        assert_eq!(poll(&mut timers, next), Found::Waits);
        assert_eq!((timers.len(), timers.next()), (2, Some(Instant(4))));
    }

    #[test]
    fn ticks_that_were_missed_are_left_out_and_the_rhythm_is_kept() {
        let mut timers = Timers::new();
        let mut tick = |previous, now| {
            let start = Start::Tick {
                previous,
                period: 10 * MILLISECOND,
            };
            let id = timers.insert(start, Waker::noop().clone());
            timers.arm(Instant(now));
            let at = timers.next().expect("it is armed");
            assert_eq!(fire(&mut timers, at.0), 1);
            assert_eq!(poll(&mut timers, id), Found::Fired(Some(at)));
            // Until it is removed.
            assert_eq!((timers.len(), timers.next()), (1, None));
            assert!(timers.remove(id).is_none(), "its waker is gone");
            assert_eq!(timers.len(), 0);
            at.0
        };
        assert_eq!(tick(None, 100), 111);
        assert_eq!(tick(Some(Instant(111)), 113), 121);
        // Minutes later: the last of them at once, and then the next one.
        assert_eq!(tick(Some(Instant(121)), 60_000), 59_991);
        assert_eq!(tick(Some(Instant(59_991)), 60_000), 60_001);
        // It is fired that late.
        let start = Start::Tick {
            previous: Some(Instant(1)),
            period: 10 * MILLISECOND,
        };
        let id = timers.insert(start, Waker::noop().clone());
        timers.arm(Instant(2));
        assert_eq!(fire(&mut timers, 60_000), 1);
        let late = Found::Fired(Some(Instant(59_991)));
        assert_eq!(poll(&mut timers, id), late, "and the next one is not due");
    }

    #[test]
    fn a_slot_is_small() {
        assert!(size_of::<super::Entry>() <= 48);
        assert!(size_of::<crate::task::Sleep>() <= 56);
    }
}
