//! The generator of a peer's script: requests and malformed input as bytes, each with the response that must come.

use super::draft::{CLOSE, EXPECT, Framing, KEEP_ALIVE, RequestDraft};
use super::peer::{ContinueRule, Peer, PeerRequest, Rest, Step};
use super::plan::{
    Action, Completion, Expected, FutureEnd, Persistence, PullAction, RequestPlan, UploadAction,
    WakeKind, expected, pattern,
};
use super::prng::Prng;
use super::response_reader::RequestMethod;
use super::volatile_plan::{VolatileIn, VolatilePlan};
use super::writer_plan::{BodyForm, WriterEnd, WriterPlan};

/// Follows everything that is refused. If it is handled as a request, that is a violation.
const POISON: &str = "GET /poison HTTP/1.1\r\nHost: a\r\n\r\n";

/// Malformed requests, and the status of each refusal.
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

/// Malformed ends of a chunked body.
const BAD_CHUNKS: &[&str] = &[
    "xyz\r\n",
    "5\r\nabcdef\r\n",
    "3\nabc\r\n",
    "0\r\nContent-Length: 3\r\n\r\n",
    "0\r\n x\r\n\r\n",
    "ffffffffffffffff\r\n",
];

/// Generates one peer's script.
#[derive(Debug)]
pub(super) struct Generator<'a> {
    pub(super) peer: Peer,
    pub(super) prng: &'a mut Prng,
    pub(super) ids: &'a mut u64,
    len: usize,
}

impl<'a> Generator<'a> {
    pub(super) fn new(kind: &'static str, prng: &'a mut Prng, ids: &'a mut u64) -> Self {
        Self {
            peer: Peer::new(kind),
            prng,
            ids,
            len: 0,
        }
    }

    /// Returns the head and the body of a request, and expects its response.
    pub(super) fn request(&mut self, draft: &RequestDraft) -> (Vec<u8>, Vec<u8>) {
        *self.ids += 1;
        let plan = RequestPlan {
            id: *self.ids,
            action: draft.action,
        };
        let body = pattern(plan.id ^ 0x55, draft.body_len);
        let mut head = format!("{} {plan} {}\r\n", draft.method, draft.version);
        head.push_str("Host: example\r\n");
        head.push_str(draft.fields);
        let body_bytes = match draft.framing {
            _ if body.is_empty() => Vec::new(),
            Framing::Length => {
                head.push_str(&format!("Content-Length: {}\r\n", body.len()));
                body.clone()
            }
            Framing::Chunked | Framing::TinyChunks => {
                head.push_str("Transfer-Encoding: chunked\r\n");
                self.chunks(&body, draft.framing)
            }
        };
        head.push_str("\r\n");
        let mut expected = expected(plan, &body);
        let is_old = draft.version == "HTTP/1.0";
        let is_framed_by_close =
            is_old && draft.method != "HEAD" && is_of_unknown_length(plan.action);
        if draft.fields == CLOSE || (is_old && draft.fields != KEEP_ALIVE) || is_framed_by_close {
            expected.persistence = Persistence::Closes;
        }
        let is_expectant = draft.fields == EXPECT && !body.is_empty();
        self.expect(PeerRequest {
            plan: Some(plan),
            method: if draft.method == "HEAD" {
                RequestMethod::Head
            } else {
                RequestMethod::Other
            },
            expected,
            continue_rule: if is_expectant && !draft.is_refused_by_its_head() {
                ContinueRule::AtMostOnce
            } else {
                ContinueRule::Never
            },
            rest: draft.rest(),
            start: self.len,
            end: self.len + head.len() + body_bytes.len(),
            begun_at: None,
            whole_at: None,
            wall_at: 0,
        });
        (head.into_bytes(), body_bytes)
    }

    fn expect(&mut self, request: PeerRequest) {
        self.len = request.end;
        self.peer.requests.push(request);
    }

    fn chunks(&mut self, body: &[u8], framing: Framing) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = body;
        while !rest.is_empty() {
            // All extensions of one body together are bounded, so tiny chunks have none.
            let (len, extension) = match framing {
                Framing::Length | Framing::Chunked => (
                    self.prng.skewed(rest.len()),
                    self.prng.choose(&["", "", ";a", ";b=\"c;\""]),
                ),
                Framing::TinyChunks => (1, ""),
            };
            let (chunk, left) = rest.split_at(len);
            bytes.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
            rest = left;
        }
        let trailers = self
            .prng
            .choose(&["", "", "X-Sum: 1\r\n", "A: b\r\nC: d\r\n"]);
        bytes.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
        bytes
    }

    /// Returns malformed bytes that the server must refuse, followed by the poison.
    pub(super) fn garbage(&mut self) -> Vec<u8> {
        let (mut bytes, status) = if self.prng.chance(300) {
            let action = self.prng.choose(&[
                Action::Echo,
                Action::Upload(UploadAction::Count),
                Action::Pull(PullAction::Count(None)),
                Action::Limit(9999),
            ]);
            *self.ids += 1;
            let plan = RequestPlan {
                id: *self.ids,
                action,
            };
            let bad = self.prng.choose(BAD_CHUNKS);
            let head = format!("POST {plan} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n");
            (format!("{head}\r\n3\r\nabc\r\n{bad}"), 400)
        } else {
            let (text, status) = self.prng.choose(GARBAGE);
            (text.to_owned(), status)
        };
        bytes.push_str(POISON);
        self.expect(PeerRequest {
            plan: None,
            method: RequestMethod::Other,
            expected: Expected::refusal(status),
            continue_rule: ContinueRule::Never,
            rest: Rest::Short,
            start: self.len,
            end: self.len + bytes.len(),
            begun_at: None,
            whole_at: None,
            wall_at: 0,
        });
        bytes.into_bytes()
    }

    pub(super) fn then(&mut self, step: Step) {
        self.peer.script.push_back(step);
    }

    pub(super) fn send(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.then(Step::Send(bytes));
        }
    }

    /// Sends bytes in pieces, with a pause after some of them.
    pub(super) fn send_cut(&mut self, bytes: &[u8], piece_len: usize, pause: u64) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let len = self.prng.skewed(piece_len).min(rest.len());
            let (piece, left) = rest.split_at(len);
            self.send(piece.to_vec());
            if self.prng.chance(500) {
                let millis = self.prng.millis(0, pause);
                self.then(Step::Pause(millis));
            }
            rest = left;
        }
    }

    pub(super) fn await_all(&mut self) {
        self.then(Step::AwaitResponses(self.peer.requests.len()));
    }
}

const fn is_of_unknown_length(action: Action) -> bool {
    let is_written = matches!(action, Action::Writer(writer) if writer.announced().is_none());
    is_written
        || matches!(
            action,
            Action::Stream(..)
                | Action::Burst(_)
                | Action::PromisedStream(_)
                | Action::Pull(PullAction::Echo(_) | PullAction::EchoSome(_))
        )
}

/// Draws a request of any kind.
pub(super) fn random_draft(prng: &mut Prng) -> RequestDraft {
    let len = prng.choose(&[0, 0, 1, 5, 100, 3000, 70_000]);
    let body_len = if len > 0 { prng.between(1, len) } else { 0 };
    let action = random_action(prng);
    let action = random_volatile(prng).map_or(action, Action::Volatile);
    let mut draft = RequestDraft::new(action, body_len);
    if body_len == 0 && prng.chance(100) {
        draft.method = "HEAD";
    }
    if prng.chance(400) {
        draft.framing = if body_len < 3000 && body_len % 4 == 3 {
            Framing::TinyChunks
        } else {
            Framing::Chunked
        };
    }
    if prng.chance(60) {
        draft.fields = CLOSE;
    }
    if prng.chance(50) {
        draft.version = "HTTP/1.0";
        draft.framing = Framing::Length;
        draft.fields = prng.choose(&["", KEEP_ALIVE]);
    }
    draft
}

/// Draws a request that async code handles.
pub(super) fn random_async_draft(prng: &mut Prng) -> RequestDraft {
    let mut draft = random_draft(prng);
    let small = prng.between(1, 300);
    draft.action = match prng.between(0, 8) {
        0..=2 => random_future(prng),
        3 | 4 => random_pull(prng, small),
        5 => random_file(prng),
        _ => random_writer(prng),
    };
    draft
}

fn random_file(prng: &mut Prng) -> Action {
    let len = prng.choose(&[0, 1, 5000, 16_385, 150_000, 600_000]);
    let announced = prng.choose(&[len, len, len / 2, len + 1, len + 70_000]);
    Action::File(announced, len)
}

fn random_action(prng: &mut Prng) -> Action {
    let completion = prng.choose(&[
        Completion::Done,
        Completion::Done,
        Completion::Done,
        Completion::Dropped,
        Completion::Late,
    ]);
    let small = prng.between(1, 300);
    match prng.between(0, 31) {
        0..=3 => Action::Echo,
        4 => Action::Busy(prng.choose(&[1, 20, 400])),
        5 => Action::Limit(prng.between(0, 4000)),
        6 | 7 => Action::Large(prng.choose(&[0, 1, 4095, 4096, 4097, 20_000, 100_000, 300_000])),
        8 | 9 => Action::Stream(
            prng.between(0, 12),
            prng.choose(&[1, 100, 5000, 30_000]),
            prng.choose(&[0, 1, 300, 64_000]),
            completion,
        ),
        10 | 11 => Action::Promise(prng.millis(0, 3000), completion),
        12 => {
            let len = prng.between(0, 9000);
            prng.choose(&[
                Action::PromisedStream(len),
                Action::PromisedPromise,
                Action::Burst(len / 6),
            ])
        }
        13 => Action::Upload(UploadAction::Count),
        14 => Action::Upload(UploadAction::Pause(Some(prng.millis(0, 200)))),
        15 => Action::Upload(UploadAction::Pause(None)),
        16 => Action::Upload(UploadAction::Early(small)),
        17 => Action::Upload(UploadAction::EarlyLater(small)),
        18 => Action::Upload(prng.choose(&[UploadAction::Panic(small), UploadAction::PanicAtEnd])),
        19 => prng.choose(&[Action::Refuse, Action::RefuseLater(small as u64 * 10)]),
        20 => prng.choose(&[Action::PanicOnAccept, Action::PanicOnCall]),
        21 => random_file(prng),
        22 => prng.choose(&[Action::CloseAfter, Action::NoContent, Action::ServerFields]),
        23 | 24 => random_future(prng),
        25..=28 => random_pull(prng, small),
        29 | 30 => random_writer(prng),
        _ => Action::Large(small),
    }
}

/// From a sequence of its own: the other draws of each seed stay the same.
fn random_volatile(prng: &Prng) -> Option<VolatilePlan> {
    let mut prng = prng.clone().fork();
    let is_volatile = prng.chance(30);
    let place = prng.choose(&VolatileIn::ALL);
    let waits = prng.choose(&[0, 1, 3]);
    (is_volatile && !place.is_socket()).then_some(VolatilePlan { place, waits })
}

fn random_pull(prng: &mut Prng, small: usize) -> Action {
    let wake = prng.choose(&[
        WakeKind::Elsewhere,
        WakeKind::Own,
        WakeKind::Several,
        WakeKind::Late,
    ]);
    let room = prng.choose(&[1, 300, 64_000]);
    let left = prng.choose(&[0, small]);
    Action::Pull(prng.choose(&[
        PullAction::Count(None),
        PullAction::Count(Some(wake)),
        PullAction::Collect(small * 10),
        PullAction::Leave(left),
        PullAction::Panic(small),
        PullAction::Echo(room),
        PullAction::Echo(room),
        PullAction::EchoSome(small),
    ]))
}

fn random_wake(prng: &mut Prng) -> WakeKind {
    prng.choose(&[
        WakeKind::Elsewhere,
        WakeKind::Own,
        WakeKind::Several,
        WakeKind::Several,
        WakeKind::Late,
        WakeKind::Timer,
        WakeKind::Timer,
        WakeKind::Tick,
        WakeKind::Task,
    ])
}

fn random_writer(prng: &mut Prng) -> Action {
    // From a sequence of its own: the other draws of each seed stay the same.
    let form = prng.clone().fork().choose(&BodyForm::ALL);
    let wakes = prng.chance(700);
    Action::Writer(WriterPlan {
        pieces: prng.between(1, 6),
        len: prng.choose(&[2, 100, 3000, 20_000]),
        room: prng.choose(&[0, 1, 300, 5000, 64_000]),
        wake: wakes.then(|| random_wake(prng)),
        end: prng.choose(&WriterEnd::ALL),
        form,
    })
}

fn random_future(prng: &mut Prng) -> Action {
    // From a sequence of its own: the other draws of each seed stay the same.
    let mut own = prng.clone().fork();
    let wake = random_wake(prng);
    let mut end = prng.choose(&[
        FutureEnd::Response,
        FutureEnd::Response,
        FutureEnd::Panic,
        FutureEnd::PanicInDrop,
    ]);
    if end == FutureEnd::Response {
        end = own.choose(&[end, FutureEnd::Another, FutureEnd::Informed]);
    }
    Action::Future(prng.choose(&[0, 1, 2, 7]), wake, end)
}
