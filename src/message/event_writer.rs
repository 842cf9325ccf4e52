//! Server-sent events that async code writes, on the loop of their connection.

use core::cell::Cell;
use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::rc::Rc;

use bytes::Bytes;

use crate::message::body::Body;
use crate::message::channel::Pulse;
use crate::message::event_stream::{ServerSentEvent, comment};
use crate::message::peer::PeerState;
use crate::message::response::Response;
use crate::message::send_error::SendError;
use crate::message::writer::{BodyWriter, Written};
use crate::task::{Sleep, sleep};

impl Response {
    /// A stream of server-sent events that async code writes, without a thread. It is a [`Body::writer`]: `write` is called and
    /// polled on the loop of the connection, and its end is the end of the stream.
    ///
    /// Browsers reconnect after the end, and send the [`last_event_id`](crate::Request::last_event_id) that they got. To end
    /// for good, respond to that with 204, or send an event on which the page closes its `EventSource`.
    ///
    /// ```
    /// use core::time::Duration;
    /// use coldstart::message::ServerSentEvent;
    /// use coldstart::{Request, Response, TestRequest, sleep};
    ///
    /// fn clock(request: &Request<'_>) -> Response {
    ///     let last = request.last_event_id().and_then(|id| id.parse().ok()).unwrap_or(0);
    ///     Response::events(async move |events| {
    ///         events.heartbeat(Duration::from_secs(15));
    ///         for tick in last + 1..=3 {
    ///             let event = ServerSentEvent::new("tick").id(&tick.to_string());
    ///             events.send(&event).await?;
    ///             sleep(Duration::from_millis(1)).await;
    ///         }
    ///         Ok(())
    ///     })
    /// }
    ///
    /// let response = TestRequest::get("/").header("last-event-id", "2").run(clock);
    /// assert_eq!(response.text(), "id: 3\ndata: tick\n\n");
    /// ```
    #[must_use]
    pub fn events<F>(write: impl FnOnce(EventWriter) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Written> + 'static,
    {
        Self::of_events(Body::writer(|out| {
            let pulse = out.pulse();
            let beat = Rc::new(Beat::default());
            let events = EventWriter {
                out,
                beat: Rc::clone(&beat),
            };
            Streaming {
                code: Box::pin(write(events)),
                beat,
                pulse,
                timer: None,
            }
        }))
    }
}

/// Sends events to one browser: see [`Response::events`].
///
/// ```
/// use std::time::Duration;
///
/// use coldstart::message::{EventWriter, ServerSentEvent, Written};
/// use coldstart::{Response, TestRequest};
///
/// async fn two_words(events: EventWriter) -> Written {
///     events.heartbeat(Duration::from_secs(15));
///     for word in ["hello", "there"] {
///         events.send(&ServerSentEvent::new(word)).await?;
///     }
///     events.comment("that was all").await?;
///     Ok(())
/// }
///
/// let response = TestRequest::get("/").run(|_| Response::events(two_words));
/// assert_eq!(response.text(), "data: hello\n\ndata: there\n\n: that was all\n\n");
/// ```
pub struct EventWriter {
    out: BodyWriter,
    beat: Rc<Beat>,
}

impl EventWriter {
    /// Sends an event; waits while 64 KiB wait for the peer. Events that are sent before the code waits go out together, as one
    /// piece.
    ///
    /// # Errors
    ///
    /// As [`BodyWriter::send`].
    pub async fn send(&self, event: &ServerSentEvent) -> Result<(), SendError> {
        self.append(event.encoded_len(), |out| event.encode(out))
            .await
    }

    /// Sends a comment, which scripts do not see.
    ///
    /// # Errors
    ///
    /// As [`BodyWriter::send`].
    pub async fn comment(&self, text: &str) -> Result<(), SendError> {
        let text = comment(text);
        self.append(text.len(), |out| out.extend_from_slice(text.as_bytes()))
            .await
    }

    async fn append(&self, len: usize, write: impl Fn(&mut Vec<u8>)) -> Result<(), SendError> {
        self.beat.silence.set(Silence::None);
        poll_fn(|context| self.out.poll_append(len, context, &write)).await
    }

    /// From now on, an empty comment is sent whenever nothing else was sent for this long: it keeps proxies from closing a silent
    /// stream, and shows whether the peer is still there. Without it, or with zero, there is none.
    pub fn heartbeat(&self, period: Duration) {
        self.beat.period.set(period);
    }

    /// Whether the peer is still connected.
    #[must_use]
    pub fn peer(&self) -> PeerState {
        self.out.peer()
    }

    /// Ends the stream, as returning does.
    pub fn finish(self) {
        self.out.finish();
    }
}

impl fmt::Debug for EventWriter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EventWriter")
            .finish_non_exhaustive()
    }
}

/// When a heartbeat is due. It counts half periods: a timer that every event restarts would cost more than the event.
#[derive(Debug, Default)]
struct Beat {
    period: Cell<Duration>,
    silence: Cell<Silence>,
}

/// How long nothing was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Silence {
    /// Less than half a period.
    #[default]
    None,
    /// At least since the half period began.
    Half,
}

/// The code that writes events, and its heartbeat.
struct Streaming<F> {
    code: Pin<Box<F>>,
    beat: Rc<Beat>,
    pulse: Pulse,
    timer: Option<Sleep>,
}

impl<F: Future<Output = Written>> Future for Streaming<F> {
    type Output = Written;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Written> {
        let polled = self.code.as_mut().poll(context);
        if polled.is_pending() {
            self.poll_heartbeat(context);
        }
        polled
    }
}

impl<F> Streaming<F> {
    fn poll_heartbeat(&mut self, context: &mut Context<'_>) {
        loop {
            let period = self.beat.period.get();
            if period.is_zero() {
                self.timer = None;
                return;
            }
            let timer = self.timer.get_or_insert_with(|| sleep(period / 2));
            if Pin::new(timer).poll(context).is_pending() {
                return;
            }
            self.timer = None;
            let silence = match self.beat.silence.get() {
                Silence::None => Silence::Half,
                Silence::Half => {
                    self.pulse.send(Bytes::from_static(b":\n\n"));
                    Silence::None
                }
            };
            self.beat.silence.set(silence);
        }
    }
}

#[cfg(test)]
mod tests {
    use core::future::pending;
    use core::time::Duration;

    use super::{Response, ServerSentEvent};
    use crate::TestRequest;
    use crate::task::sleep;

    const PERIOD: Duration = Duration::from_millis(2);

    #[test]
    fn a_silent_stream_has_a_heartbeat_from_when_it_is_wanted() {
        let mut response = TestRequest::get("/").run(|_| {
            Response::events(async |events| {
                events.send(&ServerSentEvent::new("first")).await?;
                events.heartbeat(PERIOD);
                pending().await
            })
        });
        assert_eq!(response.header("content-type"), Some("text/event-stream"));
        let mut next = || response.next_piece().expect("the stream goes on");
        assert_eq!(next(), "data: first\n\n");
        assert_eq!([next(), next(), next()], [":\n\n"; 3]);
    }

    #[test]
    fn events_comments_and_the_end_come_in_their_order_among_heartbeats() {
        let response = TestRequest::get("/").run(|_| {
            Response::events(async |events| {
                events.heartbeat(PERIOD);
                for number in 0..3 {
                    events
                        .send(&ServerSentEvent::new(number.to_string()))
                        .await?;
                    sleep(PERIOD).await;
                }
                events.heartbeat(Duration::ZERO);
                events.comment("a\nb").await?;
                events.finish();
                pending().await
            })
        });
        let mut text = String::new();
        for block in response.text().split_inclusive("\n\n") {
            text.push_str(if block == ":\n\n" { "" } else { block });
        }
        assert_eq!(text, "data: 0\n\ndata: 1\n\ndata: 2\n\n: a\n: b\n\n");
    }

    #[test]
    fn a_browser_says_which_event_it_got_last() {
        let last = |request: TestRequest| {
            request.run(|request| request.last_event_id().unwrap_or("none").to_owned())
        };
        assert_eq!(last(TestRequest::get("/")).text(), "none");
        let again = TestRequest::get("/").header("Last-Event-ID", "7");
        assert_eq!(last(again).text(), "7");
    }
}
