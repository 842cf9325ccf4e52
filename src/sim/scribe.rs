//! Requests and garbage as bytes, and what each has to be answered.

use super::answers::Wanted;
use super::dice::Dice;
use super::peer::{Asked, ContinueRule, Cue, Peer};
use super::task::{Afterwards, Ending, Errand, Expected, Task, UploadPlan, expected, pattern};

/// How a body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length,
    Chunked,
}

/// A request before it is bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draft {
    pub(super) task: Task,
    pub(super) method: &'static str,
    pub(super) version: &'static str,
    pub(super) body_len: usize,
    pub(super) framing: Framing,
    /// Field lines, each with its CRLF.
    pub(super) fields: &'static str,
}

impl Draft {
    pub(super) const fn new(task: Task, body_len: usize) -> Self {
        Self {
            task,
            method: if body_len > 0 { "POST" } else { "GET" },
            version: "HTTP/1.1",
            body_len,
            framing: Framing::Length,
            fields: "",
        }
    }

    /// Whether the answer is known before the body.
    pub(super) fn is_refused_by_its_head(&self) -> bool {
        let is_too_long = match self.framing {
            Framing::Length => matches!(self.task, Task::Limit(len) if self.body_len > len),
            Framing::Chunked => false,
        };
        is_too_long
            || matches!(
                self.task,
                Task::Refuse | Task::RefuseLater(_) | Task::PanicOnAccept
            )
    }
}

pub(super) const EXPECT: &str = "Expect: 100-continue\r\n";
pub(super) const CLOSE: &str = "Connection: close\r\n";
pub(super) const KEEP_ALIVE: &str = "Connection: keep-alive\r\n";
pub(super) const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: made-up\r\n";

/// Behind whatever is refused: nobody may take it as a request.
const POISON: &str = "GET /poison HTTP/1.1\r\nHost: a\r\n\r\n";

/// Bytes that are refused, and with which status.
const GARBAGE: &[(&str, u16)] = &[
    ("\0\x01\x02\x03\r\n\r\n", 400),
    ("GET /x HTTP/1.1\nHost: a\n\n", 400),
    ("GET  /x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET /x HTTP/1.1\r\n\r\n", 400),
    ("GET /x HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    ("GET /x HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    ("GET /x HTTP/1.1\r\nHost: a\r\n b: c\r\n\r\n", 400),
    ("GET /x HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n",
        400,
    ),
    (
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        400,
    ),
    (
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
    ),
    (
        "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        501,
    ),
    (
        "POST /x HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n",
        417,
    ),
    (
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n",
        413,
    ),
    ("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
];

/// Ends of a chunked body that are refused.
const BAD_CHUNKS: &[&str] = &[
    "xyz\r\n",
    "5\r\nabcdef\r\n",
    "3\nabc\r\n",
    "0\r\nContent-Length: 3\r\n\r\n",
    "0\r\n x\r\n\r\n",
    "ffffffffffffffff\r\n",
];

/// Writes one peer's script.
#[derive(Debug)]
pub(super) struct Scribe<'a> {
    pub(super) peer: Peer,
    pub(super) dice: &'a mut Dice,
    pub(super) ids: &'a mut u64,
    written: usize,
}

impl<'a> Scribe<'a> {
    pub(super) fn new(kind: &'static str, dice: &'a mut Dice, ids: &'a mut u64) -> Self {
        Self {
            peer: Peer::new(kind),
            dice,
            ids,
            written: 0,
        }
    }

    /// The head and the body of a request, which from now on has to be answered.
    pub(super) fn request(&mut self, draft: &Draft) -> (Vec<u8>, Vec<u8>) {
        *self.ids += 1;
        let errand = Errand {
            id: *self.ids,
            task: draft.task,
        };
        let body = pattern(errand.id ^ 0x55, draft.body_len);
        let mut head = format!("{} {errand} {}\r\n", draft.method, draft.version);
        head.push_str("Host: made.up\r\n");
        head.push_str(draft.fields);
        let body_bytes = match draft.framing {
            _ if body.is_empty() => Vec::new(),
            Framing::Length => {
                head.push_str(&format!("Content-Length: {}\r\n", body.len()));
                body.clone()
            }
            Framing::Chunked => {
                head.push_str("Transfer-Encoding: chunked\r\n");
                self.chunks(&body)
            }
        };
        head.push_str("\r\n");
        let mut expected = expected(errand, &body);
        let is_old = draft.version == "HTTP/1.0";
        let is_framed_by_close =
            is_old && draft.method != "HEAD" && is_of_unknown_length(errand.task);
        if draft.fields == CLOSE || (is_old && draft.fields != KEEP_ALIVE) || is_framed_by_close {
            expected.afterwards = Afterwards::Ends;
        }
        let is_expectant = draft.fields == EXPECT && !body.is_empty();
        self.ask(Asked {
            errand: Some(errand),
            wanted: if draft.method == "HEAD" {
                Wanted::HeadAlone
            } else {
                Wanted::Everything
            },
            expected,
            continue_rule: if is_expectant && !draft.is_refused_by_its_head() {
                ContinueRule::AtMostOnce
            } else {
                ContinueRule::Never
            },
            start: self.written,
            end: self.written + head.len() + body_bytes.len(),
            begun_at: None,
            whole_at: None,
            wall_at: 0,
        });
        (head.into_bytes(), body_bytes)
    }

    fn ask(&mut self, asked: Asked) {
        self.written = asked.end;
        self.peer.asked.push(asked);
    }

    fn chunks(&mut self, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = body;
        while !rest.is_empty() {
            let (chunk, behind) = rest.split_at(self.dice.skewed(rest.len()));
            let extension = self.dice.pick(&["", "", ";a", ";b=\"c;\""]);
            bytes.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
            rest = behind;
        }
        let trailers = self
            .dice
            .pick(&["", "", "X-Sum: 1\r\n", "A: b\r\nC: d\r\n"]);
        bytes.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
        bytes
    }

    /// Something that is refused, with poison behind it.
    pub(super) fn garbage(&mut self) -> Vec<u8> {
        let (mut bytes, status) = if self.dice.is_hit(300) {
            let task = self.dice.pick(&[
                Task::Echo,
                Task::Upload(UploadPlan::Count),
                Task::Limit(9999),
            ]);
            *self.ids += 1;
            let errand = Errand {
                id: *self.ids,
                task,
            };
            let bad = self.dice.pick(BAD_CHUNKS);
            let head =
                format!("POST {errand} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n");
            (format!("{head}\r\n3\r\nabc\r\n{bad}"), 400)
        } else {
            let (text, status) = self.dice.pick(GARBAGE);
            (text.to_owned(), status)
        };
        bytes.push_str(POISON);
        self.ask(Asked {
            errand: None,
            wanted: Wanted::Everything,
            expected: Expected::refusal(status),
            continue_rule: ContinueRule::Never,
            start: self.written,
            end: self.written + bytes.len(),
            begun_at: None,
            whole_at: None,
            wall_at: 0,
        });
        bytes.into_bytes()
    }

    pub(super) fn cue(&mut self, cue: Cue) {
        self.peer.script.push_back(cue);
    }

    pub(super) fn send(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.cue(Cue::Send(bytes));
        }
    }

    /// Sends bytes in pieces, some of them with a pause behind.
    pub(super) fn send_cut(&mut self, bytes: &[u8], piece_len: usize, pause: u64) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let len = self.dice.skewed(piece_len).min(rest.len());
            let (piece, behind) = rest.split_at(len);
            self.send(piece.to_vec());
            if self.dice.is_hit(500) {
                let millis = self.dice.millis(0, pause);
                self.cue(Cue::Pause(millis));
            }
            rest = behind;
        }
    }

    pub(super) fn await_all(&mut self) {
        self.cue(Cue::AwaitAnswers(self.peer.asked.len()));
    }
}

const fn is_of_unknown_length(task: Task) -> bool {
    matches!(task, Task::Stream(..) | Task::PromisedStream(_))
}

/// A request of any kind.
pub(super) fn draw(dice: &mut Dice) -> Draft {
    let len = dice.pick(&[0, 0, 1, 5, 100, 3000, 70_000]);
    let body_len = if len > 0 { dice.between(1, len) } else { 0 };
    let task = draw_task(dice);
    let mut draft = Draft::new(task, body_len);
    if body_len == 0 && dice.is_hit(100) {
        draft.method = "HEAD";
    }
    if dice.is_hit(400) {
        draft.framing = Framing::Chunked;
    }
    if dice.is_hit(60) {
        draft.fields = CLOSE;
    }
    if dice.is_hit(50) {
        draft.version = "HTTP/1.0";
        draft.framing = Framing::Length;
        draft.fields = dice.pick(&["", KEEP_ALIVE]);
    }
    draft
}

fn draw_task(dice: &mut Dice) -> Task {
    let ending = dice.pick(&[
        Ending::Kept,
        Ending::Kept,
        Ending::Kept,
        Ending::Dropped,
        Ending::Late,
    ]);
    let small = dice.between(1, 300);
    match dice.between(0, 23) {
        0..=3 => Task::Echo,
        4 => Task::Busy(dice.pick(&[1, 20, 400])),
        5 => Task::Limit(dice.between(0, 4000)),
        6 | 7 => Task::Large(dice.pick(&[0, 1, 4095, 4096, 4097, 20_000, 100_000, 300_000])),
        8 | 9 => Task::Stream(
            dice.between(0, 12),
            dice.pick(&[1, 100, 5000, 30_000]),
            dice.pick(&[0, 1, 300, 64_000]),
            ending,
        ),
        10 | 11 => Task::Promise(dice.millis(0, 3000), ending),
        12 => {
            let len = dice.between(0, 9000);
            dice.pick(&[Task::PromisedStream(len), Task::PromisedPromise])
        }
        13 => Task::Upload(UploadPlan::Count),
        14 => Task::Upload(UploadPlan::Pause(Some(dice.millis(0, 200)))),
        15 => Task::Upload(UploadPlan::Pause(None)),
        16 => Task::Upload(UploadPlan::Early(small)),
        17 => Task::Upload(UploadPlan::EarlyLater(small)),
        18 => Task::Upload(dice.pick(&[UploadPlan::Panic(small), UploadPlan::PanicAtEnd])),
        19 => dice.pick(&[Task::Refuse, Task::RefuseLater(small as u64 * 10)]),
        20 => dice.pick(&[Task::PanicOnAccept, Task::PanicOnCall]),
        21 => {
            let len = dice.pick(&[0, 1, 5000, 5000, 150_000, 600_000]);
            Task::File(dice.pick(&[len, len, len / 2, len + 1, len + 70_000]), len)
        }
        22 => dice.pick(&[Task::Farewell, Task::NoContent, Task::ServerFields]),
        _ => Task::Large(small),
    }
}
