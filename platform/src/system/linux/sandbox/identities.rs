//! User and group ids in a new user namespace, written from outside.

use std::fs;
use std::io;
use std::process::{Command, Stdio};

/// Maps this program's own ids. Root is mapped only where this user may use further ids: without those, root could
/// not do what programs expect of it, such as `setgroups`.
pub(super) fn map(process: i32) -> io::Result<()> {
    let user = rustix::process::geteuid();
    if user.is_root() {
        let all = |kind: &str| {
            let own = fs::read_to_string(format!("/proc/self/{kind}"))?;
            fs::write(format!("/proc/{process}/{kind}"), identity(&own))
        };
        // Root without the right to map everything maps itself, like any other user.
        if all("gid_map").and_then(|()| all("uid_map")).is_ok() {
            return Ok(());
        }
    }
    let group = rustix::process::getegid();
    if let Some(ranges) = Ranges::of_user(user.as_raw())
        && ranges.map(process, user.as_raw(), group.as_raw())
    {
        return Ok(());
    }
    let own = |id: u32| format!("{id} {id} 1\n");
    fs::write(format!("/proc/{process}/setgroups"), "deny")?;
    fs::write(format!("/proc/{process}/gid_map"), own(group.as_raw()))?;
    fs::write(format!("/proc/{process}/uid_map"), own(user.as_raw()))
}

/// Every id that exists here, unchanged.
fn identity(map: &str) -> String {
    let line = |line: &str| {
        let mut columns = line.split_whitespace();
        let (inside, count) = (columns.next()?, columns.nth(1)?);
        Some(format!("{inside} {inside} {count}\n"))
    };
    map.lines().filter_map(line).collect()
}

/// The ids that a user may use besides its own.
#[derive(Debug, PartialEq, Eq)]
struct Ranges {
    users: (u32, u32),
    groups: (u32, u32),
}

impl Ranges {
    fn of_user(user: u32) -> Option<Self> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let passwd = read("/etc/passwd");
        let name = name_of(&passwd, user);
        Some(Self {
            users: range(&read("/etc/subuid"), name, user)?,
            groups: range(&read("/etc/subgid"), name, user)?,
        })
    }

    /// Has the system's own programs write the maps; they check what this user may use.
    fn map(&self, process: i32, user: u32, group: u32) -> bool {
        let write = |program: &str, own: u32, (first, count): (u32, u32)| {
            let numbers = [0, own, 1, 1, first, count].map(|number| number.to_string());
            let status = Command::new(program)
                .arg(process.to_string())
                .args(numbers)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            status.is_ok_and(|status| status.success())
        };
        if !write("newgidmap", group, self.groups) {
            return false;
        }
        if write("newuidmap", user, self.users) {
            return true;
        }
        // The groups are mapped already and cannot be mapped again: the user alone must do.
        fs::write(format!("/proc/{process}/uid_map"), format!("0 {user} 1\n")).is_ok()
    }
}

fn name_of(passwd: &str, user: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut columns = line.split(':');
        let name = columns.next()?;
        (columns.nth(1)?.parse() == Ok(user)).then_some(name)
    })
}

/// Parses lines of `name-or-id:first:count`.
fn range(table: &str, name: Option<&str>, user: u32) -> Option<(u32, u32)> {
    table.lines().find_map(|line| {
        let mut columns = line.trim().split(':');
        let owner = columns.next()?;
        if Some(owner) != name && owner.parse() != Ok(user) {
            return None;
        }
        Some((columns.next()?.parse().ok()?, columns.next()?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ids_of_this_namespace_are_mapped_to_themselves() {
        assert_eq!(
            identity("         0          0 4294967295\n"),
            "0 0 4294967295\n"
        );
        let nested = "         0       1000          1\n         1     100000      65536\n";
        assert_eq!(identity(nested), "0 0 1\n1 1 65536\n");
    }

    #[test]
    fn a_range_belongs_to_a_name_or_a_number() {
        let passwd = "root:x:0:0::/r:/bin/sh\nann:x:1000:1000::/a:/bin/sh\n";
        let table = "bob:100000:65536\nann:165536:65536\n";
        let name = name_of(passwd, 1000);
        assert_eq!(name, Some("ann"));
        assert_eq!(range(table, name, 1000), Some((165_536, 65_536)));
        assert_eq!(range("1000:7:8\n", name, 1000), Some((7, 8)));
        assert_eq!(range(table, name_of(passwd, 7), 7), None);
        assert_eq!(range("ann:x:8\n", name, 1000), None);
    }
}
