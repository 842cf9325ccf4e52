//! What is true of every run: one right answer to each request, in order, and nothing behind the end.

use super::answers::{Answer, Wanted};
use super::kernel::{Custody, Excuse, Flow, Kernel};
use super::peer::{Asked, ContinueRule, Pace, Peer, Standing};
use super::task::{Afterwards, Task, UploadPlan, Wholeness};
use super::world::WallClock;
use crate::h1::imf_fixdate;
use crate::reactor::IdlePolicy;

/// Bytes behind the last request that the server must read, so that no reset eats its answer.
const LINGER_LEN: usize = 64 * 1024;

/// Judges all answers that have become whole since the last time.
pub(super) fn judge_answers(
    peer: &mut Peer,
    at: u64,
    kernel: &Kernel,
    wall: &WallClock,
) -> Result<(), String> {
    while let Some(answer) = peer.reader.whole.get(peer.judged) {
        let Some(asked) = peer.asked.get(peer.judged) else {
            return Err(format!("an answer {} that nobody asked for", answer.status));
        };
        judge_answer(peer, asked, answer, at, kernel)
            .and_then(|()| judge_close(asked, answer, kernel))
            .and_then(|()| judge_date(asked, answer, wall))
            .map_err(|what| format!("answer {} to {:?}: {what}", answer.status, asked.errand))?;
        peer.judged += 1;
    }
    if peer.reader.continues() > 0 {
        match peer.asked.get(peer.judged).map(|asked| asked.continue_rule) {
            Some(ContinueRule::AtMostOnce) if peer.reader.continues() == 1 => {}
            rule => return Err(format!("100 Continue, where the rule is {rule:?}")),
        }
    }
    Ok(())
}

fn judge_answer(
    peer: &Peer,
    asked: &Asked,
    answer: &Answer,
    at: u64,
    kernel: &Kernel,
) -> Result<(), String> {
    let Some(begun_at) = asked.begun_at else {
        return Err("it came before the request".to_owned());
    };
    if answer.continues > 0 && asked.continue_rule == ContinueRule::Never {
        return Err("100 Continue was not asked for".to_owned());
    }
    if answer.continues > 1 {
        return Err(format!("{} times 100 Continue", answer.continues));
    }
    let expected = &asked.expected;
    if answer.status == 408 && expected.status != 408 {
        let took = asked.whole_at.unwrap_or(at) - begun_at;
        let excuse = peer.link.and_then(|link| kernel.excuse(link));
        return if took < kernel_patience() && excuse != Some(Excuse::ToldTooEarly) {
            Err(format!("the request took {took} ms"))
        } else {
            Ok(())
        };
    }
    if answer.status != expected.status {
        return Err(format!("it should be {}", expected.status));
    }
    if asked.whole_at.is_none() && answer.status < 300 && !is_early(asked) {
        return Err("the request is not whole".to_owned());
    }
    if asked.wanted == Wanted::HeadAlone {
        return if answer.body.is_empty() {
            Ok(())
        } else {
            Err("a body to HEAD".to_owned())
        };
    }
    let is_own_refusal = expected.body.is_empty() && answer.status >= 400;
    if is_own_refusal || answer.body == expected.body {
        return if expected.wholeness == Wholeness::Cut && !is_ended_by_close(answer) {
            Err("it is whole, and should have been cut".to_owned())
        } else {
            Ok(())
        };
    }
    if expected.wholeness == Wholeness::Cut && is_ended_by_close(answer) {
        return judge_prefix(&answer.body, &expected.body);
    }
    let is_cut_short = is_ended_by_close(answer) && matches!(peer.standing, Standing::Ended(_));
    if is_cut_short && expected.body.starts_with(&answer.body) {
        // HTTP/1.0 cannot tell; whether it may be cut is judged at the end.
        return Ok(());
    }
    Err(format!(
        "{} bytes {:?}…, and {} were expected {:?}…",
        answer.body.len(),
        &answer.body[..answer.body.len().min(24)],
        expected.body.len(),
        &expected.body[..expected.body.len().min(24)]
    ))
}

fn is_ended_by_close(answer: &Answer) -> bool {
    answer.field("content-length").is_none() && answer.field("transfer-encoding").is_none()
}

fn judge_prefix(body: &[u8], whole: &[u8]) -> Result<(), String> {
    if whole.starts_with(body) {
        Ok(())
    } else {
        Err("its first bytes are wrong".to_owned())
    }
}

/// The shortest time-out for a request that all worlds have.
const fn kernel_patience() -> u64 {
    super::run::REQUEST_TIMEOUT
}

/// Whether it may be answered before all of it has come.
fn is_early(asked: &Asked) -> bool {
    match asked.errand.map(|errand| errand.task) {
        Some(Task::Upload(UploadPlan::Early(_) | UploadPlan::EarlyLater(_))) => true,
        Some(_) | None => false,
    }
}

fn judge_close(asked: &Asked, answer: &Answer, kernel: &Kernel) -> Result<(), String> {
    match (asked.expected.afterwards, answer.says_close()) {
        (Afterwards::Ends, false) => Err("it does not say close".to_owned()),
        (Afterwards::Stays, true) if answer.status != 408 && kernel.stopped_at().is_none() => {
            Err("it says close".to_owned())
        }
        (Afterwards::Ends | Afterwards::MayEnd | Afterwards::Stays, _) => Ok(()),
    }
}

fn judge_date(asked: &Asked, answer: &Answer, wall: &WallClock) -> Result<(), String> {
    if answer.status < 200 {
        return Ok(());
    }
    let date = answer.field("date").unwrap_or_default();
    let is_known = wall.shown[asked.wall_at..]
        .iter()
        .any(|second| imf_fixdate(*second) == date.as_bytes());
    if is_known {
        Ok(())
    } else {
        Err(format!(
            "its date {date:?} is none of the time it was made in"
        ))
    }
}

/// The server has ended the connection, which stood so `before`: may it?
pub(super) fn judge_end(peer: &Peer, before: Standing, kernel: &Kernel) -> Result<(), String> {
    let Some(link) = peer.link else { return Ok(()) };
    if kernel.excuse(link).is_some() || matches!(peer.pace, Pace::Never | Pace::Awake) {
        return Ok(());
    }
    let is_past_drain = kernel
        .stopped_at()
        .is_some_and(|at| at + super::run::DRAIN_TIMEOUT <= kernel.now);
    if is_past_drain {
        return Ok(());
    }
    let answered = peer.reader.whole.len();
    let last = peer.reader.whole.last();
    if let Some(partial) = peer.reader.partial() {
        let expected = peer.asked.get(answered).map(|asked| &asked.expected);
        return match expected {
            Some(expected) if expected.wholeness == Wholeness::Cut => {
                judge_prefix(&partial.body, &expected.body)
            }
            Some(_) if is_drowned(peer, answered) => Ok(()),
            Some(_) | None => Err(format!("its answer {} was cut off", partial.status)),
        };
    }
    if last.is_some_and(|answer| answer.says_close() || answer.status == 101) {
        return Ok(());
    }
    // Of a request that was answered early, the rest has to come in its time.
    let is_early = answered
        .checked_sub(1)
        .and_then(|last| peer.asked.get(last))
        .is_some_and(|asked| asked.whole_at.is_none());
    if is_early {
        return Ok(());
    }
    let Some(next) = peer
        .asked
        .get(answered)
        .filter(|next| next.begun_at.is_some())
    else {
        let may_end = before == Standing::HalfClosed
            || kernel.stopped_at().is_some()
            || kernel.idle == IdlePolicy::Evict;
        return if may_end {
            Ok(())
        } else {
            Err("an idle connection was closed".to_owned())
        };
    };
    judge_unanswered(peer, next, before, kernel)
}

/// Whether the peer has sent so much behind this request that a reset may eat the answer.
fn is_drowned(peer: &Peer, number: usize) -> bool {
    let end = peer.asked.get(number).map_or(0, |asked| asked.start);
    peer.standing == Standing::Ended(Flow::Broken) && peer.sent.saturating_sub(end) > LINGER_LEN
}

fn judge_unanswered(
    peer: &Peer,
    next: &Asked,
    before: Standing,
    kernel: &Kernel,
) -> Result<(), String> {
    let is_reset = peer.standing == Standing::Ended(Flow::Broken);
    let is_drowned = is_drowned(peer, peer.reader.whole.len());
    if is_drowned {
        return Ok(());
    }
    match (next.whole_at, kernel.stopped_at()) {
        (None, _) if before == Standing::HalfClosed || kernel.stopped_at().is_some() => Ok(()),
        // A cut may come before the first byte: the handler failed before anything was sent.
        (Some(_), _) if next.expected.wholeness == Wholeness::Cut => Ok(()),
        (_, Some(stopped_at)) => match next.whole_at {
            Some(whole_at) if whole_at < stopped_at && kernel.chance.rates.short == 0 => {
                Err("a request that had come before the stop was dropped".to_owned())
            }
            Some(_) | None => Ok(()),
        },
        (_, None) if is_reset && peer.pace != Pace::Eager => Ok(()),
        (_, None) => Err(format!("{:?} was closed and not answered", next.errand)),
    }
}

/// Whether a peer still waits for something that should have come.
pub(super) fn outstanding(peer: &Peer, kernel: &Kernel) -> Option<String> {
    match peer.standing {
        Standing::Here | Standing::HalfClosed => {}
        Standing::Coming => return Some(format!("{} never came", peer.name())),
        Standing::Left | Standing::Ended(_) | Standing::Refused => return None,
    }
    let link = peer.link?;
    if kernel.excuse(link).is_some() && kernel.custody(link) != Custody::Server {
        return None;
    }
    if peer.pace == Pace::Never || kernel.custody(link) == Custody::Detached {
        return None;
    }
    if let Some(cue) = peer.script.front() {
        return Some(format!("{} waits to go on with {cue:.60?}", peer.name()));
    }
    if peer.standing == Standing::HalfClosed {
        return Some(format!("{} ended its side and is not closed", peer.name()));
    }
    let unanswered = peer.asked.get(peer.reader.whole.len())?;
    unanswered.begun_at?;
    Some(format!(
        "{} waits for an answer to {:?}",
        peer.name(),
        unanswered.errand
    ))
}
