//! The readiness test: a bare TCP connect from outside the loopback address, repeated.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use super::process::Process;
use super::router_address;
use crate::listeners::{self, Listener, Scope};

const CONNECT_TIMEOUT: Duration = Duration::from_millis(200);
const PAUSE_MIN: Duration = Duration::from_micros(500);
const PAUSE_MAX: Duration = Duration::from_millis(20);
/// A server that has bound the right port on loopback alone does not bind it again: no need to wait for the limit.
const CERTAIN_AFTER: Duration = Duration::from_millis(1500);
/// A debugger's or a metrics port often opens first, so another port alone proves nothing: it is only told.
const TELL_AFTER: Duration = Duration::from_millis(1500);

/// How the probe ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Answered,
    ProcessEnded,
    NobodyThere { listeners: Vec<Listener> },
}

/// Probes until the port answers, the process ends or the time is over.
pub(crate) fn probe(
    process: &Process,
    port: u16,
    limit: Duration,
    mut tell: impl FnMut(String),
) -> Outcome {
    let began = Instant::now();
    let mut pause = PAUSE_MIN;
    let mut has_told = false;
    let mut loopback_since: Option<Instant> = None;
    loop {
        if TcpStream::connect_timeout(&router_address(port), CONNECT_TIMEOUT).is_ok() {
            return Outcome::Answered;
        }
        if process.ended().is_some() {
            return Outcome::ProcessEnded;
        }
        if began.elapsed() >= limit {
            return Outcome::NobodyThere {
                listeners: listeners::of(&process.members()),
            };
        }
        if pause == PAUSE_MAX {
            let found = listeners::of(&process.members());
            if found.contains(&Listener {
                scope: Scope::LoopbackOnly,
                port,
            }) {
                let since = *loopback_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= CERTAIN_AFTER {
                    return Outcome::NobodyThere { listeners: found };
                }
            } else if !found.is_empty() && !has_told && began.elapsed() >= TELL_AFTER {
                has_told = true;
                tell(listeners::explain(&found, port));
            }
        }
        let left = limit.saturating_sub(began.elapsed());
        thread::sleep(pause.min(left));
        pause = (pause * 2).min(PAUSE_MAX);
    }
}
