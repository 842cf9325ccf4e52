//! A request of a peer before it is bytes: what it asks for, its framing, and what its handler leaves of it.

use super::peer::Rest;
use super::plan::{Action, PullAction};

/// How a body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length,
    Chunked,
    /// Chunks of one byte: the most work for the bytes.
    TinyChunks,
}

/// The server discards this much of a body that it does not need, if the length is announced.
const DISCARDED_LEN: usize = 64 * 1024;

/// A request before it is bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestDraft {
    pub(super) action: Action,
    pub(super) method: &'static str,
    pub(super) version: &'static str,
    pub(super) body_len: usize,
    pub(super) framing: Framing,
    /// Field lines, each with its CRLF.
    pub(super) fields: &'static str,
}

impl RequestDraft {
    pub(super) const fn new(action: Action, body_len: usize) -> Self {
        Self {
            action,
            method: if body_len > 0 { "POST" } else { "GET" },
            version: "HTTP/1.1",
            body_len,
            framing: Framing::Length,
            fields: "",
        }
    }

    /// What the handler leaves after the head of its response.
    pub(super) fn rest(&self) -> Rest {
        let Action::Pull(PullAction::EchoSome(len)) = self.action else {
            return Rest::Short;
        };
        let is_announced = self.framing == Framing::Length;
        match self.body_len.checked_sub(len) {
            Some(rest) if !is_announced || rest > DISCARDED_LEN => Rest::Long,
            Some(_) | None => Rest::Short,
        }
    }

    /// Whether the response does not depend on the body.
    pub(super) fn is_refused_by_its_head(&self) -> bool {
        let is_too_long = match self.framing {
            Framing::Length => matches!(
                self.action,
                Action::Limit(len) | Action::Pull(PullAction::Collect(len)) if self.body_len > len
            ),
            Framing::Chunked | Framing::TinyChunks => false,
        };
        is_too_long
            || matches!(
                self.action,
                Action::Refuse
                    | Action::RefuseLater(_)
                    | Action::PanicOnAccept
                    | Action::Pull(PullAction::Leave(0))
            )
    }
}

pub(super) const EXPECT: &str = "Expect: 100-continue\r\n";
pub(super) const CLOSE: &str = "Connection: close\r\n";
pub(super) const KEEP_ALIVE: &str = "Connection: keep-alive\r\n";
pub(super) const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: made-up\r\n";
