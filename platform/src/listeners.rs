//! Where a process really listens, read from the kernel: why a probe finds no listener.

use std::collections::HashSet;
use std::fs;

const LISTENING: &str = "0A";

/// A listening socket of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    pub(crate) scope: Scope,
    pub(crate) port: u16,
}

/// Who can reach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Everyone,
    LoopbackOnly,
}

/// The listening TCP sockets of some processes.
pub(crate) fn of(processes: &[i32]) -> Vec<Listener> {
    let sockets: HashSet<String> = processes.iter().copied().flat_map(sockets_of).collect();
    let mut found = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        found.extend(
            text.lines()
                .skip(1)
                .filter_map(|line| listener(line, &sockets)),
        );
    }
    found
}

/// Why the configured port does not answer, in one sentence.
pub(crate) fn explain(listeners: &[Listener], port: u16) -> String {
    let on_port = listeners.iter().find(|listener| listener.port == port);
    match (on_port.map(|listener| listener.scope), listeners.first()) {
        (Some(Scope::LoopbackOnly), _) => {
            format!(
                "the server listens on 127.0.0.1:{port}, which the platform's router cannot reach"
            )
        }
        (Some(Scope::Everyone), _) => {
            format!("the server listens on port {port} but did not accept in time")
        }
        (None, Some(other)) => {
            format!(
                "the server listens on port {}, the configured port is {port}",
                other.port
            )
        }
        (None, None) => {
            format!("the process runs but listens on no port; the configured port is {port}")
        }
    }
}

fn sockets_of(process: i32) -> Vec<String> {
    let descriptors = fs::read_dir(format!("/proc/{process}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    let targets = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
    let names = targets.map(|target| target.to_string_lossy().into_owned());
    names
        .filter_map(|name| Some(name.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect()
}

/// A line of the table: number, local address, remote address, state, … , inode.
fn listener(line: &str, sockets: &HashSet<String>) -> Option<Listener> {
    let columns: Vec<&str> = line.split_whitespace().collect();
    let (address, port) = columns.get(1)?.split_once(':')?;
    if *columns.get(3)? != LISTENING || !sockets.contains(*columns.get(9)?) {
        return None;
    }
    // Loopback is 127.0.0.0/8 in host order, ::1, or the former mapped into IPv6.
    let is_loopback = match address.len() {
        8 => address.ends_with("7F"),
        _ => {
            address == "00000000000000000000000001000000"
                || (address.contains("FFFF0000") && address.ends_with("7F"))
        }
    };
    let scope = if is_loopback {
        Scope::LoopbackOnly
    } else {
        Scope::Everyone
    };
    Some(Listener {
        scope,
        port: u16::from_str_radix(port, 16).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_read() {
        let sockets = HashSet::from(["77".to_owned()]);
        let line =
            "0: 0100007F:2328 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 77 1 0";
        assert_eq!(
            listener(line, &sockets),
            Some(Listener {
                scope: Scope::LoopbackOnly,
                port: 9000
            })
        );
        let everyone = line.replace("0100007F", "00000000");
        assert_eq!(
            listener(&everyone, &sockets).map(|found| found.scope),
            Some(Scope::Everyone)
        );
        assert_eq!(listener(&line.replace(" 77 ", " 78 "), &sockets), None);
        let found = [Listener {
            scope: Scope::Everyone,
            port: 8080,
        }];
        assert_eq!(
            explain(&found, 9000),
            "the server listens on port 8080, the configured port is 9000"
        );
    }
}
