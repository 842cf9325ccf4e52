//! What a request asks of the made-up handler. The path says it all, so that handler and oracle agree without a word.

use core::fmt;
use core::str::FromStr;

/// How something that arrives from elsewhere comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Kept,
    Dropped,
    /// Not before the world is healed; then it is kept.
    Late,
}

/// What becomes of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UploadPlan {
    /// All of it is counted.
    Count,
    /// The same, with a pause of so many milliseconds behind each piece; `None` lasts until the world is healed.
    Pause(Option<u64>),
    /// It is answered after so many bytes.
    Early(usize),
    /// It is answered after so many bytes with a promise.
    EarlyLater(usize),
    /// It panics after so many bytes.
    Panic(usize),
    /// It panics when all has come.
    PanicAtEnd,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// The request's body again.
    Echo,
    /// The request's body again, after a handler that keeps the loop for this many milliseconds.
    Busy(u64),
    /// The same, if the body has at most so many bytes.
    Limit(usize),
    /// So many bytes.
    Large(usize),
    /// So many pieces of so many bytes over a channel that holds so many.
    Stream(usize, usize, usize, Ending),
    /// A promise that is kept or dropped after so many milliseconds.
    Promise(u64, Ending),
    /// A promise that is kept with so many bytes over a channel.
    PromisedStream(usize),
    /// A promise that is kept with another promise.
    PromisedPromise,
    Upload(UploadPlan),
    /// A refusal before the body.
    Refuse,
    /// A refusal before the body that comes after so many milliseconds.
    RefuseLater(u64),
    PanicOnAccept,
    PanicOnCall,
    /// So many bytes of a file are promised, and it has so many.
    File(usize, usize),
    /// So many bytes of a file that can't be read.
    FileUnreadable(usize),
    Upgrade,
    /// An answer after which the handler wants the connection closed.
    Farewell,
    /// 204.
    NoContent,
    /// An answer with fields that are the server's to set.
    ServerFields,
}

/// A task and the request's number, as a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Errand {
    pub(super) id: u64,
    pub(super) task: Task,
}

impl fmt::Display for Errand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut write = |text: String| write!(formatter, "/{}/{text}", self.id);
        write(match self.task {
            Task::Echo => "echo".to_owned(),
            Task::Busy(time) => format!("busy/{time}"),
            Task::Limit(len) => format!("limit/{len}"),
            Task::Large(len) => format!("large/{len}"),
            Task::Stream(count, len, room, ending) => {
                format!("stream/{count}/{len}/{room}/{}", ending as usize)
            }
            Task::Promise(after, ending) => format!("promise/{after}/{}", ending as usize),
            Task::PromisedStream(len) => format!("promised-stream/{len}"),
            Task::PromisedPromise => "promised-promise".to_owned(),
            Task::Upload(UploadPlan::Count) => "count".to_owned(),
            Task::Upload(UploadPlan::Pause(Some(after))) => format!("pause/{after}"),
            Task::Upload(UploadPlan::Pause(None)) => "pause-late".to_owned(),
            Task::Upload(UploadPlan::Early(len)) => format!("early/{len}"),
            Task::Upload(UploadPlan::EarlyLater(len)) => format!("early-later/{len}"),
            Task::Upload(UploadPlan::Panic(len)) => format!("panic/{len}"),
            Task::Upload(UploadPlan::PanicAtEnd) => "panic-at-end".to_owned(),
            Task::Refuse => "refuse".to_owned(),
            Task::RefuseLater(after) => format!("refuse-later/{after}"),
            Task::PanicOnAccept => "panic-on-accept".to_owned(),
            Task::PanicOnCall => "panic-on-call".to_owned(),
            Task::File(claimed, len) => format!("file/{claimed}/{len}"),
            Task::FileUnreadable(len) => format!("file-unreadable/{len}"),
            Task::Upgrade => "upgrade".to_owned(),
            Task::Farewell => "farewell".to_owned(),
            Task::NoContent => "no-content".to_owned(),
            Task::ServerFields => "server-fields".to_owned(),
        })
    }
}

/// Not a path that a peer of ours means to be handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoErrand;

impl FromStr for Errand {
    type Err = NoErrand;

    fn from_str(path: &str) -> Result<Self, NoErrand> {
        let mut parts = path.split('/').skip(1);
        let id = parts
            .next()
            .and_then(|id| id.parse().ok())
            .ok_or(NoErrand)?;
        let name = parts.next().ok_or(NoErrand)?;
        let numbers: Vec<u64> = parts.filter_map(|part| part.parse().ok()).collect();
        let number = |at: usize| numbers.get(at).copied().unwrap_or(0);
        let len = |at: usize| usize::try_from(number(at)).unwrap_or(0);
        let ending = |at: usize| match number(at) {
            0 => Ending::Kept,
            1 => Ending::Dropped,
            _ => Ending::Late,
        };
        let task = match name {
            "echo" => Task::Echo,
            "busy" => Task::Busy(number(0)),
            "limit" => Task::Limit(len(0)),
            "large" => Task::Large(len(0)),
            "stream" => Task::Stream(len(0), len(1), len(2), ending(3)),
            "promise" => Task::Promise(number(0), ending(1)),
            "promised-stream" => Task::PromisedStream(len(0)),
            "promised-promise" => Task::PromisedPromise,
            "count" => Task::Upload(UploadPlan::Count),
            "pause" => Task::Upload(UploadPlan::Pause(Some(number(0)))),
            "pause-late" => Task::Upload(UploadPlan::Pause(None)),
            "early" => Task::Upload(UploadPlan::Early(len(0))),
            "early-later" => Task::Upload(UploadPlan::EarlyLater(len(0))),
            "panic" => Task::Upload(UploadPlan::Panic(len(0))),
            "panic-at-end" => Task::Upload(UploadPlan::PanicAtEnd),
            "refuse" => Task::Refuse,
            "refuse-later" => Task::RefuseLater(number(0)),
            "panic-on-accept" => Task::PanicOnAccept,
            "panic-on-call" => Task::PanicOnCall,
            "file" => Task::File(len(0), len(1)),
            "file-unreadable" => Task::FileUnreadable(len(0)),
            "upgrade" => Task::Upgrade,
            "farewell" => Task::Farewell,
            "no-content" => Task::NoContent,
            "server-fields" => Task::ServerFields,
            _ => return Err(NoErrand),
        };
        Ok(Self { id, task })
    }
}

/// Bytes that no other request's answer has.
pub(super) fn pattern(id: u64, len: usize) -> Vec<u8> {
    let seed = usize::try_from(id).unwrap_or(0).wrapping_mul(37);
    (0..len)
        .map(|at| seed.wrapping_add(at).wrapping_add(at / 251).to_le_bytes()[0])
        .collect()
}

/// Bytes of the file that all worlds share.
pub(super) const FILE_LEN: usize = 700_000;

/// What an upload that was counted says of its bytes.
pub(super) fn tally(body: &[u8]) -> String {
    let sum = body.iter().fold(7_u32, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u32::from(*byte))
    });
    format!("{} bytes, {sum:08x}\n", body.len())
}

/// How the connection stands behind an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Afterwards {
    Stays,
    MayEnd,
    Ends,
}

/// Whether an answer comes in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wholeness {
    Whole,
    /// Its first bytes are right and the connection ends before its last.
    Cut,
}

/// What the answer has to be.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    pub(super) wholeness: Wholeness,
    pub(super) afterwards: Afterwards,
}

impl Expected {
    fn whole(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            body: body.into(),
            wholeness: Wholeness::Whole,
            afterwards: Afterwards::Stays,
        }
    }

    /// The server's own refusal, whose words are not ours to know.
    pub(super) fn refusal(status: u16) -> Self {
        Self {
            afterwards: Afterwards::Ends,
            ..Self::whole(status, [])
        }
    }
}

const FAILED: &str = "the handler failed\n";

/// What this errand, with this body, has to be answered.
pub(super) fn expected(errand: Errand, body: &[u8]) -> Expected {
    let Errand { id, task } = errand;
    // An early answer leaves a rest of the body, which is not always worth reading.
    let early = |expected: Expected| Expected {
        afterwards: if body.is_empty() {
            Afterwards::Stays
        } else {
            Afterwards::MayEnd
        },
        ..expected
    };
    match task {
        Task::Echo | Task::Busy(_) => Expected::whole(200, body),
        Task::Limit(len) if body.len() > len => Expected::refusal(413),
        Task::Limit(_) => Expected::whole(200, body),
        Task::Large(len) | Task::PromisedStream(len) => Expected::whole(200, pattern(id, len)),
        Task::Stream(count, len, _, ending) => Expected {
            wholeness: match ending {
                Ending::Dropped => Wholeness::Cut,
                Ending::Kept | Ending::Late => Wholeness::Whole,
            },
            ..Expected::whole(200, pattern(id, count * len))
        },
        Task::Promise(_, Ending::Kept | Ending::Late) | Task::PromisedPromise => {
            Expected::whole(200, pattern(id, 99))
        }
        Task::Promise(_, Ending::Dropped) => Expected::whole(500, FAILED),
        Task::Upload(UploadPlan::Early(len) | UploadPlan::EarlyLater(len)) if body.len() >= len => {
            early(Expected::whole(202, "enough\n"))
        }
        Task::Upload(UploadPlan::Panic(len)) if body.len() >= len => {
            early(Expected::whole(500, FAILED))
        }
        Task::Upload(UploadPlan::PanicAtEnd) => Expected::whole(500, FAILED),
        Task::Upload(_) => Expected::whole(200, tally(body)),
        Task::Refuse | Task::RefuseLater(_) => early(Expected::whole(403, "no\n")),
        Task::PanicOnAccept => early(Expected::whole(500, FAILED)),
        Task::PanicOnCall => Expected::whole(500, FAILED),
        Task::File(claimed, len) => Expected {
            wholeness: if claimed > len {
                Wholeness::Cut
            } else {
                Wholeness::Whole
            },
            ..Expected::whole(
                200,
                &pattern(0, FILE_LEN)[FILE_LEN - len..][..claimed.min(len)],
            )
        },
        Task::FileUnreadable(_) => Expected {
            wholeness: Wholeness::Cut,
            ..Expected::whole(200, [])
        },
        Task::Upgrade => Expected::whole(101, []),
        Task::Farewell => Expected {
            afterwards: Afterwards::Ends,
            ..Expected::whole(200, "farewell\n")
        },
        Task::NoContent => Expected::whole(204, []),
        Task::ServerFields => Expected::whole(200, "mine\n"),
    }
}
