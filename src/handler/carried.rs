//! Local bodies on threads of a pool: the thread polls its body, and a channel carries the pieces to the loop.

use core::task::Waker;
use std::sync::Arc;

use crate::handler::future::{unpark_here, wait_here};
use crate::handler::outcome::Pending;
use crate::limits::WRITER_LEN_MAX;
use crate::message::body::{Attachment, Body, Piece, PieceSource};
use crate::message::channel::BodySender;
use crate::message::peer::PeerState;
use crate::sync::alarm::Alarm;
use crate::sync::memory::Memory;
use crate::sync::notify::Notify;
use crate::task::turn_of_waiter;

/// A local body of a response that goes to another thread.
pub(crate) struct Carried {
    source: Box<dyn PieceSource>,
    sender: BodySender,
    notify: Notify,
    /// Rings when the peer has gone.
    alarm: Arc<Alarm>,
}

impl Carried {
    /// Puts a channel in the place of the response's local body, if it has one.
    pub(crate) fn begin(pending: &mut Pending) -> Option<Self> {
        let Pending::Response(response) = pending else {
            return None;
        };
        let body = response.take_local()?;
        let (sender, channel) = Body::channel(WRITER_LEN_MAX);
        let channel = match body.len() {
            Some(len) => channel.with_len(len),
            None => channel,
        };
        let (notify, alarm) = (unpark_here(), Arc::<Alarm>::default());
        let _ = alarm.attach(notify.clone());
        let source = body.attach(Attachment {
            notify: notify.clone(),
            // What waits for the loop counts there.
            memory: &Arc::new(Memory::new(None, || None)),
            fields: response.raw_fields(),
        });
        *response.body_mut() = channel;
        Some(Self {
            source,
            sender,
            notify,
            alarm,
        })
    }

    /// Sends the body, until it is over or the peer is gone. The thread sleeps while there is nothing to send, or no room.
    pub(crate) fn send(mut self) {
        loop {
            if self.sender.peer() == PeerState::HalfClosed {
                self.source.half_close();
            }
            match self.source.next(&mut 1) {
                Piece::Bytes(piece) => {
                    if self.sender.send(piece).is_err() {
                        return;
                    }
                }
                Piece::Pending => {
                    self.alarm.begin_poll();
                    self.sender
                        .wake_when_gone(Waker::from(Arc::clone(&self.alarm)));
                    if self.sender.is_peer_gone() {
                        return;
                    }
                    wait_here(turn_of_waiter(&|| self.notify.clone()));
                }
                Piece::Finished(Some(end)) => {
                    return self.sender.finish_with(end.trailers().clone());
                }
                // The loop counts as well, and reports a wrong length.
                Piece::Finished(None) | Piece::WrongLength => return self.sender.finish(),
                Piece::Cut | Piece::Broken => return,
            }
        }
    }
}
