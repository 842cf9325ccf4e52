//! Scripted peers: what each sends and when, how it reads, and what it asked for.

use std::collections::VecDeque;

use super::answers::{Reader, Wanted};
use super::kernel::{Flow, Kernel, LinkId};
use super::task::{Errand, Expected};
use super::world::WallClock;

/// One step of a script.
#[derive(Clone, Debug)]
pub(super) enum Cue {
    Send(Vec<u8>),
    /// So many milliseconds of nothing.
    Pause(u64),
    /// Until so many answers have come, or nothing will come any more.
    AwaitAnswers(usize),
    /// Until `100 Continue` or a final answer has come, or for so many milliseconds.
    AwaitContinue(u64),
    HalfClose,
    Close,
    Reset,
}

/// How a peer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Eager,
    /// So many bytes each so many milliseconds.
    Slow(usize, u64),
    /// Nothing until the world is healed.
    Never,
    /// As if nothing had been, after it had read nothing for long.
    Awake,
}

/// How often `100 Continue` may come before an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContinueRule {
    Never,
    AtMostOnce,
}

/// A request and the answer it has to have.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// `None`: bytes that are no request.
    pub(super) errand: Option<Errand>,
    pub(super) wanted: Wanted,
    pub(super) expected: Expected,
    pub(super) continue_rule: ContinueRule,
    /// The place of its first byte in all that the peer sends, and the one behind its last.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) begun_at: Option<u64>,
    pub(super) whole_at: Option<u64>,
    /// How many seconds the wall clock had shown when it began.
    pub(super) wall_at: usize,
}

/// How it stands between the peer and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Coming,
    Here,
    /// The peer has ended its side and still reads.
    HalfClosed,
    /// The peer has gone of its own accord.
    Left,
    /// The server has ended the connection.
    Ended(Flow),
    /// Nobody listened.
    Refused,
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) kind: &'static str,
    pub(super) link: Option<LinkId>,
    pub(super) outbound_len_max: usize,
    pub(super) script: VecDeque<Cue>,
    pub(super) asked: Vec<Asked>,
    pub(super) reader: Reader,
    pub(super) pace: Pace,
    pub(super) standing: Standing,
    pub(super) sent: usize,
    /// Answers that were judged.
    pub(super) judged: usize,
    times: Times,
}

/// When a peer goes on.
#[derive(Debug, Default)]
struct Times {
    paused_until: u64,
    reads_at: u64,
    /// The wake-up that is on its way.
    alarm: Option<u64>,
    awaits_until: Option<u64>,
}

impl Peer {
    pub(super) fn new(kind: &'static str) -> Self {
        Self {
            kind,
            link: None,
            outbound_len_max: 64 * 1024,
            script: VecDeque::new(),
            asked: Vec::new(),
            reader: Reader::new(),
            pace: Pace::Eager,
            standing: Standing::Coming,
            sent: 0,
            judged: 0,
            times: Times::default(),
        }
    }

    /// Its name in a trace and in a verdict.
    pub(super) fn name(&self) -> String {
        match self.link {
            Some(link) => format!("{} on connection {link}", self.kind),
            None => self.kind.to_owned(),
        }
    }

    /// Does what there is to do; gives the time to be woken at.
    pub(super) fn act(&mut self, at: u64, kernel: &mut Kernel, wall: &WallClock) -> Option<u64> {
        if self.times.alarm.is_some_and(|alarm| alarm <= at) {
            self.times.alarm = None;
        }
        if self.standing == Standing::Coming {
            self.link = kernel.connect(self.outbound_len_max);
            self.standing = match self.link {
                Some(_) => Standing::Here,
                None => Standing::Refused,
            };
        }
        let link = self.link?;
        if self.read(at, link, kernel, wall) {
            self.play(at, link, kernel, wall);
        }
        self.alarm(at, link, kernel)
    }

    fn alarm(&mut self, at: u64, link: LinkId, kernel: &Kernel) -> Option<u64> {
        let pause = (self.times.paused_until > at).then_some(self.times.paused_until);
        let waits_to_read = kernel.outbound_len(link) > 0 && self.times.reads_at > at;
        let read = waits_to_read.then_some(self.times.reads_at);
        let patience = self.times.awaits_until.filter(|until| *until > at);
        let next = [pause, read, patience].into_iter().flatten().min()?;
        if self.times.alarm.is_some_and(|alarm| alarm <= next) {
            return None;
        }
        self.times.alarm = Some(next);
        Some(next)
    }

    /// It leaves, whatever it still had to do.
    pub(super) fn leave(&mut self) {
        self.script.clear();
        self.standing = Standing::Left;
    }

    /// From now on it behaves well.
    pub(super) fn heal(&mut self) {
        self.pace = match self.pace {
            Pace::Eager | Pace::Slow(..) => Pace::Eager,
            Pace::Never | Pace::Awake => Pace::Awake,
        };
        self.times.reads_at = 0;
    }

    /// False: the connection is no more.
    fn read(&mut self, at: u64, link: LinkId, kernel: &mut Kernel, wall: &WallClock) -> bool {
        match self.standing {
            Standing::Here | Standing::HalfClosed => {}
            Standing::Coming | Standing::Left | Standing::Ended(_) | Standing::Refused => {
                return false;
            }
        }
        let len_max = match self.pace {
            Pace::Eager | Pace::Awake => usize::MAX,
            Pace::Slow(..) if at < self.times.reads_at => return true,
            Pace::Slow(len, gap) => {
                self.times.reads_at = at + gap;
                len
            }
            Pace::Never => return true,
        };
        let (bytes, flow) = kernel.peer_read(link, len_max);
        if !bytes.is_empty() {
            kernel.note(|| format!("peer {link} reads {} bytes", bytes.len()));
        }
        let asked = &self.asked;
        let fed = self.reader.feed(&bytes, |number| {
            asked
                .get(number)
                .map_or(Wanted::Everything, |asked| asked.wanted)
        });
        let mut verdict = fed.and_then(|()| super::oracle::judge_answers(self, at, kernel, wall));
        if flow != Flow::Open {
            kernel.note(|| format!("peer {link} finds its connection {flow:?}"));
            let before = std::mem::replace(&mut self.standing, Standing::Ended(flow));
            self.reader.end();
            verdict = verdict
                .and_then(|()| super::oracle::judge_answers(self, at, kernel, wall))
                .and_then(|()| super::oracle::judge_end(self, before, kernel));
        }
        if let Err(what) = verdict {
            kernel.violate(format!("{}: {what}", self.name()));
        }
        flow == Flow::Open
    }

    fn play(&mut self, at: u64, link: LinkId, kernel: &mut Kernel, wall: &WallClock) {
        while self.times.paused_until <= at
            && let Some(cue) = self.script.front_mut()
        {
            match cue {
                Cue::Send(bytes) => {
                    let len = kernel.peer_send(link, bytes);
                    bytes.drain(..len);
                    let is_whole = bytes.is_empty();
                    self.on_sent(len, at, wall);
                    if !is_whole {
                        return;
                    }
                }
                Cue::Pause(millis) => self.times.paused_until = at + *millis,
                Cue::AwaitAnswers(count) => {
                    if self.reader.whole.len() < *count {
                        return;
                    }
                }
                Cue::AwaitContinue(patience) => {
                    let until = *self.times.awaits_until.get_or_insert(at + *patience);
                    let has_come = self.reader.continues() > 0 || self.has_answer_to_last();
                    if !has_come && at < until {
                        return;
                    }
                    self.times.awaits_until = None;
                }
                Cue::HalfClose => {
                    kernel.peer_end(link);
                    self.standing = Standing::HalfClosed;
                }
                Cue::Close => {
                    kernel.peer_close(link);
                    self.standing = Standing::Left;
                }
                Cue::Reset => {
                    kernel.reset(link);
                    self.standing = Standing::Left;
                }
            }
            self.script.pop_front();
        }
    }

    fn has_answer_to_last(&self) -> bool {
        let begun = self.asked.iter().filter(|asked| asked.start < self.sent);
        self.reader.whole.len() >= begun.count()
    }

    fn on_sent(&mut self, len: usize, at: u64, wall: &WallClock) {
        self.sent += len;
        for asked in &mut self.asked {
            if asked.start < self.sent && asked.begun_at.is_none() {
                asked.begun_at = Some(at);
                asked.wall_at = wall.shown.len() - 1;
            }
            if asked.end <= self.sent && asked.whole_at.is_none() {
                asked.whole_at = Some(at);
            }
        }
    }
}
