//! The clocks. An island of unsafe code, for asking the kernel for the time past the C library.
//!
//! The C library reads them from the vDSO without a call, but its first look has to find the function there and touches
//! two pages that nobody has touched before: as long as forty calls take. A process that is started for one request
//! never makes up for that, so the first readings are calls; one that lives on pays twice at the most.
#![expect(
    unsafe_code,
    reason = "std's clocks are the vDSO's from the first reading on"
)]

use core::cell::Cell;

use super::Instant;

/// Readings until the vDSO has paid off: what its first one costs, in calls. On 32 bits the call has another `timespec`
/// than the C library.
const CALLS: u8 = if cfg!(target_pointer_width = "64") {
    40
} else {
    0
};

/// The clocks of one worker.
#[derive(Debug)]
pub(super) struct Clocks {
    calls_left: Cell<u8>,
}

impl Clocks {
    pub(super) const fn new() -> Self {
        Self {
            calls_left: Cell::new(CALLS),
        }
    }

    pub(super) fn monotonic(&self) -> Instant {
        let time = self.read(libc::CLOCK_MONOTONIC);
        let milliseconds = unsigned(time.tv_nsec) / 1_000_000;
        Instant(
            unsigned(time.tv_sec)
                .saturating_mul(1_000)
                .saturating_add(milliseconds),
        )
    }

    /// Whole seconds since 1970; 0 before.
    pub(super) fn unix_seconds(&self) -> u64 {
        unsigned(self.read(libc::CLOCK_REALTIME).tv_sec)
    }

    fn read(&self, clock: libc::clockid_t) -> libc::timespec {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        if let Some(left) = self.calls_left.get().checked_sub(1) {
            self.calls_left.set(left);
            // SAFETY: the kernel writes a `timespec`, which on 64 bits is the C library's, to a place for one.
            if unsafe { libc::syscall(libc::SYS_clock_gettime, clock, &raw mut time) } == 0 {
                return time;
            }
        }
        // SAFETY: a `timespec` is written to a place for one. Both clocks exist, so it does not fail.
        unsafe { libc::clock_gettime(clock, &raw mut time) };
        time
    }
}

/// A part of a time; nothing if it is negative.
fn unsigned(part: impl TryInto<u64>) -> u64 {
    part.try_into().unwrap_or(0)
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "std's clocks are what these are compared with"
)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::{CALLS, Clocks, unsigned};

    #[test]
    fn calls_and_the_vdso_tell_the_same_time() {
        let clocks = Clocks::new();
        let mut before = clocks.monotonic();
        let seconds = || {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .expect("it is after 1970")
                .as_secs()
        };
        for _ in 0..CALLS {
            let earliest = seconds();
            let now = clocks.unix_seconds();
            assert!(
                (earliest..=seconds()).contains(&now),
                "{now} is not {earliest}"
            );
            let later = clocks.monotonic();
            assert!(later >= before, "it went back");
            before = later;
        }
        assert_eq!(clocks.calls_left.get(), 0);
    }

    #[test]
    fn a_time_before_1970_is_its_beginning() {
        assert_eq!((unsigned(-1_i64), unsigned(7_i64)), (0, 7));
    }
}
