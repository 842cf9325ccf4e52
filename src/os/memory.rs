//! How much memory the process may have: what its control group and its address space allow. An island of unsafe code, for
//! `malloc_trim`.
//!
//! Written for size, since the smallest programs have it as well: bytes are compared without std's searches in texts, and files
//! are read without its growing buffer, 5 KB of code together.

#![cfg_attr(
    all(target_os = "linux", target_env = "gnu", not(miri)),
    expect(unsafe_code, reason = "none of our dependencies has a safe interface")
)]

use std::io::Read as _;

use super::descriptors::address_space;
use super::file::{Access, open};

/// More than the kernel's list of a process's groups has.
const TEXT_LEN_MAX: usize = 4096;

/// The lower one of the bounds of the control group (cgroups(7), version 2 or 1) and of the address space (`ulimit -v`), in
/// bytes; `None` if there is none.
pub(crate) fn memory_limit() -> Option<u64> {
    match (of_group(), address_space()) {
        (Some(group), Some(space)) => Some(group.min(space)),
        (group, space) => group.or(space),
    }
}

fn of_group() -> Option<u64> {
    let mut text = [0; TEXT_LEN_MAX];
    let groups = read("/proc/self/cgroup", &mut text)?;
    let file = groups.split(|byte| *byte == b'\n').find_map(limit_file)?;
    number(read(&file, &mut text)?)
}

/// The beginning of a file that the kernel writes: as short as it is, it comes in one read.
fn read<'t>(path: &str, text: &'t mut [u8]) -> Option<&'t [u8]> {
    let len = open(path, Access::Read).ok()?.read(text).ok()?;
    text.get(..len)
}

/// The file with the bound of one of the process's groups, which `line` names: `0::/path`, or `7:memory:/path`. In a container
/// the group is the root of what it sees, and of version 1 only the group itself is mounted.
fn limit_file(line: &[u8]) -> Option<String> {
    const NAME: &[u8] = b":memory:";
    if let Some(path) = line.strip_prefix(b"0::") {
        let path = core::str::from_utf8(path).ok()?;
        return Some(format!("/sys/fs/cgroup{path}/memory.max"));
    }
    let is_of_memory = line.windows(NAME.len()).any(|part| part == NAME);
    is_of_memory.then(|| "/sys/fs/cgroup/memory/memory.limit_in_bytes".to_owned())
}

/// Whether memory that grows in steps leaves a hole at each: glibc copies what its heap holds, and musl has the kernel move it.
pub(crate) const LEAVES_HOLES: bool = cfg!(target_env = "gnu");

/// Has the allocator give free memory back to the kernel, after a burst. Only glibc has to be asked: it keeps what was freed last,
/// 0.9 MB of 10 000 connections, and more if the memory of a burst was freed before.
pub(crate) fn give_back_memory() {
    // SAFETY: the call takes no pointer, and frees nothing that is in use.
    #[cfg(all(target_os = "linux", target_env = "gnu", not(miri)))]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// A decimal number; `None` for `max`. Version 1 writes a number beyond any memory for no bound.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    let digits = text.trim_ascii_end();
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::{limit_file, memory_limit, number};

    #[test]
    fn the_group_is_the_one_that_bounds_memory() {
        let file = limit_file(b"0::/system.slice/a.service");
        let expected = "/sys/fs/cgroup/system.slice/a.service/memory.max";
        assert_eq!(file.as_deref(), Some(expected));
        let file = limit_file(b"7:memory:/docker/1");
        let expected = "/sys/fs/cgroup/memory/memory.limit_in_bytes";
        assert_eq!(file.as_deref(), Some(expected));
        assert_eq!(limit_file(b"5:cpu,cpuacct:/"), None);
        assert_eq!(limit_file(b""), None);
    }

    #[test]
    fn a_group_may_have_no_bound() {
        assert_eq!(number(b"max\n"), None);
        assert_eq!(number(b"134217728\n"), Some(128 << 20));
        assert_eq!(number(b"18446744073709551615\n"), Some(u64::MAX));
        assert_eq!(number(b"18446744073709551616\n"), None);
        assert_eq!(number(b"\n"), None);
    }

    #[test]
    fn a_bound_is_one_that_this_process_can_live_with() {
        assert!(memory_limit().is_none_or(|bytes| bytes > 1 << 20));
    }
}
