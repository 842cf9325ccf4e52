//! The two system calls of each request. An island of unsafe code, to make them without the C library.
//!
//! The first return, after a system call, to a function that was called before it is slow: the processor may predict it by the calls that it
//! remembers, which are the kernel's then. More returns after that one cost little. So these calls are made in place, which the C library
//! can't. What it is worth is in `benches/README.md`.
#![expect(
    unsafe_code,
    reason = "std and socket2 make system calls by the C library"
)]

use core::arch::asm;
use std::io;
use std::os::fd::AsRawFd;

/// Receives bytes into `buffer`, as a read of the socket does; 0 at the end.
#[inline]
pub(super) fn receive(socket: &impl AsRawFd, buffer: &mut [u8]) -> io::Result<usize> {
    let (start, len) = (buffer.as_mut_ptr(), buffer.len());
    // SAFETY: the kernel writes to the buffer, and nowhere else.
    result(unsafe { call(libc::SYS_recvfrom, socket.as_raw_fd(), start, len, 0) })
}

/// Sends bytes, as a write to the socket does: without a signal if the peer is gone.
#[inline]
pub(super) fn send(socket: &impl AsRawFd, bytes: &[u8]) -> io::Result<usize> {
    let (start, len) = (bytes.as_ptr().cast_mut(), bytes.len());
    let (number, descriptor) = (libc::SYS_sendto, socket.as_raw_fd());
    // SAFETY: the kernel only reads these bytes.
    result(unsafe { call(number, descriptor, start, len, libc::MSG_NOSIGNAL) })
}

/// The kernel returns a length, or the number of an error, negated.
#[inline]
fn result(returned: isize) -> io::Result<usize> {
    usize::try_from(returned).map_err(|_| {
        let number = i32::try_from(returned.wrapping_neg());
        io::Error::from_raw_os_error(number.unwrap_or(libc::EIO))
    })
}

/// Both calls have six parameters. The last two are an address and its length: there is none.
///
/// # Safety
///
/// The kernel may do with these bytes what the call is for.
#[inline]
unsafe fn call(
    number: libc::c_long,
    descriptor: i32,
    start: *mut u8,
    len: usize,
    flags: i32,
) -> isize {
    let returned;
    // SAFETY: these are the registers of the kernel's interface, and those that it changes.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => returned,
            in("edi") descriptor,
            in("rsi") start,
            in("rdx") len,
            in("r10d") flags,
            in("r8") 0_usize,
            in("r9") 0_usize,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack)
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") i64::from(descriptor) => returned,
            in("x1") start,
            in("x2") len,
            in("w3") flags,
            in("x4") 0_usize,
            in("x5") 0_usize,
            options(nostack)
        );
    }
    returned
}

#[cfg(test)]
mod tests {
    use super::{io, receive, send};
    use std::fs::File;
    use std::os::unix::net::UnixStream;

    #[test]
    #[cfg_attr(miri, ignore = "miri runs no instructions of the processor")]
    fn bytes_and_errors_are_those_of_the_kernel() {
        let (ours, theirs) = UnixStream::pair().expect("sockets");
        ours.set_nonblocking(true).expect("a socket");
        let mut buffer = [b'.'; 4];
        let mut receive_kind = |socket| receive(socket, &mut buffer).map_err(|error| error.kind());
        assert_eq!(receive_kind(&ours), Err(io::ErrorKind::WouldBlock));
        assert_eq!(send(&theirs, b"abcdef").ok(), Some(6));
        assert_eq!(receive_kind(&ours), Ok(4));
        assert_eq!(receive_kind(&ours), Ok(2));
        assert_eq!(buffer, *b"efcd", "no other byte is changed");
        drop(theirs);
        assert_eq!(receive(&ours, &mut buffer).ok(), Some(0));
        // A signal would end the process.
        let refused = send(&ours, b"a").map_err(|error| error.kind());
        assert_eq!(refused, Err(io::ErrorKind::BrokenPipe));
        let file = File::open("/dev/null").expect("a file");
        let refused = send(&file, b"a").map_err(|error| error.raw_os_error());
        assert_eq!(refused, Err(Some(libc::ENOTSOCK)));
    }
}
