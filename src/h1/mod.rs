//! The protocol: HTTP/1.1 from bytes to meaning and back. No socket, no clock, no thread, nothing above it.
//!
//! [`Connection`] takes bytes and gives [`Event`]s; it takes the parts of an answer and gives bytes. How the bytes were
//! cut never changes the events. What the peer does wrong is a [`Refusal`], which has a status; what the handler does
//! wrong is a [`Misuse`]; what *we* do wrong is a `debug_assert` and a clean close.
//!
//! ```text
//! Recv:  Idle ─bytes▶ Head ─head▶ Body ─end▶ Done          Send:  Waiting ─head▶ Body ─end▶ Done
//!        │eof         │eof        │eof                             └─ 100 Continue, at most once
//!        ▼            ▼           ▼
//!      Closed       Failed      Failed                     Done × Done, Close unset  ─▶  Idle × Waiting
//!        a fault in Idle, Head or Body ─▶ Refused: one last answer
//!
//! Close: unset ─▶ PeerAsked | PeerIsOld | PeerRefused | HandlerAsked | ServerStopping | BodyUnread
//! next(Recv, Send, Close) ─▶ Next = Read | Write | Wait | Linger | Close
//! ```
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

mod authority;
mod byteset;
mod connection;
mod date;
mod decode;
mod encode;
mod framing;
mod head;
mod reason;
mod refusal;
mod state;
mod trailers;

pub(crate) use byteset::is_token_byte;
#[cfg(feature = "sim")]
pub(crate) use connection::Misuse;
pub(crate) use connection::{Connection, Event};
pub(crate) use date::{DateLine, civil_from_days, imf_fixdate};
pub(crate) use encode::{AnswerHead, AnswerLength, put};
pub(crate) use framing::{BodyLength, UpgradeOffer};
pub(crate) use head::{HeadIndex, HeadLimits, HeadView, RawField, Version};
pub(crate) use reason::reason_phrase;
pub(crate) use refusal::Refusal;
pub(crate) use state::{Close, Next};
pub(crate) use trailers::trailer_fields;
