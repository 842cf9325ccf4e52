//! The clocks. An island of unsafe code, to ask the kernel for the time without the C library.
//!
//! The C library reads them from the vDSO without a system call. But its first reading has to find the function there and
//! touches two new pages, which takes as long as forty calls. A process that serves one request never recovers that cost, so
//! the first readings are system calls; a process that lives on pays at most twice.
#![expect(
    unsafe_code,
    reason = "std's clocks are the vDSO's from the first reading on"
)]

use core::sync::atomic::{AtomicU8, Ordering};
use core::time::Duration;

/// Readings by system call before the vDSO is used: the cost of its first reading, in calls. On 32 bits the call has a
/// different `timespec` than the C library, and Miri does not support the call.
const CALLS: u8 = if cfg!(all(
    target_os = "linux",
    target_pointer_width = "64",
    not(miri)
)) {
    40
} else {
    0
};

/// Never grows: if threads read at the same time, one of them counts.
static CALLS_LEFT: AtomicU8 = AtomicU8::new(CALLS);

/// The monotonic clock; its origin is arbitrary.
pub(crate) fn monotonic() -> Duration {
    read(libc::CLOCK_MONOTONIC)
}

/// The wall clock, in time since 1970; it may jump, and is 0 before 1970.
pub(crate) fn since_1970() -> Duration {
    read(libc::CLOCK_REALTIME)
}

fn read(clock: libc::clockid_t) -> Duration {
    let left = CALLS_LEFT.load(Ordering::Relaxed);
    if left > 0 {
        let (now, order) = (left.saturating_sub(1), Ordering::Relaxed);
        let _ = CALLS_LEFT.compare_exchange(left, now, order, order);
    }
    let time = match left {
        0 => by_library(clock),
        _ => by_call(clock).unwrap_or_else(|| by_library(clock)),
    };
    // Always less than a second, which the compiler cannot know: so whole seconds need no carry.
    let nanoseconds = u32::try_from(time.tv_nsec).map_or(0, |part| part.min(999_999_999));
    u64::try_from(time.tv_sec).map_or(Duration::ZERO, |seconds| {
        Duration::new(seconds, nanoseconds)
    })
}

/// `None` if a sandbox blocks the call.
#[cfg(target_os = "linux")]
fn by_call(clock: libc::clockid_t) -> Option<libc::timespec> {
    let mut time = NO_TIME;
    // SAFETY: the kernel writes one `timespec`, which on 64 bits is the C library's, into `time`.
    let status = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, &raw mut time) };
    (status == 0).then_some(time)
}

#[cfg(not(target_os = "linux"))]
const fn by_call(_: libc::clockid_t) -> Option<libc::timespec> {
    None
}

fn by_library(clock: libc::clockid_t) -> libc::timespec {
    let mut time = NO_TIME;
    // SAFETY: one `timespec` is written into `time`. The clocks that are passed exist, so this does not fail.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time
}

const NO_TIME: libc::timespec = libc::timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "std's clock is what these are compared with"
)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::{CALLS, CALLS_LEFT, Ordering, by_call, by_library, monotonic, since_1970};

    #[test]
    fn the_wall_clock_is_std_s_by_the_call_and_by_the_library() {
        let std_s = || {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .expect("it is after 1970")
        };
        for _ in 0..=CALLS {
            let earliest = std_s();
            let now = since_1970();
            assert!((earliest..=std_s()).contains(&now), "{now:?}");
        }
        assert_eq!(
            CALLS_LEFT.load(Ordering::Relaxed),
            0,
            "calls come to an end"
        );
    }

    #[test]
    fn both_ways_read_one_clock_that_never_goes_back() {
        let mut before = monotonic();
        for way in [by_library, |clock| by_call(clock).expect("no sandbox")].repeat(3) {
            let time = way(libc::CLOCK_MONOTONIC);
            let between = monotonic();
            assert!(between >= before, "it went back");
            assert!(u64::try_from(time.tv_sec).expect("a time") <= between.as_secs());
            assert!(u64::try_from(time.tv_sec).expect("a time") >= before.as_secs());
            before = between;
        }
    }

    #[test]
    fn a_clock_that_does_not_exist_is_no_time() {
        assert!(by_call(-1).is_none());
    }
}
