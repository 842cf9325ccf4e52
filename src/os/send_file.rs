//! Bytes that the kernel sends from a file, without a copy. An island of unsafe code, for `sendfile` and `sigaction`.
//!
//! Only Linux has the call in this form; elsewhere nothing is sent in this way, and files are read piece by piece.
#![cfg_attr(
    target_os = "linux",
    expect(
        unsafe_code,
        reason = "std has no interface to a `sendfile` that does not wait"
    )
)]

use std::fs::File;

use super::Fault;

/// Where the kernel sends files to.
pub(crate) enum Outlet {
    /// A socket that is open for as long as this lives.
    Descriptor(i32),
    /// A socket of a simulated kernel.
    #[cfg(any(feature = "_sim", loom))]
    Simulated(SimulatedSend),
}

/// Sends a part of a file, as [`Outlet::send`] does.
#[cfg(any(feature = "_sim", loom))]
type SimulatedSend = Box<dyn FnOnce(&File, u64, usize) -> Result<usize, Fault>>;

impl Outlet {
    /// Sends `len` bytes of a file, or as many as there is room for. 0 means that this file or this kernel cannot be used so, or
    /// that the file has ended: it is to be read instead, which shows why. A short count says nothing about what comes after it.
    ///
    /// # Errors
    ///
    /// There is no room, or the peer is gone.
    pub(crate) fn send(self, file: &File, at: u64, len: usize) -> Result<usize, Fault> {
        match self {
            Self::Descriptor(socket) => send_file(socket, file, at, len),
            #[cfg(any(feature = "_sim", loom))]
            Self::Simulated(send) => send(file, at, len),
        }
    }
}

/// Whether files are sent in this way. `sendfile` cannot be told not to raise SIGPIPE: std's start and ours have it ignored, but
/// the program may want it again.
#[cfg(all(target_os = "linux", not(miri)))]
pub(crate) fn can_send_files() -> bool {
    is_ignored(libc::SIGPIPE)
}

#[cfg(all(target_os = "linux", not(miri)))]
fn is_ignored(signal: i32) -> bool {
    // SAFETY: the call writes a `sigaction`, for which zeroes are valid, and changes nothing.
    let action = unsafe {
        let mut action: libc::sigaction = core::mem::zeroed();
        libc::sigaction(signal, core::ptr::null(), &raw mut action);
        action
    };
    action.sa_sigaction == libc::SIG_IGN
}

#[cfg(any(not(target_os = "linux"), miri))]
pub(crate) const fn can_send_files() -> bool {
    false
}

#[cfg(target_os = "linux")]
fn send_file(socket: i32, file: &File, at: u64, len: usize) -> Result<usize, Fault> {
    use std::os::fd::AsRawFd as _;

    let Ok(mut at) = libc::off_t::try_from(at) else {
        return Ok(0);
    };
    loop {
        // SAFETY: the call takes two open descriptors, and reads and writes a position on this stack.
        let sent = unsafe { libc::sendfile(socket, file.as_raw_fd(), &raw mut at, len) };
        if let Ok(sent) = usize::try_from(sent) {
            return Ok(sent);
        }
        match std::io::Error::last_os_error().raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EAGAIN) => return Err(Fault::Again),
            Some(libc::EPIPE | libc::ECONNRESET) => return Err(Fault::Gone),
            // The file is a pipe or a folder, its file system has no such call, a filter forbids it, or its disk fails.
            Some(_) | None => return Ok(0),
        }
    }
}

#[cfg(not(target_os = "linux"))]
const fn send_file(_: i32, _: &File, _: u64, _: usize) -> Result<usize, Fault> {
    Ok(0)
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::{File, can_send_files, is_ignored, send_file};
    use crate::os::Fault;

    #[test]
    fn files_are_sent_while_sigpipe_is_ignored() {
        assert!(can_send_files(), "std has it ignored");
        assert!(!is_ignored(libc::SIGUSR2), "by default it ends the process");
        // SAFETY: no test sends it.
        unsafe { libc::signal(libc::SIGUSR2, libc::SIG_IGN) };
        assert!(is_ignored(libc::SIGUSR2));
    }

    #[test]
    fn what_cannot_be_sent_is_to_be_read_and_a_peer_that_left_is_gone() {
        use std::net::Shutdown;
        use std::os::fd::AsRawFd as _;
        use std::os::unix::net::UnixStream;

        let (ours, theirs) = UnixStream::pair().expect("sockets");
        ours.set_nonblocking(true).expect("a socket");
        let send = |file: &File, at, len| send_file(ours.as_raw_fd(), file, at, len);
        let program = std::env::current_exe().and_then(File::open);
        let program = program.expect("this program");
        let len = program.metadata().expect("a file").len();
        assert_eq!(send(&program, 4, 100), Ok(100));
        assert_eq!(send(&program, len, 100), Ok(0), "it has ended");
        assert_eq!(send(&program, u64::MAX, 100), Ok(0), "no position");
        let folder = File::open("/").expect("a folder");
        assert_eq!(send(&folder, 0, 100), Ok(0), "it cannot be read so");
        let sent = core::iter::from_fn(|| Some(send(&program, 0, 1 << 20)));
        let stopped = sent.into_iter().find(|sent| !matches!(sent, Ok(1..)));
        assert_eq!(stopped, Some(Err(Fault::Again)), "there is no room");
        // Not dropped: a child that another test starts has it as well, until it executes its program.
        theirs.shutdown(Shutdown::Both).expect("a socket");
        assert_eq!(send(&program, 0, 100), Err(Fault::Gone));
    }
}
