//! Server-sent events (WHATWG HTML §9.2): a stream of small texts that browsers understand.

use core::time::Duration;

use crate::message::body::Body;
use crate::message::channel::BodySender;
use crate::message::peer::PeerState;
use crate::message::response::Response;
use crate::message::send_error::SendError;

/// One event of a stream.
///
/// ```
/// use coldstart::message::ServerSentEvent;
///
/// let event = ServerSentEvent::new("two\nlines").event("token").id("7");
/// assert_eq!(event.to_string(), "event: token\nid: 7\ndata: two\ndata: lines\n\n");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerSentEvent {
    fields: String,
    text: String,
}

impl ServerSentEvent {
    /// An event with this text; each of its lines becomes a `data` line.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            fields: String::new(),
            text: text.into(),
        }
    }

    /// Names the event; without a name it is a `message`. Line ends in the name are dropped.
    #[must_use]
    pub fn event(self, name: &str) -> Self {
        self.field("event", name)
    }

    /// What the browser sends as `Last-Event-ID` when it reconnects. Line ends and NUL in it are dropped.
    #[must_use]
    pub fn id(self, id: &str) -> Self {
        self.field("id", id)
    }

    /// How long the browser waits before it reconnects, in whole milliseconds.
    #[must_use]
    pub fn retry(self, delay: Duration) -> Self {
        let milliseconds = delay.as_millis().to_string();
        self.field("retry", &milliseconds)
    }

    fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push_str(name);
        self.fields.push_str(": ");
        self.fields.extend(
            value
                .chars()
                .filter(|letter| !matches!(letter, '\r' | '\n' | '\0')),
        );
        self.fields.push('\n');
        self
    }
}

impl ServerSentEvent {
    /// As it is sent, in memory of exactly its length: `Bytes` takes that as it is.
    pub(crate) fn encoded(&self) -> String {
        let mut text = String::with_capacity(self.encoded_len());
        self.for_each_part(|part| text.push_str(part));
        text
    }

    pub(crate) fn encoded_len(&self) -> usize {
        let mut len = 0;
        self.for_each_part(|part| len += part.len());
        len
    }

    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        self.for_each_part(|part| into.extend_from_slice(part.as_bytes()));
    }

    fn for_each_part(&self, mut take: impl FnMut(&str)) {
        take(&self.fields);
        let mut take_line = |line| {
            take("data: ");
            take(line);
            take("\n");
        };
        if has_line_end(&self.text) {
            lines(&self.text).for_each(take_line);
        } else {
            take_line(&self.text);
        }
        take("\n");
    }
}

impl core::fmt::Display for ServerSentEvent {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut written = Ok(());
        self.for_each_part(|part| written = written.and_then(|()| formatter.write_str(part)));
        written
    }
}

/// Most events have one line.
fn has_line_end(text: &str) -> bool {
    // Whole blocks without a branch in them: the compiler makes vectors of that.
    let is_in = |block: &[u8]| {
        let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
        block.iter().fold(false, |found, byte| found | is_end(byte))
    };
    let blocks = text.as_bytes().chunks_exact(32);
    let rest = blocks.remainder();
    is_in(rest) || blocks.into_iter().any(is_in)
}

/// The lines of a text; CRLF, LF and CR each end one, as in the stream's own grammar.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n')
        .flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

/// Each line as a comment.
pub(crate) fn comment(text: &str) -> String {
    let lines: String = lines(text).map(|line| format!(": {line}\n")).collect();
    lines + "\n"
}

/// Sends events to one browser, from any thread. Dropped without [`finish`](Self::finish), it cuts the stream.
///
/// One event for many browsers:
///
/// ```
/// use coldstart::Response;
/// use coldstart::message::{EventSender, ServerSentEvent};
///
/// /// A browser that has left, or that does not keep up, is left out.
/// fn tell(browsers: &mut Vec<EventSender>, event: &ServerSentEvent) {
///     let event = event.to_string();
///     browsers.retain(|browser| browser.body().try_send(event.clone()).is_ok());
/// }
///
/// let (first, response) = Response::event_stream(64 * 1024);
/// let (second, _response) = Response::event_stream(64 * 1024);
/// drop(response); // The first browser leaves.
/// let mut browsers = vec![first, second];
/// tell(&mut browsers, &ServerSentEvent::new("news"));
/// assert_eq!(browsers.len(), 1);
/// ```
#[derive(Debug)]
pub struct EventSender {
    body: BodySender,
}

impl EventSender {
    /// Sends an event at once. Blocks while `bytes_max` bytes are waiting.
    ///
    /// # Errors
    ///
    /// As [`BodySender::send`].
    pub fn send(&self, event: &ServerSentEvent) -> Result<(), SendError> {
        self.body.send(event.encoded())
    }

    /// Sends a comment, which scripts do not see: a heartbeat that keeps proxies from closing a silent stream, and shows
    /// whether the peer is still there.
    ///
    /// # Errors
    ///
    /// As [`BodySender::send`].
    pub fn comment(&self, text: &str) -> Result<(), SendError> {
        self.body.send(comment(text))
    }

    /// Whether the peer is gone.
    #[must_use]
    pub fn is_peer_gone(&self) -> bool {
        self.body.is_peer_gone()
    }

    /// Whether the peer is still connected.
    #[must_use]
    pub fn peer(&self) -> PeerState {
        self.body.peer()
    }

    /// The underlying channel of bytes, for async code: see [`BodySender::poll_ready`].
    #[must_use]
    pub const fn body(&self) -> &BodySender {
        &self.body
    }

    /// Ends the stream. Browsers reconnect until they get a 204.
    pub fn finish(self) {
        self.body.finish();
    }
}

impl Response {
    /// A stream of server-sent events and its sender, for another thread; at most `bytes_max` bytes wait in between. Async code
    /// that sends them needs no thread: see [`Response::events`].
    ///
    /// ```
    /// use coldstart::{Request, Response};
    /// use coldstart::message::ServerSentEvent;
    ///
    /// fn clock(_: &Request<'_>) -> Response {
    ///     let (events, response) = Response::event_stream(64 * 1024);
    ///     std::thread::spawn(move || {
    ///         for tick in 0..3 {
    ///             events.send(&ServerSentEvent::new(format!("tick {tick}")))?;
    ///         }
    ///         events.finish();
    ///         Ok::<(), coldstart::message::SendError>(())
    ///     });
    ///     response
    /// }
    /// ```
    #[must_use]
    pub fn event_stream(bytes_max: usize) -> (EventSender, Self) {
        let (sender, body) = Body::channel(bytes_max);
        (EventSender { body: sender }, Self::of_events(body))
    }

    pub(crate) fn of_events(body: Body) -> Self {
        Self::new(crate::message::response::Status::OK)
            .content_type("text/event-stream")
            .header("cache-control", "no-store")
            .body(body)
    }
}

#[cfg(test)]
mod tests {
    use super::ServerSentEvent;
    use core::time::Duration;

    #[test]
    fn a_line_may_end_anywhere_and_the_length_is_known_before() {
        for len in 0..70 {
            for end in ["\n", "\r", "\r\n"] {
                let (before, after) = ("x".repeat(len), "y".repeat(70 - len));
                let event = ServerSentEvent::new(format!("{before}{end}{after}")).id("7");
                let shown = format!("id: 7\ndata: {before}\ndata: {after}\n\n");
                assert_eq!(event.to_string(), shown);
                assert_eq!(event.encoded(), shown);
                assert_eq!(event.encoded_len(), shown.len());
            }
        }
    }

    #[test]
    fn every_line_end_makes_a_line_and_none_escapes() {
        for (text, shown) in [
            ("a", "data: a\n\n"),
            ("", "data: \n\n"),
            ("a\nb", "data: a\ndata: b\n\n"),
            ("a\r\nb", "data: a\ndata: b\n\n"),
            ("a\rb\n", "data: a\ndata: b\ndata: \n\n"),
        ] {
            assert_eq!(ServerSentEvent::new(text).to_string(), shown, "{text:?}");
        }
        let hostile = ServerSentEvent::new("x")
            .event("a\ndata: b")
            .id("1\r\n\0")
            .retry(Duration::from_secs(2));
        assert_eq!(
            hostile.to_string(),
            "event: adata: b\nid: 1\nretry: 2000\ndata: x\n\n"
        );
    }
}
