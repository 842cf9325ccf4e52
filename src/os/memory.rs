//! How much memory the process may have, as the kernel says in `/proc` and in the control group.

use std::fs;

/// The lowest of the bounds of the control group (cgroups(7), version 2 or 1) and of the address space (`ulimit -v`), in
/// bytes; `None` if there is none.
pub(crate) fn memory_limit() -> Option<u64> {
    [of_group(), of_address_space()].into_iter().flatten().min()
}

fn of_group() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let file = groups.lines().find_map(limit_file)?;
    parse_limit(&fs::read_to_string(file).ok()?)
}

/// The file with the bound of one of the process's groups, which `line` names: `0::/path`, or `7:memory:/path`. In a container
/// the group is the root of what it sees, and of version 1 only the group itself is mounted.
fn limit_file(line: &str) -> Option<String> {
    let (_, named) = line.split_once(':')?;
    match named.split_once(':')? {
        ("", path) => Some(format!("/sys/fs/cgroup{path}/memory.max")),
        ("memory", _) => Some("/sys/fs/cgroup/memory/memory.limit_in_bytes".to_owned()),
        _ => None,
    }
}

/// `max`, or bytes. Version 1 writes a number beyond any memory for no bound.
fn parse_limit(text: &str) -> Option<u64> {
    text.trim_end().parse().ok()
}

fn of_address_space() -> Option<u64> {
    address_space(&fs::read_to_string("/proc/self/limits").ok()?)
}

/// The soft limit: the first number of its line in `proc_pid_limits`(5).
fn address_space(limits: &str) -> Option<u64> {
    let rest = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max address space"))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{address_space, limit_file, memory_limit, parse_limit};

    #[test]
    fn the_group_is_the_one_that_bounds_memory() {
        let file = limit_file("0::/system.slice/a.service");
        let expected = "/sys/fs/cgroup/system.slice/a.service/memory.max";
        assert_eq!(file.as_deref(), Some(expected));
        let file = limit_file("7:memory:/docker/1");
        let expected = "/sys/fs/cgroup/memory/memory.limit_in_bytes";
        assert_eq!(file.as_deref(), Some(expected));
        assert_eq!(limit_file("5:cpu,cpuacct:/"), None);
        assert_eq!(limit_file(""), None);
    }

    #[test]
    fn a_group_may_have_no_bound() {
        assert_eq!(parse_limit("max\n"), None);
        assert_eq!(parse_limit("134217728\n"), Some(128 << 20));
    }

    #[test]
    fn the_address_space_may_have_a_bound() {
        let line = "Limit  Soft Limit\nMax address space         268435456            unlimited            bytes\n";
        assert_eq!(address_space(line), Some(256 << 20));
        assert_eq!(
            address_space("Max address space unlimited unlimited bytes"),
            None
        );
    }

    #[test]
    fn a_bound_is_one_that_this_process_can_live_with() {
        assert!(memory_limit().is_none_or(|bytes| bytes > 1 << 20));
    }
}
