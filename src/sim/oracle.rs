//! The oracle: each request gets one correct response, in order, and nothing follows the last one.

use core::time::Duration;

use super::kernel::{Excuse, Flow, Kernel, ServerEnd};
use super::peer::{ContinueRule, Pace, Peer, PeerRequest, PeerState, Reading, Rest, Step};
use super::plan::{Action, Completeness, Persistence, PullAction, SocketAction, UploadAction};
use super::response_reader::{ReceivedResponse, RequestMethod};
use super::wall_clock::WallClock;
use crate::h1::imf_fixdate;
use crate::limits::Timeouts;
use crate::reactor::IdlePolicy;

/// The time-outs of every simulated server.
const TIMEOUTS: Timeouts = Timeouts::new();
/// The shortest time-out for a request, in milliseconds.
const REQUEST_TIMEOUT: u64 = shorter(TIMEOUTS.head, TIMEOUTS.body);
/// The time for running requests after a stop, in milliseconds.
pub(super) const DRAIN_TIMEOUT: u64 = TIMEOUTS.drain.as_secs() * 1000;

/// Bytes after the last request that the server must read, so that no reset destroys its response.
const LINGER_LEN: usize = 64 * 1024;

const fn shorter(one: Duration, other: Duration) -> u64 {
    if one.as_secs() < other.as_secs() {
        one.as_secs() * 1000
    } else {
        other.as_secs() * 1000
    }
}

/// Checks what a peer has just read.
pub(super) fn check_reading(
    peer: &mut Peer,
    reading: Reading,
    at: u64,
    kernel: &Kernel,
    wall: &WallClock,
) -> Result<(), String> {
    reading.parsed?;
    check_responses(peer, at, kernel, wall)?;
    match reading.ended_from {
        Some(before) => check_end(peer, before, kernel),
        None => Ok(()),
    }
}

/// Checks all responses that have become complete since the last call.
fn check_responses(
    peer: &mut Peer,
    at: u64,
    kernel: &Kernel,
    wall: &WallClock,
) -> Result<(), String> {
    while let Some(response) = peer.reader.responses.get(peer.checked) {
        let status = response.status;
        let Some(request) = peer.requests.get(peer.checked) else {
            return Err(format!("response {status} without a request"));
        };
        if is_open(request) {
            peer.checked += 1;
            continue;
        }
        check_response(peer, request, response, at, kernel)
            .and_then(|()| check_close(peer, request, response, kernel))
            .and_then(|()| check_date(request, response, wall))
            .map_err(|what| format!("response {status} to {:?}: {what}", request.plan))?;
        peer.checked += 1;
    }
    if peer.reader.continues() > 0 {
        let next = peer.requests.get(peer.checked);
        match next.map(|request| request.continue_rule) {
            Some(ContinueRule::AtMostOnce) if peer.reader.continues() == 1 => {}
            rule => return Err(format!("100 Continue, but the rule is {rule:?}")),
        }
    }
    Ok(())
}

fn check_response(
    peer: &Peer,
    request: &PeerRequest,
    response: &ReceivedResponse,
    at: u64,
    kernel: &Kernel,
) -> Result<(), String> {
    let Some(begun_at) = request.begun_at else {
        return Err("it came before the request".to_owned());
    };
    if response.continues > 0 && request.continue_rule == ContinueRule::Never {
        return Err("100 Continue without an expectation".to_owned());
    }
    if response.continues > 1 {
        return Err(format!("100 Continue came {} times", response.continues));
    }
    let expected = &request.expected;
    if response.status == 408 && expected.status != 408 {
        let took = request.whole_at.unwrap_or(at) - begun_at;
        let excuse = peer.link.and_then(|link| kernel.excuse(link));
        return if took < REQUEST_TIMEOUT && excuse != Some(Excuse::FalselyDrained) {
            Err(format!("the request took only {took} ms"))
        } else {
            Ok(())
        };
    }
    if is_refused_for_memory(response, kernel) {
        return Ok(());
    }
    if response.status == 400 && is_left_by_its_peer(peer, request) {
        return Ok(());
    }
    if response.status != expected.status {
        return Err(format!("expected {}", expected.status));
    }
    // HTTP/1.0 can't tell a response that was cut with its request.
    let is_cut = is_ended_by_close(response) && is_echo(request);
    if request.whole_at.is_none() && response.status < 300 && !may_be_early(request) && !is_cut {
        return Err("the request is not complete".to_owned());
    }
    if request.method == RequestMethod::Head {
        return if response.body.is_empty() {
            Ok(())
        } else {
            Err("a response to HEAD has a body".to_owned())
        };
    }
    check_trailers(request, response)?;
    check_body(peer, request, response)
}

/// Whether the handler pulls a body whose peer will never send the rest: it may respond to that.
fn is_left_by_its_peer(peer: &Peer, request: &PeerRequest) -> bool {
    let is_pulled = matches!(request.plan.map(|plan| plan.action), Some(Action::Pull(_)));
    let sends_more = peer.script.iter().any(|step| matches!(step, Step::Send(_)));
    is_pulled && request.whole_at.is_none() && !sends_more
}

/// Only a trailer that the response announces is sent, and only if it has a place.
fn check_trailers(request: &PeerRequest, response: &ReceivedResponse) -> Result<(), String> {
    let ends_with_them = matches!(
        request.plan.map(|plan| plan.action),
        Some(Action::Writer(writer)) if writer.ends_with_trailers()
    );
    let is_chunked = response.field("transfer-encoding").is_some();
    let expected: Vec<String> = request
        .plan
        .filter(|_| ends_with_them && is_chunked)
        .map(|plan| format!("x-id: {}", plan.id))
        .into_iter()
        .collect();
    if response.trailers == expected {
        Ok(())
    } else {
        Err(format!(
            "trailers {:?}, expected {expected:?}",
            response.trailers
        ))
    }
}

/// Whether the server had no memory for the request, or for its response.
fn is_refused_for_memory(response: &ReceivedResponse, kernel: &Kernel) -> bool {
    kernel.memory_max.is_some() && response.status == 503 && response.field("retry-after").is_some()
}

fn check_body(
    peer: &Peer,
    request: &PeerRequest,
    response: &ReceivedResponse,
) -> Result<(), String> {
    let expected = &request.expected;
    let is_own_refusal = expected.body.is_empty() && response.status >= 400;
    if is_own_refusal || response.body == expected.body {
        return if expected.completeness == Completeness::Truncated && !is_ended_by_close(response) {
            Err("it is complete, and must be truncated".to_owned())
        } else {
            Ok(())
        };
    }
    if expected.completeness == Completeness::Truncated && is_ended_by_close(response) {
        return check_prefix(&response.body, &expected.body);
    }
    let is_truncated =
        is_ended_by_close(response) && matches!(peer.state, PeerState::ClosedByServer(_));
    if is_truncated && expected.body.starts_with(&response.body) {
        // HTTP/1.0 can't tell a truncated body; `check_end` decides whether it may be.
        return Ok(());
    }
    Err(format!(
        "{} bytes {:?}…, expected {} bytes {:?}…",
        response.body.len(),
        &response.body[..response.body.len().min(24)],
        expected.body.len(),
        &expected.body[..expected.body.len().min(24)]
    ))
}

fn is_ended_by_close(response: &ReceivedResponse) -> bool {
    response.field("content-length").is_none() && response.field("transfer-encoding").is_none()
}

fn check_prefix(body: &[u8], whole: &[u8]) -> Result<(), String> {
    if whole.starts_with(body) {
        Ok(())
    } else {
        Err("its first bytes are wrong".to_owned())
    }
}

/// Whether the response may come before the end of the request.
fn may_be_early(request: &PeerRequest) -> bool {
    match request.plan.map(|plan| plan.action) {
        Some(
            Action::Upload(UploadAction::Early(_) | UploadAction::EarlyLater(_))
            | Action::Pull(PullAction::Leave(_) | PullAction::EchoSome(_)),
        ) => true,
        Some(_) | None => false,
    }
}

fn check_close(
    peer: &Peer,
    request: &PeerRequest,
    response: &ReceivedResponse,
    kernel: &Kernel,
) -> Result<(), String> {
    match (request.expected.persistence, response.says_close()) {
        (Persistence::Closes, false) => Err("it does not say close".to_owned()),
        (Persistence::KeptOpen, true)
            if response.status != 408
                && !(response.status == 400 && is_left_by_its_peer(peer, request))
                && !is_refused_for_memory(response, kernel)
                && kernel.stopped_at().is_none() =>
        {
            Err("it says close".to_owned())
        }
        (Persistence::Closes | Persistence::MayClose | Persistence::KeptOpen, _) => Ok(()),
    }
}

fn check_date(
    request: &PeerRequest,
    response: &ReceivedResponse,
    wall: &WallClock,
) -> Result<(), String> {
    if response.status < 200 {
        return Ok(());
    }
    let date = response.field("date").unwrap_or_default();
    let is_known = wall.shown[request.wall_at..]
        .iter()
        .any(|second| imf_fixdate(*second) == date.as_bytes());
    if is_known {
        Ok(())
    } else {
        Err(format!(
            "the clock has not shown its date {date:?} since the request began"
        ))
    }
}

const EMPTY_LINE_LEN: usize = "\r\n".len();

/// Checks whether the server may end the connection, which was in the state `before`.
fn check_end(peer: &Peer, before: PeerState, kernel: &Kernel) -> Result<(), String> {
    let Some(link) = peer.link else { return Ok(()) };
    if kernel.excuse(link).is_some() || matches!(peer.pace, Pace::Never | Pace::Resumed) {
        return Ok(());
    }
    // A response for which memory has run out is cut.
    if kernel.memory_max.is_some() {
        return Ok(());
    }
    if kernel.is_past_drain() {
        return Ok(());
    }
    let received = peer.reader.responses.len();
    let last = peer.reader.responses.last();
    // The drop may come after the response, and before the responses to earlier requests are sent.
    let mut rest = peer.requests.iter().skip(received.saturating_sub(1));
    if rest.any(is_open) {
        return Ok(());
    }
    if let Some(partial) = peer.reader.partial() {
        let expected = peer.requests.get(received).map(|request| &request.expected);
        return match expected {
            Some(expected) if expected.completeness == Completeness::Truncated => {
                check_prefix(&partial.body, &expected.body)
            }
            Some(_) if may_be_lost_to_a_reset(peer, received) => Ok(()),
            Some(_) if peer.is_reset_after_stop(&peer.requests[received], kernel) => Ok(()),
            Some(expected) if is_cut_with_its_request(peer, received, before, kernel) => {
                check_prefix(&partial.body, &expected.body)
            }
            Some(_) | None => Err(format!("its response {} was cut off", partial.status)),
        };
    }
    if last.is_some_and(|response| response.status == 101) {
        return check_socket_end(peer, received - 1, kernel);
    }
    if last.is_some_and(|response| response.says_close()) {
        return Ok(());
    }
    // After an early response, the rest of the request still has its time-out, or is too long to be discarded.
    let is_early = received
        .checked_sub(1)
        .and_then(|last| peer.requests.get(last))
        .is_some_and(|request| request.whole_at.is_none() || request.rest == Rest::Long);
    if is_early {
        return Ok(());
    }
    let Some(next) = peer
        .requests
        .get(received)
        .filter(|next| next.begun_at.is_some())
    else {
        let may_end = before == PeerState::HalfClosed
            || kernel.stopped_at().is_some()
            || kernel.idle == IdlePolicy::Evict;
        return if may_end {
            Ok(())
        } else {
            Err("an idle connection was closed".to_owned())
        };
    };
    check_unanswered(peer, next, before, kernel)
}

/// Whether the response to this request may end anywhere.
fn is_open(request: &PeerRequest) -> bool {
    request.begun_at.is_some() && request.expected.completeness == Completeness::Open
}

/// Checks that all which the code of an upgraded connection had to send has come before the end.
fn check_socket_end(peer: &Peer, number: usize, kernel: &Kernel) -> Result<(), String> {
    let (Some(response), Some(request)) =
        (peer.reader.responses.get(number), peer.requests.get(number))
    else {
        return Ok(());
    };
    let may_stop = matches!(
        request.plan.map(|plan| plan.action),
        Some(Action::Socket(SocketAction::Stop, _))
    ) && kernel.stopped_at().is_some();
    let expected = &request.expected;
    let (got, all) = (response.body.len(), expected.body.len());
    let is_complete = got == all || expected.completeness == Completeness::Truncated;
    if is_complete || may_stop || may_be_lost_to_a_reset(peer, number) {
        return Ok(());
    }
    Err(format!("its socket was cut off after {got} of {all} bytes"))
}

/// Whether a response that goes with its request is cut because the peer has ended that, or was too slow with it.
fn is_cut_with_its_request(peer: &Peer, number: usize, before: PeerState, kernel: &Kernel) -> bool {
    let Some(request) = peer.requests.get(number) else {
        return false;
    };
    let is_late = request
        .begun_at
        .is_some_and(|begun_at| begun_at + REQUEST_TIMEOUT <= kernel.now);
    let is_ended = before == PeerState::HalfClosed;
    is_echo(request) && request.whole_at.is_none() && (is_ended || is_late)
}

/// Whether the response goes with the request.
fn is_echo(request: &PeerRequest) -> bool {
    matches!(
        request.plan.map(|plan| plan.action),
        Some(Action::Pull(PullAction::Echo(_) | PullAction::EchoSome(_)))
    )
}

/// Whether the peer has sent enough after this request for a reset to destroy the response.
fn may_be_lost_to_a_reset(peer: &Peer, number: usize) -> bool {
    let start = peer.requests.get(number).map_or(0, |request| request.start);
    peer.state == PeerState::ClosedByServer(Flow::Broken)
        && peer.sent.saturating_sub(start) > LINGER_LEN
}

fn check_unanswered(
    peer: &Peer,
    next: &PeerRequest,
    before: PeerState,
    kernel: &Kernel,
) -> Result<(), String> {
    let is_reset = peer.state == PeerState::ClosedByServer(Flow::Broken);
    if may_be_lost_to_a_reset(peer, peer.reader.responses.len()) {
        return Ok(());
    }
    match (next.whole_at, kernel.stopped_at()) {
        (None, _) if before == PeerState::HalfClosed || kernel.stopped_at().is_some() => Ok(()),
        // An empty line begins no request (RFC 9112 §2.2): the connection is idle, and may make room for another.
        (None, _)
            if kernel.idle == IdlePolicy::Evict
                && next.plan.is_none()
                && peer.sent.saturating_sub(next.start) <= EMPTY_LINE_LEN =>
        {
            Ok(())
        }
        // It may be cut before the first byte: the handler failed before anything was sent.
        (Some(_), _) if next.expected.completeness == Completeness::Truncated => Ok(()),
        (Some(_), Some(_)) if peer.is_reset_after_stop(next, kernel) => Ok(()),
        (_, Some(stopped_at)) => match next.whole_at {
            Some(whole_at) if whole_at < stopped_at && kernel.faults.rates.short == 0 => {
                Err("a request that came before the stop was dropped".to_owned())
            }
            Some(_) | None => Ok(()),
        },
        (_, None) if is_reset && peer.pace != Pace::Eager => Ok(()),
        (_, None) => Err(format!(
            "the connection was closed without a response to {:?}",
            next.plan
        )),
    }
}

/// What a peer still waits for and should have got.
pub(super) fn outstanding(peer: &Peer, kernel: &Kernel) -> Option<String> {
    match peer.state {
        PeerState::Connected | PeerState::HalfClosed => {}
        PeerState::ClosedByServer(_) if peer.goes_on() => {}
        PeerState::Starting => return Some(format!("{} never connected", peer.name())),
        PeerState::Left | PeerState::ClosedByServer(_) | PeerState::Refused => return None,
    }
    let link = peer.link?;
    if kernel.excuse(link).is_some() && kernel.server_end(link) != ServerEnd::Accepted {
        return None;
    }
    if peer.pace == Pace::Never || kernel.server_end(link) == ServerEnd::Detached {
        return None;
    }
    if let Some(step) = peer.script.front() {
        return Some(format!(
            "{} waits to continue with {step:.60?}",
            peer.name()
        ));
    }
    if peer.state == PeerState::HalfClosed {
        return Some(format!("{} ended its side and is not closed", peer.name()));
    }
    let unanswered = peer.requests.get(peer.reader.responses.len())?;
    unanswered.begun_at?;
    Some(format!(
        "{} waits for a response to {:?}",
        peer.name(),
        unanswered.plan
    ))
}
