//! The protocol: HTTP/1.1 from bytes to events and back, without sockets, clocks or threads.
//!
//! [`Connection`] takes bytes and returns [`Event`]s; it takes the parts of a response and returns bytes. Where the bytes
//! were split never changes the events. An error of the peer is a [`Refusal`], which has a status; an error of the handler
//! is a [`Misuse`]; an error of our own is a `debug_assert` and a clean close.
//!
//! ```text
//! Recv:  Idle ─bytes▶ Head ─head▶ Body ─end▶ Done          Send:  Waiting ─head▶ Body ─end▶ Done
//!        │eof         │eof        │eof                             └─ 100 Continue, at most once
//!        ▼            ▼           ▼
//!      Closed       Failed      Failed                     Done × Done, Close unset  ─▶  Idle × Waiting
//!        an error in Idle, Head or Body ─▶ Refused: one last response
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
mod cursor;
mod date;
mod decode;
mod encode;
mod framing;
mod head;
mod reason;
mod refusal;
mod state;
mod trailers;
mod vector;

pub(crate) use authority::parse_port;
pub(crate) use byteset::is_token;
pub(crate) use connection::{Connection, Event, Misuse};
pub(crate) use cursor::Cursor;
pub(crate) use date::{DateLine, civil_from_days, imf_fixdate};
pub(crate) use encode::{
    ResponseHead, ResponseLength, encode_early_hints, encode_trailers, is_trailer_field, put,
};
pub(crate) use framing::{BodyLength, TrailerUse, UpgradeOffer, WANTED, announced_length, wanted};
pub(crate) use head::{HeadIndex, HeadLimits, HeadView, Names, RawField, Version, Wanted};
pub(crate) use reason::reason_phrase;
pub(crate) use refusal::Refusal;
pub(crate) use state::{Close, Next};
pub(crate) use trailers::trailer_fields;
pub(crate) use vector::is_field_value;
