//! One socket's life, from accept to close: when to read, when to write, what to wait for.

pub(super) mod action;
pub(super) mod context;
mod dispatch;
pub(super) mod driver;
mod input;
mod memory;
mod middleware;
mod refuse;
mod respond;
mod source;
mod upgrade;
mod upload;
pub(super) mod work;

use crate::h1::{Close, Connection, Event, HeadIndex, HeadLimits, Next, Refusal};
use crate::handler::outcome::{Awaited, WhenHalfClosed};
use crate::limits::BODY_QUOTA_LEN;
use crate::os::{Instant, Interest, Readiness};
use crate::sync::contain::contain;
#[cfg(feature = "_sim")]
use crate::sync::tally::count;

use super::deadlines::{Renewal, Waiting};
use super::table::{Kept, Slot};

use action::Action;
#[cfg(feature = "_sim")]
use work::WorkSize;
use work::{ResponseSource, Work};

/// What is known about unread bytes in the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadState {
    /// There are none: an event will report the next.
    Drained,
    /// There may be some.
    Ready,
    /// There may be bytes, and the end of input follows them.
    Ending,
    /// The end of input was read.
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Our side has ended. Until then, what the peer sends is discarded.
    Lingering(Instant),
}

/// Whether the loop has the session on its list of those that have more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listing {
    Unlisted,
    Listed,
}

/// A connection's socket and everything known about it.
pub(super) struct Session<S> {
    connection: Connection,
    socket: S,
    work: Option<Box<Work>>,
    state: State,
    read_state: ReadState,
    interest: Interest,
    renewal: Renewal,
    listing: Listing,
    /// Of its slot in the table.
    generation: u32,
}

// Each connection has a slot, idle ones included. The socket is a descriptor.
const _: () = assert!(
    size_of::<Slot<Session<i32>>>() <= 72,
    "an idle connection takes more memory"
);

impl<S> Kept for Session<S> {
    fn generation(&self) -> u32 {
        self.generation
    }

    fn set_generation(&mut self, generation: u32) {
        self.generation = generation;
    }
}

impl<S> Session<S> {
    pub(super) const fn new(socket: S) -> Self {
        Self {
            connection: Connection::new(),
            socket,
            work: None,
            state: State::Open,
            // Read right after accept: the request has often arrived already.
            read_state: ReadState::Ready,
            interest: Interest::Nothing,
            renewal: Renewal::Same,
            listing: Listing::Unlisted,
            generation: 0,
        }
    }

    /// Whether the loop has to put it on its list of sessions that have more to do. It is listed once, however often a
    /// turn drives it: else its share would grow each turn.
    pub(super) fn list(&mut self) -> bool {
        std::mem::replace(&mut self.listing, Listing::Listed) == Listing::Unlisted
    }

    /// The loop has taken it off that list.
    pub(super) const fn unlist(&mut self) {
        self.listing = Listing::Unlisted;
    }

    /// Frees everything but the socket. What it owns may be the user's.
    pub(super) fn into_socket(mut self) -> S {
        let work = self.work.take();
        let _ = contain(|| drop(work));
        self.socket
    }

    /// Whether a request is in progress that a stop of the server would cut.
    pub(super) fn is_busy(&self) -> bool {
        self.state == State::Open && !(self.connection.is_idle() && self.work.is_none())
    }

    /// The memory that it owns beside its slot in the table.
    #[cfg(feature = "_sim")]
    pub(super) fn work_size(&self) -> Option<WorkSize> {
        self.work.as_ref().map(|work| work.size())
    }

    /// One step of the protocol over `input`.
    #[inline]
    fn poll<'b>(
        &mut self,
        input: &'b [u8],
        index: &mut HeadIndex,
        limits: &HeadLimits,
    ) -> Result<(usize, Event<'b>), Refusal> {
        let polled = self.connection.poll(input, index, limits);
        #[cfg(feature = "_sim")]
        count(|tally| {
            tally.polls += 1;
            tally.steps += u64::from(matches!(polled, Ok((1.., _))));
        });
        polled
    }

    fn work(&mut self) -> &mut Work {
        self.work.get_or_insert_default()
    }

    /// What to do once all pending bytes have been sent. When a response is promised before its request has fully arrived,
    /// the rest of the request waits, unless it is pulled: it may not be wanted.
    fn next(&self) -> Next {
        let next = self.connection.next();
        match self.source() {
            Some(ResponseSource::Awaited(_)) if next == Next::Read => Next::Wait,
            // Neither direction goes on, but the code of an upgraded connection does.
            Some(ResponseSource::Arriving(_)) if next == Next::Linger => {
                if self.connection.is_output_ended() {
                    Next::Wait
                } else {
                    Next::End
                }
            }
            Some(_) | None => next,
        }
    }

    /// Whether the whole response is still to come, from a promise or a future.
    fn is_response_awaited(&self) -> bool {
        matches!(self.source(), Some(ResponseSource::Awaited(_)))
    }

    fn source(&self) -> Option<&ResponseSource> {
        self.work.as_ref().map(|work| &work.source)
    }

    /// Has the next run read from the socket, although no event has reported it as ready.
    fn read_again(&mut self) {
        if self.read_state == ReadState::Drained {
            self.read_state = ReadState::Ready;
        }
    }

    /// The server stops: a request without a response is the last one of its connection. On an idle connection one may
    /// have arrived since the last read.
    fn on_drain(&mut self) {
        if self.state == State::Open {
            if self.connection.is_idle() {
                self.read_again();
            } else if self.connection.is_response_due() {
                self.connection.on_close(Close::ServerStopping);
            }
        }
    }

    fn on_readiness(&mut self, readiness: Readiness) {
        self.read_state = match self.read_state {
            ReadState::Ended => ReadState::Ended,
            ReadState::Drained | ReadState::Ready | ReadState::Ending
                if readiness.has(Readiness::ENDED) || readiness.has(Readiness::BROKEN) =>
            {
                ReadState::Ending
            }
            ReadState::Drained | ReadState::Ready if readiness.has(Readiness::READABLE) => {
                ReadState::Ready
            }
            state @ (ReadState::Drained | ReadState::Ready | ReadState::Ending) => state,
        };
    }

    /// A response is in progress. If the peer has ended its side, the code that produces the response can see it; what the handler
    /// wants then is returned.
    fn on_half_close(&self) -> WhenHalfClosed {
        let is_half_closed = matches!(self.read_state, ReadState::Ending | ReadState::Ended);
        match &self.work {
            Some(work) if is_half_closed => {
                match &work.source {
                    ResponseSource::Awaited(Awaited::Promise(promise)) => promise.half_close(),
                    ResponseSource::Arriving(source) => source.half_close(),
                    ResponseSource::Nothing
                    | ResponseSource::Awaited(Awaited::Future(_))
                    | ResponseSource::Upgrade(_) => {}
                }
                work.half_closed
            }
            Some(_) | None => WhenHalfClosed::Respond,
        }
    }

    /// What an open connection that has read everything waits for.
    fn awaited_input(&mut self) -> Waiting {
        if self.connection.is_body_pending() {
            self.count_quota();
            Waiting::Body
        } else if self.connection.is_idle() {
            Waiting::FirstByte
        } else if self.connection.is_switched() {
            // It may be silent for as long as it likes.
            Waiting::Handler
        } else {
            Waiting::Head
        }
    }

    /// A peer whose body has met its quota has more time.
    fn count_quota(&mut self) {
        if let Some(work) = &mut self.work
            && work.quota_len >= BODY_QUOTA_LEN
        {
            work.begin_quota();
            self.renewal = Renewal::New;
        }
    }

    const fn wait(&mut self, waiting: Waiting) -> Action {
        let renewal = std::mem::replace(&mut self.renewal, Renewal::Same);
        Action::Wait(waiting, renewal)
    }

    const fn reschedule(&mut self) -> Action {
        let renewal = std::mem::replace(&mut self.renewal, Renewal::Same);
        Action::Reschedule(Waiting::Handler, renewal)
    }
}
