//! How many descriptors and how much address space the process may have, and whether a descriptor is readable. An island of
//! unsafe code, for `prlimit` and `poll`.
#![expect(unsafe_code, reason = "none of our dependencies has a safe interface")]

/// Raises the soft limit to the hard one, which no process needs a right for. The number of descriptors the process may
/// have after that; `None` if the kernel does not say.
pub(super) fn raise_limit() -> Option<u64> {
    let limit = replace_limit(Resource::Descriptors, None)?;
    let raised = libc::rlimit {
        rlim_cur: limit.rlim_max,
        ..limit
    };
    if limit.rlim_cur < limit.rlim_max
        && replace_limit(Resource::Descriptors, Some(&raised)).is_some()
    {
        return Some(raised.rlim_cur);
    }
    Some(limit.rlim_cur)
}

/// The bytes of address space that the process may have (`ulimit -v`); `None` if that is not bounded.
pub(super) fn address_space() -> Option<u64> {
    let limit = replace_limit(Resource::AddressSpace, None)?;
    (limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

#[derive(Clone, Copy)]
enum Resource {
    Descriptors,
    AddressSpace,
}

/// The limit of this process so far; sets another one, if it is given. Not by `setrlimit`, with which musl brings along 1 KB
/// of code for kernels that have no `prlimit`.
fn replace_limit(resource: Resource, limit: Option<&libc::rlimit>) -> Option<libc::rlimit> {
    // Their type depends on the C library.
    let resource = match resource {
        Resource::Descriptors => libc::RLIMIT_NOFILE,
        Resource::AddressSpace => libc::RLIMIT_AS,
    };
    let limit = limit.map_or(core::ptr::null(), core::ptr::from_ref);
    let mut before = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is null or valid for a read of its type, and `before` is valid for a write of it.
    let result = unsafe { libc::prlimit(0, resource, limit, &raw mut before) };
    (result == 0).then_some(before)
}

/// Whether a read would return at once; for a listener, whether a connection waits to be accepted.
pub(super) fn is_readable(descriptor: i32) -> bool {
    poll(descriptor, libc::POLLIN, 0) & libc::POLLIN != 0
}

/// Which of these events there are, after at most this time. Errors are always among them.
pub(super) fn poll(descriptor: i32, events: i16, milliseconds: i32) -> i16 {
    let mut looked_at = libc::pollfd {
        fd: descriptor,
        events,
        revents: 0,
    };
    // SAFETY: `looked_at` is one valid entry.
    let ready = unsafe { libc::poll(&raw mut looked_at, 1, milliseconds) };
    if ready > 0 { looked_at.revents } else { 0 }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;

    use super::{address_space, is_readable, raise_limit};

    #[test]
    fn a_descriptor_is_readable_once_there_is_something_to_read() {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        assert!(!is_readable(reader.as_raw_fd()));
        writer.write_all(b"a").expect("there is room");
        assert!(is_readable(reader.as_raw_fd()));
    }

    #[test]
    fn the_address_space_is_bounded_as_the_kernel_says() {
        let limits = std::fs::read_to_string("/proc/self/limits").expect("Linux has the file");
        let line = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max address space"));
        let soft = line.and_then(|line| line.split_whitespace().next());
        assert_eq!(
            address_space(),
            soft.expect("a number or unlimited").parse().ok()
        );
    }

    #[test]
    fn the_limit_is_raised_once_and_then_stays() {
        let raised = raise_limit().expect("the kernel knows the limit");
        assert!(raised >= 3, "standard streams are open");
        assert_eq!(raise_limit(), Some(raised));
    }
}
