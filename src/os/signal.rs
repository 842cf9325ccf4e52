//! SIGTERM, SIGINT and SIGCHLD become flags and wake-ups. An island of unsafe code, for the signal handler.
//!
//! Signal handlers rather than blocked signals: a child process that a request handler starts inherits nothing, since `exec`
//! resets handlers. For process 1 the default actions do not apply, but a handler does.
#![expect(
    unsafe_code,
    reason = "signals and eventfd have no safe interface among our dependencies"
)]

use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};
#[cfg(target_os = "linux")]
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
#[cfg(target_os = "linux")]
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::sync::Arc;

use crate::limits::WORKERS_MAX;

/// Whether a signal asked the process to stop.
static STOP: AtomicBool = AtomicBool::new(false);
/// The eventfds that the signal handler writes to, one per worker, each stored as its number plus one: 0, which takes no
/// room in the file, means none. None of them is ever closed.
static WAKES: [AtomicI32; WORKERS_MAX] = [const { AtomicI32::new(0) }; WORKERS_MAX];

/// Wakes a loop that sleeps in its poll, from any thread. An eventfd, watched edge-triggered: each write is an edge, so it
/// never has to be read.
#[cfg(target_os = "linux")]
#[derive(Clone, Debug)]
pub(crate) struct Wake(Arc<File>);

#[cfg(target_os = "linux")]
impl Wake {
    /// # Errors
    ///
    /// The kernel has no descriptor left.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: eventfd takes no pointer.
        let descriptor = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just opened and has no other owner.
        let owned = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Self(Arc::new(File::from(owned))))
    }

    pub(crate) fn wake(&self) {
        // The counter overflows after five centuries of one write per nanosecond.
        drop((&*self.0).write(&1_u64.to_ne_bytes()));
    }

    pub(crate) fn descriptor(&self) -> i32 {
        self.0.as_raw_fd()
    }

    /// What the signal handler writes to.
    fn written(&self) -> i32 {
        self.0.as_raw_fd()
    }

    /// Reads it, for a poll that is not edge-triggered.
    pub(super) fn drain(&self) {
        drop((&*self.0).read(&mut [0; 8]));
    }
}

/// The same by a pipe, where there is no eventfd. It is read before it is full, at each wake-up.
#[cfg(not(target_os = "linux"))]
#[derive(Clone, Debug)]
pub(crate) struct Wake {
    reader: Arc<io::PipeReader>,
    writer: Arc<io::PipeWriter>,
}

#[cfg(not(target_os = "linux"))]
impl Wake {
    /// # Errors
    ///
    /// The kernel has no two descriptors left.
    pub(crate) fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        for descriptor in [reader.as_raw_fd(), writer.as_raw_fd()] {
            // SAFETY: both calls take numbers only, and the descriptor is open.
            let status = unsafe {
                let flags = libc::fcntl(descriptor, libc::F_GETFL);
                libc::fcntl(descriptor, libc::F_SETFL, flags | libc::O_NONBLOCK)
            };
            if status < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(Self {
            reader: Arc::new(reader),
            writer: Arc::new(writer),
        })
    }

    pub(crate) fn wake(&self) {
        // A full pipe wakes as well.
        drop((&*self.writer).write(&[1]));
    }

    pub(crate) fn descriptor(&self) -> i32 {
        self.reader.as_raw_fd()
    }

    /// What the signal handler writes to.
    fn written(&self) -> i32 {
        self.writer.as_raw_fd()
    }

    pub(super) fn drain(&self) {
        while (&*self.reader).read(&mut [0; 512]).is_ok_and(|len| len > 0) {}
    }
}

/// Whether SIGTERM or SIGINT has arrived since [`install`].
pub(crate) fn is_stop_wanted() -> bool {
    STOP.load(Ordering::Acquire)
}

/// Forgets the signal after the server has stopped, so that the next server of this process starts.
pub(crate) fn forget_stop() {
    STOP.store(false, Ordering::Release);
}

/// From here on SIGTERM and SIGINT set the flag and wake the loops of `wakes`. A second one of them ends the process.
///
/// # Errors
///
/// The kernel refuses a handler, which it does not do for the signals that are caught here.
pub(crate) fn install(wakes: &[Wake]) -> io::Result<()> {
    for (slot, wake) in WAKES.iter().zip(wakes) {
        // The handler may run at any later time, so its descriptor is never closed.
        std::mem::forget(wake.clone());
        slot.store(wake.written().saturating_add(1), Ordering::Release);
    }
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: an all-zero sigaction is a valid one: no flags, an empty mask, the default action.
        let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
        action.sa_sigaction = on_signal as *const () as usize;
        // Blocking calls of other threads are restarted.
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: `action` is initialized, and `on_signal` only does what a signal handler may.
        if unsafe { libc::sigaction(signal, &raw const action, core::ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Whether a child may have ended since the last [`reap_orphans`].
static CHILD_ENDED: AtomicBool = AtomicBool::new(false);
/// As in [`WAKES`]: the loop that reaps.
static REAPER: [AtomicI32; 1] = [AtomicI32::new(0)];

/// If this is the main thread of process 1, processes whose parents ended before them become its children, and it has to wait
/// for each that ends, or they stay as zombies. From here on each that ends wakes the loop of `wake`.
///
/// # Errors
///
/// As [`install`].
pub(crate) fn watch_orphans(wake: &Wake) -> io::Result<()> {
    if is_first_thread() {
        catch_ends(wake)
    } else {
        Ok(())
    }
}

/// Apart from what each start runs.
#[cold]
#[inline(never)]
fn catch_ends(wake: &Wake) -> io::Result<()> {
    std::mem::forget(wake.clone());
    for slot in &REAPER {
        slot.store(wake.written().saturating_add(1), Ordering::Release);
    }
    // SAFETY: an all-zero sigaction is a valid one: no flags, an empty mask, the default action.
    let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
    action.sa_sigaction = on_child as *const () as usize;
    action.sa_flags = libc::SA_RESTART | libc::SA_NOCLDSTOP;
    // SAFETY: `action` is initialized, and `on_child` only does what a signal handler may.
    if unsafe { libc::sigaction(libc::SIGCHLD, &raw const action, core::ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // Some may have ended already.
    tell(&CHILD_ENDED, &REAPER);
    Ok(())
}

/// Reaps what has ended, on the loop that [`watch_orphans`] was called for.
pub(crate) fn reap_orphans() {
    if CHILD_ENDED.load(Ordering::Acquire) && is_first_thread() {
        CHILD_ENDED.store(false, Ordering::Release);
        reap_children_of_this_thread();
    }
}

/// Whether this is the main thread of process 1.
#[cfg(target_os = "linux")]
fn is_first_thread() -> bool {
    // SAFETY: gettid takes nothing and cannot fail.
    unsafe { libc::gettid() == 1 }
}

/// Elsewhere process 1 is never ours.
#[cfg(not(target_os = "linux"))]
const fn is_first_thread() -> bool {
    false
}

/// The kernel gives orphans to the main thread of process 1. A process that any other thread has started remains that
/// thread's child, and its exit status is left to who waits for it.
fn reap_children_of_this_thread() {
    #[cfg(target_os = "linux")]
    let options = libc::WNOHANG | libc::__WNOTHREAD;
    #[cfg(not(target_os = "linux"))]
    let options = libc::WNOHANG;
    // SAFETY: waitpid accepts a null pointer in place of the status.
    while unsafe { libc::waitpid(-1, core::ptr::null_mut(), options) } > 0 {}
}

extern "C" fn on_child(_: libc::c_int) {
    tell(&CHILD_ENDED, &REAPER);
}

extern "C" fn on_signal(signal: libc::c_int) {
    if STOP.load(Ordering::Acquire) {
        // The first one has not ended the process yet, and a handler may block the loop for good. The status is what a
        // shell shows for a process that a signal has ended.
        // SAFETY: _exit may be called in a signal handler.
        unsafe { libc::_exit(128_i32.wrapping_add(signal)) };
    }
    tell(&STOP, &WAKES);
}

/// Only what a signal handler may do: atomics and writes. The errno of the interrupted code is restored.
fn tell(stop: &AtomicBool, wakes: &[AtomicI32]) {
    stop.store(true, Ordering::Release);
    let one = 1_u64.to_ne_bytes();
    // SAFETY: errno's address is valid as long as the thread lives.
    let errno = unsafe { *errno_location() };
    for wake in wakes {
        let descriptor = wake.load(Ordering::Acquire).wrapping_sub(1);
        if descriptor >= 0 {
            // SAFETY: the buffer is eight bytes long, and the descriptor is never closed.
            unsafe { libc::write(descriptor, one.as_ptr().cast(), one.len()) };
        }
    }
    // SAFETY: as above.
    unsafe { *errno_location() = errno };
}

/// Where errno of this thread is.
fn errno_location() -> *mut libc::c_int {
    #[cfg(target_os = "linux")]
    // SAFETY: it takes nothing and cannot fail.
    return unsafe { libc::__errno_location() };
    #[cfg(not(target_os = "linux"))]
    // SAFETY: as above.
    return unsafe { libc::__error() };
}

#[cfg(test)]
mod tests {
    use super::{AtomicBool, AtomicI32, Ordering, Wake, io, reap_children_of_this_thread, tell};
    use std::io::Read as _;

    #[test]
    fn a_signal_sets_the_flag_and_wakes_each_loop_and_leaves_errno() {
        let wakes = [
            Wake::new().expect("a descriptor"),
            Wake::new().expect("one more"),
        ];
        // There is no loop after these two.
        let [one, two] = [0, 1].map(|number| wakes[number].descriptor() + 1);
        let slots = [one, two, 0].map(AtomicI32::new);
        let stop = AtomicBool::new(false);
        // There is nothing to read: this call sets the errno.
        let again = (&*wakes[0].0).read(&mut [0; 8]);
        assert!(again.is_err(), "the counter is zero");
        let errno = io::Error::last_os_error().raw_os_error();
        tell(&stop, &slots);
        assert_eq!(io::Error::last_os_error().raw_os_error(), errno);
        assert!(stop.load(Ordering::Acquire), "the flag is set");
        for wake in &wakes {
            let mut counter = [0; 8];
            assert_eq!((&*wake.0).read(&mut counter).ok(), Some(8));
            assert_eq!(u64::from_ne_bytes(counter), 1);
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a child needs a parent thread")]
    fn only_children_of_this_thread_are_reaped() {
        let start = |code: i32| {
            let mut command = std::process::Command::new("sh");
            command.args(["-c", &format!("exit {code}")]);
            command.spawn().expect("a shell")
        };
        let is_zombie = |id: u32| {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat"));
            stat.is_ok_and(|stat| stat.contains(") Z "))
        };
        let (started_in, started) = std::sync::mpsc::channel();
        let (wait, waits) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || {
            let mut child = start(7);
            started_in.send(child.id()).expect("the test waits");
            let _ended = waits.recv();
            child.wait().expect("its status is still there").code()
        });
        let theirs = started.recv().expect("a child");
        let ours = start(0).id();
        while !is_zombie(theirs) || !is_zombie(ours) {
            std::thread::yield_now();
        }
        reap_children_of_this_thread();
        assert!(!std::path::Path::new(&format!("/proc/{ours}")).exists());
        drop(wait);
        assert_eq!(other.join().expect("no panic"), Some(7));
    }

    #[test]
    fn a_wake_goes_to_any_thread() {
        let wake = Wake::new().expect("a descriptor");
        std::thread::scope(|scope| {
            for _ in 0..2 {
                let wake = wake.clone();
                scope.spawn(move || wake.wake());
            }
        });
        let mut counter = [0; 8];
        assert_eq!((&*wake.0).read(&mut counter).ok(), Some(8));
        assert_eq!(u64::from_ne_bytes(counter), 2);
    }
}
