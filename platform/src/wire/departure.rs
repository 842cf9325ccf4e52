//! Waiting for a server's bytes on behalf of a caller that may leave meanwhile.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::system::{self, Caller};

/// How often a caller that has ended its sending side is looked at again.
const LOOK_PERIOD: Duration = Duration::from_millis(100);

/// Which of two connections had an event first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    Response,
    CallerGone,
    Neither,
}

/// Waits for the server's bytes, or for the caller to leave. A caller that only ended its sending side still waits for
/// its response (RFC 9112 §9.6).
pub(super) fn response_or_departure(
    server: &TcpStream,
    caller: &TcpStream,
    deadline: Instant,
) -> First {
    let gone = PollFlags::HUP | PollFlags::ERR;
    let mut looked = None;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let (polled, patience) = match looked {
            None => (Some(gone | system::ENDED), left),
            Some(polled) => (polled, left.min(LOOK_PERIOD)),
        };
        let mut both = [
            PollFd::new(server, PollFlags::IN),
            PollFd::new(caller, polled.unwrap_or(gone)),
        ];
        let count = if polled.is_some() { 2 } else { 1 };
        match poll(&mut both[..count], Some(&timespec(patience))) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return First::Neither,
        }
        if !both[0].revents().is_empty() {
            return First::Response;
        }
        let events = both[1].revents();
        if events.intersects(gone) {
            return First::CallerGone;
        }
        if looked.is_some() || events.intersects(system::ENDED) {
            looked = match system::look(caller) {
                Caller::Waits(polled) => Some(polled),
                Caller::Left => return First::CallerGone,
            };
        }
        if left.is_zero() {
            return First::Neither;
        }
    }
}

/// The time that a poll may take.
pub(super) fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, TcpListener};

    /// The caller's end, and the gateway's end of the same connection.
    fn connection(address: IpAddr) -> Option<(TcpStream, TcpStream)> {
        let listener = TcpListener::bind((address, 0)).ok()?;
        let caller = TcpStream::connect(listener.local_addr().ok()?).ok()?;
        Some((caller, listener.accept().ok()?.0))
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn a_half_closed_caller_still_waits_and_a_closed_one_is_gone() {
        let (mut server, ours) = connection(Ipv4Addr::LOCALHOST.into()).expect("a connection");
        for address in [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            Ipv6Addr::LOCALHOST.into(),
        ] {
            // A machine may lack IPv6.
            let Some((caller, end)) = connection(address) else {
                continue;
            };
            caller.shutdown(Shutdown::Write).expect("half-closed");
            // Where this is all that is seen, it counts as the end.
            if system::blindness().is_none() {
                let briefly = Instant::now() + LOOK_PERIOD * 3;
                assert_eq!(response_or_departure(&ours, &end, briefly), First::Neither);
            }
            drop(caller);
            assert_eq!(
                response_or_departure(&ours, &end, soon()),
                First::CallerGone
            );
        }
        let (mut caller, end) = connection(Ipv4Addr::LOCALHOST.into()).expect("a connection");
        caller.write_all(b"the next request").expect("sent");
        let briefly = Instant::now() + LOOK_PERIOD * 3;
        assert_eq!(response_or_departure(&ours, &end, briefly), First::Neither);
        server.write_all(b"x").expect("sent");
        assert_eq!(response_or_departure(&ours, &end, soon()), First::Response);
    }
}
