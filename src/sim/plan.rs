//! Request plans: what a request asks of the simulated handler. The path encodes it, so that the handler and the oracle
//! derive it independently.

use core::fmt;
use core::str::FromStr;

use super::volatile_plan::VolatilePlan;
use super::writer_plan::WriterPlan;
pub(super) use super::writer_plan::{FutureEnd, WakeKind};

/// A panic that a plan asks for. The panic hook does not report it.
#[derive(Debug)]
pub(super) struct IntendedPanic;

/// How a background job ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Completion {
    Done,
    Dropped,
    /// Done, but not before the liveness phase.
    Late,
}

/// What the handler does with an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UploadAction {
    /// Responds with a checksum of all of it.
    Count,
    /// The same, with a pause of this many milliseconds after each piece; `None` lasts until the liveness phase.
    Pause(Option<u64>),
    /// Responds after this many bytes.
    Early(usize),
    /// Responds with a promise after this many bytes.
    EarlyLater(usize),
    /// Panics after this many bytes.
    Panic(usize),
    /// Panics at the end of the body.
    PanicAtEnd,
}

/// What the handler does with a body that it pulls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PullAction {
    /// Responds with a checksum of all of it, and waits before each chunk, if at all, for such a wake.
    Count(Option<WakeKind>),
    /// Responds with a checksum of it, if it has at most this many bytes.
    Collect(usize),
    /// Responds after this many bytes, and leaves the rest.
    Leave(usize),
    /// Panics after this many bytes.
    Panic(usize),
    /// Responds with the body as it arrives. This many bytes may wait for the peer.
    Echo(usize),
    /// The same for the first bytes of it, and leaves the rest.
    EchoSome(usize),
}

/// What the code of an upgraded connection does. It sends back what it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SocketAction {
    /// Until the peer ends its side.
    Echo,
    /// The same, and waits before each read for such a wake.
    Wait(WakeKind),
    /// The same, and ends when the server stops.
    Stop,
    /// Ends its side after this many bytes, and reads on.
    Close(usize),
    /// Ends after this many bytes.
    Leave(usize),
    /// Panics after this many bytes.
    Panic(usize),
}

/// What the handler does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Responds with the request's body.
    Echo,
    /// The same, from a handler that keeps the loop busy for this many milliseconds.
    Busy(u64),
    /// Responds with the request's body, which is limited to this many bytes.
    Limit(usize),
    /// This many bytes.
    Large(usize),
    /// The number of pieces, the bytes of each, and the capacity of the channel.
    Stream(usize, usize, usize, Completion),
    /// This many pieces of one byte, as fast as the channel takes them.
    Burst(usize),
    /// A body that async code writes.
    Writer(WriterPlan),
    /// A promise that is fulfilled or dropped after this many milliseconds.
    Promise(u64, Completion),
    /// A promise that is fulfilled with this many bytes over a channel.
    PromisedStream(usize),
    /// A promise that is fulfilled with another promise.
    PromisedPromise,
    /// A future that waits this many times.
    Future(usize, WakeKind, FutureEnd),
    Upload(UploadAction),
    Pull(PullAction),
    /// A refusal before the body.
    Refuse,
    /// The same, promised for after this many milliseconds.
    RefuseLater(u64),
    PanicOnAccept,
    PanicOnCall,
    /// The bytes of a file that the response announces, and how many the file has.
    File(usize, usize),
    /// A file of this length that can't be read.
    FileUnreadable(usize),
    Upgrade,
    /// An upgrade whose code stays on the loop, and how many bytes the peer sends.
    Socket(SocketAction, usize),
    /// The handler asks for the connection to be closed.
    CloseAfter,
    /// 204.
    NoContent,
    /// The handler sets fields that only the server may set.
    ServerFields,
    /// Values of the handler's panic when they are dropped: that may end the connection, and nothing else.
    Volatile(VolatilePlan),
}

/// An action and the request's number. Displayed as a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestPlan {
    pub(super) id: u64,
    pub(super) action: Action,
}

impl fmt::Display for RequestPlan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut write = |text: String| write!(formatter, "/{}/{text}", self.id);
        write(match self.action {
            Action::Echo => "echo".to_owned(),
            Action::Busy(millis) => format!("busy/{millis}"),
            Action::Limit(len) => format!("limit/{len}"),
            Action::Large(len) => format!("large/{len}"),
            Action::Stream(count, len, room, completion) => {
                format!("stream/{count}/{len}/{room}/{}", completion as usize)
            }
            Action::Promise(after, completion) => {
                format!("promise/{after}/{}", completion as usize)
            }
            Action::Burst(count) => format!("burst/{count}"),
            Action::Writer(writer) => format!(
                "writer/{}/{}/{}/{}/{}/{}",
                writer.pieces,
                writer.len,
                writer.room,
                writer.wake.map_or(9, |wake| wake as usize),
                writer.end as usize,
                writer.form as usize
            ),
            Action::PromisedStream(len) => format!("promised-stream/{len}"),
            Action::PromisedPromise => "promised-promise".to_owned(),
            Action::Future(waits, wake, end) => {
                format!("future/{waits}/{}/{}", wake as usize, end as usize)
            }
            Action::Upload(UploadAction::Count) => "count".to_owned(),
            Action::Upload(UploadAction::Pause(Some(after))) => format!("pause/{after}"),
            Action::Upload(UploadAction::Pause(None)) => "pause-late".to_owned(),
            Action::Upload(UploadAction::Early(len)) => format!("early/{len}"),
            Action::Upload(UploadAction::EarlyLater(len)) => format!("early-later/{len}"),
            Action::Upload(UploadAction::Panic(len)) => format!("panic/{len}"),
            Action::Upload(UploadAction::PanicAtEnd) => "panic-at-end".to_owned(),
            Action::Pull(PullAction::Count(None)) => "pull".to_owned(),
            Action::Pull(PullAction::Count(Some(wake))) => format!("pull-wait/{}", wake as usize),
            Action::Pull(PullAction::Collect(len)) => format!("pull-collect/{len}"),
            Action::Pull(PullAction::Leave(len)) => format!("pull-leave/{len}"),
            Action::Pull(PullAction::Panic(len)) => format!("pull-panic/{len}"),
            Action::Pull(PullAction::Echo(room)) => format!("pull-echo/{room}"),
            Action::Pull(PullAction::EchoSome(len)) => format!("pull-some/{len}"),
            Action::Refuse => "refuse".to_owned(),
            Action::RefuseLater(after) => format!("refuse-later/{after}"),
            Action::PanicOnAccept => "panic-on-accept".to_owned(),
            Action::PanicOnCall => "panic-on-call".to_owned(),
            Action::File(claimed, len) => format!("file/{claimed}/{len}"),
            Action::FileUnreadable(len) => format!("file-unreadable/{len}"),
            Action::Upgrade => "upgrade".to_owned(),
            Action::Socket(SocketAction::Echo, len) => format!("socket/{len}"),
            Action::Socket(SocketAction::Wait(wake), len) => {
                format!("socket-wait/{len}/{}", wake as usize)
            }
            Action::Socket(SocketAction::Stop, len) => format!("socket-stop/{len}"),
            Action::Socket(SocketAction::Close(at), len) => format!("socket-close/{len}/{at}"),
            Action::Socket(SocketAction::Leave(at), len) => format!("socket-leave/{len}/{at}"),
            Action::Socket(SocketAction::Panic(at), len) => format!("socket-panic/{len}/{at}"),
            Action::CloseAfter => "close-after".to_owned(),
            Action::NoContent => "no-content".to_owned(),
            Action::ServerFields => "server-fields".to_owned(),
            Action::Volatile(plan) => format!("volatile/{}/{}", plan.number(), plan.waits),
        })
    }
}

/// A path that encodes no plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotAPlan;

impl FromStr for RequestPlan {
    type Err = NotAPlan;

    fn from_str(path: &str) -> Result<Self, NotAPlan> {
        let mut parts = path.split('/').skip(1);
        let id = parts
            .next()
            .and_then(|id| id.parse().ok())
            .ok_or(NotAPlan)?;
        let name = parts.next().ok_or(NotAPlan)?;
        let numbers: Vec<u64> = parts.filter_map(|part| part.parse().ok()).collect();
        let number = |at: usize| numbers.get(at).copied().unwrap_or(0);
        let len = |at: usize| usize::try_from(number(at)).unwrap_or(0);
        let completion = |at: usize| match number(at) {
            0 => Completion::Done,
            1 => Completion::Dropped,
            _ => Completion::Late,
        };
        let wake = |at: usize| WakeKind::of(number(at));
        let action = match name {
            "echo" => Action::Echo,
            "busy" => Action::Busy(number(0)),
            "limit" => Action::Limit(len(0)),
            "large" => Action::Large(len(0)),
            "stream" => Action::Stream(len(0), len(1), len(2), completion(3)),
            "burst" => Action::Burst(len(0)),
            "writer" => Action::Writer(WriterPlan::parse(&numbers).ok_or(NotAPlan)?),
            "promise" => Action::Promise(number(0), completion(1)),
            "promised-stream" => Action::PromisedStream(len(0)),
            "promised-promise" => Action::PromisedPromise,
            "future" => Action::Future(len(0), wake(1), FutureEnd::of(number(2))),
            "count" => Action::Upload(UploadAction::Count),
            "pause" => Action::Upload(UploadAction::Pause(Some(number(0)))),
            "pause-late" => Action::Upload(UploadAction::Pause(None)),
            "early" => Action::Upload(UploadAction::Early(len(0))),
            "early-later" => Action::Upload(UploadAction::EarlyLater(len(0))),
            "panic" => Action::Upload(UploadAction::Panic(len(0))),
            "panic-at-end" => Action::Upload(UploadAction::PanicAtEnd),
            "pull" => Action::Pull(PullAction::Count(None)),
            "pull-wait" => Action::Pull(PullAction::Count(Some(wake(0)))),
            "pull-collect" => Action::Pull(PullAction::Collect(len(0))),
            "pull-leave" => Action::Pull(PullAction::Leave(len(0))),
            "pull-panic" => Action::Pull(PullAction::Panic(len(0))),
            "pull-echo" => Action::Pull(PullAction::Echo(len(0))),
            "pull-some" => Action::Pull(PullAction::EchoSome(len(0))),
            "refuse" => Action::Refuse,
            "refuse-later" => Action::RefuseLater(number(0)),
            "panic-on-accept" => Action::PanicOnAccept,
            "panic-on-call" => Action::PanicOnCall,
            "file" => Action::File(len(0), len(1)),
            "file-unreadable" => Action::FileUnreadable(len(0)),
            "upgrade" => Action::Upgrade,
            _ if name.starts_with("socket") => socket(name, len(0), len(1), wake(1))?,
            "close-after" => Action::CloseAfter,
            "no-content" => Action::NoContent,
            "server-fields" => Action::ServerFields,
            "volatile" => Action::Volatile(VolatilePlan::parse(len(0), len(1)).ok_or(NotAPlan)?),
            _ => return Err(NotAPlan),
        };
        Ok(Self { id, action })
    }
}

/// Bytes that differ from those of every other request.
pub(super) fn pattern(id: u64, len: usize) -> Vec<u8> {
    let seed = usize::try_from(id).unwrap_or(0).wrapping_mul(37);
    (0..len)
        .map(|at| seed.wrapping_add(at).wrapping_add(at / 251).to_le_bytes()[0])
        .collect()
}

/// Length of the file that all runs share.
pub(super) const FILE_LEN: usize = 700_000;

/// The response to an upload.
pub(super) fn checksum(body: &[u8]) -> String {
    let sum = body.iter().fold(7_u32, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u32::from(*byte))
    });
    format!("{} bytes, {sum:08x}\n", body.len())
}

/// What happens to the connection after a response (RFC 9112 §9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Persistence {
    KeptOpen,
    MayClose,
    Closes,
}

/// Whether a response arrives in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Completeness {
    Complete,
    /// The connection ends before the last byte.
    Truncated,
    /// It may end anywhere, or not come at all, and its status may be that of a failure.
    Open,
}

/// The response that the server must send.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    pub(super) completeness: Completeness,
    pub(super) persistence: Persistence,
}

impl Expected {
    fn whole(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            body: body.into(),
            completeness: Completeness::Complete,
            persistence: Persistence::KeptOpen,
        }
    }

    fn open() -> Self {
        Self {
            completeness: Completeness::Open,
            persistence: Persistence::MayClose,
            ..Self::whole(200, [])
        }
    }

    /// The server's own refusal, whose text is not checked.
    pub(super) fn refusal(status: u16) -> Self {
        Self {
            persistence: Persistence::Closes,
            ..Self::whole(status, [])
        }
    }
}

const FAILED: &str = "the handler failed\n";

/// The response to a request with this plan and this body.
pub(super) fn expected(plan: RequestPlan, body: &[u8]) -> Expected {
    let RequestPlan { id, action } = plan;
    // After an early response the server may close rather than read the rest of the body.
    let early = |expected: Expected| Expected {
        persistence: if body.is_empty() {
            Persistence::KeptOpen
        } else {
            Persistence::MayClose
        },
        ..expected
    };
    match action {
        Action::Echo | Action::Busy(_) => Expected::whole(200, body),
        Action::Limit(len) if body.len() > len => Expected::refusal(413),
        Action::Limit(_) => Expected::whole(200, body),
        Action::Large(len) | Action::Burst(len) | Action::PromisedStream(len) => {
            Expected::whole(200, pattern(id, len))
        }
        Action::Stream(count, len, _, completion) => Expected {
            completeness: match completion {
                Completion::Dropped => Completeness::Truncated,
                Completion::Done | Completion::Late => Completeness::Complete,
            },
            ..Expected::whole(200, pattern(id, count * len))
        },
        Action::Writer(writer) => expected_of_writer(id, writer),
        Action::Promise(_, Completion::Done | Completion::Late) | Action::PromisedPromise => {
            Expected::whole(200, pattern(id, 99))
        }
        Action::Future(_, _, end) if !end.panics() => Expected::whole(200, pattern(id, 99)),
        Action::Promise(_, Completion::Dropped) | Action::Future(..) => {
            Expected::whole(500, FAILED)
        }
        Action::Upload(UploadAction::Early(len) | UploadAction::EarlyLater(len))
            if body.len() >= len =>
        {
            early(Expected::whole(202, "enough\n"))
        }
        Action::Upload(UploadAction::Panic(len)) if body.len() >= len => {
            early(Expected::whole(500, FAILED))
        }
        Action::Upload(UploadAction::PanicAtEnd) => Expected::whole(500, FAILED),
        Action::Pull(action) => expected_of_pull(action, body, early),
        Action::Upload(_) => Expected::whole(200, checksum(body)),
        Action::Refuse | Action::RefuseLater(_) => early(Expected::whole(403, "no\n")),
        Action::PanicOnAccept => early(Expected::whole(500, FAILED)),
        Action::PanicOnCall => Expected::whole(500, FAILED),
        Action::File(claimed, len) => Expected {
            completeness: if claimed > len {
                Completeness::Truncated
            } else {
                Completeness::Complete
            },
            ..Expected::whole(
                200,
                &pattern(0, FILE_LEN)[FILE_LEN - len..][..claimed.min(len)],
            )
        },
        Action::FileUnreadable(_) => Expected {
            completeness: Completeness::Truncated,
            ..Expected::whole(200, [])
        },
        Action::Upgrade => Expected::whole(101, []),
        Action::Socket(action, len) => expected_of_socket(action, raw(id, len)),
        Action::CloseAfter => Expected {
            persistence: Persistence::Closes,
            ..Expected::whole(200, "closing\n")
        },
        Action::NoContent => Expected::whole(204, []),
        Action::ServerFields => Expected::whole(200, "mine\n"),
        Action::Volatile(_) => Expected::open(),
    }
}

fn expected_of_writer(id: u64, writer: WriterPlan) -> Expected {
    Expected {
        completeness: if writer.end.is_complete() {
            Completeness::Complete
        } else {
            Completeness::Truncated
        },
        ..Expected::whole(200, pattern(id, writer.len()))
    }
}

/// The action with this name, for `len` bytes; it acts at some of them or waits for this wake.
fn socket(name: &str, len: usize, at: usize, wake: WakeKind) -> Result<Action, NotAPlan> {
    let action = match name {
        "socket" => SocketAction::Echo,
        "socket-wait" => SocketAction::Wait(wake),
        "socket-stop" => SocketAction::Stop,
        "socket-close" => SocketAction::Close(at),
        "socket-leave" => SocketAction::Leave(at),
        "socket-panic" => SocketAction::Panic(at),
        _ => return Err(NotAPlan),
    };
    Ok(Action::Socket(action, len))
}

/// What a peer sends after an upgrade.
pub(super) fn raw(id: u64, len: usize) -> Vec<u8> {
    pattern(id ^ 0x77, len)
}

pub(super) fn expected_of_socket(action: SocketAction, mut raw: Vec<u8>) -> Expected {
    match action {
        SocketAction::Echo | SocketAction::Wait(_) | SocketAction::Stop => {}
        SocketAction::Close(len) | SocketAction::Leave(len) => raw.truncate(len),
        SocketAction::Panic(len) if raw.len() < len => {}
        SocketAction::Panic(_) => {
            return Expected {
                completeness: Completeness::Truncated,
                ..Expected::whole(101, raw)
            };
        }
    }
    Expected::whole(101, raw)
}

fn expected_of_pull(
    action: PullAction,
    body: &[u8],
    early: impl FnOnce(Expected) -> Expected,
) -> Expected {
    match action {
        PullAction::Collect(len) if body.len() > len => Expected::refusal(413),
        PullAction::Leave(len) if body.len() >= len => early(Expected::whole(202, "enough\n")),
        PullAction::Panic(len) if body.len() >= len => early(Expected::whole(500, FAILED)),
        PullAction::EchoSome(len) if body.len() >= len => early(Expected::whole(200, &body[..len])),
        PullAction::Echo(_) | PullAction::EchoSome(_) => Expected::whole(200, body),
        PullAction::Count(_)
        | PullAction::Collect(_)
        | PullAction::Leave(_)
        | PullAction::Panic(_) => Expected::whole(200, checksum(body)),
    }
}
