//! Errors of the kernel, by what the caller can do about them.

use std::io;

use super::Fault;

/// What the caller can do about an error of the kernel (accept(2), recv(2), send(2), `epoll_ctl`(2)).
pub(crate) fn fault(error: &io::Error) -> Fault {
    match error.raw_os_error() {
        Some(libc::EAGAIN) => Fault::Again,
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::ENOSPC) => {
            Fault::Exhausted
        }
        Some(
            libc::ECONNRESET
            | libc::ECONNABORTED
            | libc::EPIPE
            | libc::ENOTCONN
            | libc::ETIMEDOUT
            | libc::EPROTO
            | libc::ENETDOWN
            | libc::ENETUNREACH
            | libc::EHOSTDOWN
            | libc::EHOSTUNREACH
            | libc::ENOPROTOOPT
            | libc::EOPNOTSUPP
            | libc::EPERM,
        ) => Fault::Gone,
        #[cfg(target_os = "linux")]
        Some(libc::ENONET) => Fault::Gone,
        Some(number) => Fault::Other(number),
        None => Fault::Other(0),
    }
}
