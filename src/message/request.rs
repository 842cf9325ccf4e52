//! Requests: views into the bytes that the peer sent.

use core::fmt;
use std::borrow::Cow;
use std::net::SocketAddr;

use bytes::Bytes;

use crate::h1::{self, HeadLimits, HeadView};
use crate::limits::{HEAD_LEN_CEILING, HEADERS_CEILING};
use crate::message::headers::Headers;
use crate::os::PeerAddress;

/// For bytes that have already passed the configured limits.
pub(crate) const HEAD_LIMITS_OPEN: HeadLimits = HeadLimits {
    head_len_max: HEAD_LEN_CEILING,
    target_len_max: HEAD_LEN_CEILING,
    headers_max: HEADERS_CEILING,
};

/// The head of a request: everything that is known before its body arrives.
///
/// ```
/// use coldstart::handler::Next;
/// use coldstart::message::Head;
/// use coldstart::{Handler, Router, Status, TestRequest};
///
/// fn only_here(head: &Head<'_>) -> Next {
///     match (head.host(), head.path_decoded().as_ref()) {
///         (Some("example.org"), "/café") => Next::handle(),
///         _ => Next::respond(Status::MISDIRECTED_REQUEST),
///     }
/// }
///
/// let mut router = Router::new().get("/{place}", |_| "hello\n").with(only_here);
/// let mut status = |target| TestRequest::get(target).run_handler(&mut router).status().code();
/// assert_eq!(status("http://example.org/caf%C3%A9?"), 200);
/// assert_eq!(status("http://example.com/caf%C3%A9"), 421);
/// ```
#[derive(Clone, Copy)]
pub struct Head<'a> {
    view: HeadView<'a>,
    /// Found once: the contract, a router and a handler all read it.
    path: &'a str,
    parameters: &'a RouteParameters<'a>,
    peer: PeerAddress<'a>,
}

/// The parameters of a route's pattern: name, and value as it was sent.
#[derive(Clone)]
pub(crate) enum RouteParameters<'a> {
    Borrowed(&'a [(&'a str, &'a str)]),
    Owned(Box<[(Box<str>, Box<str>)]>),
}

static NO_PARAMETERS: RouteParameters<'static> = RouteParameters::Borrowed(&[]);

impl RouteParameters<'_> {
    fn value(&self, name: &str) -> Option<&str> {
        match self {
            Self::Borrowed(list) => {
                let found = list.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| *value)
            }
            Self::Owned(list) => {
                let found = list.iter().find(|(key, _)| **key == *name);
                found.map(|(_, value)| &**value)
            }
        }
    }

    pub(crate) fn to_owned(&self) -> RouteParameters<'static> {
        RouteParameters::Owned(match self {
            Self::Borrowed(list) => {
                let owned = list
                    .iter()
                    .map(|(name, value)| (Box::from(*name), Box::from(*value)));
                owned.collect()
            }
            Self::Owned(list) => list.clone(),
        })
    }
}

impl<'a> Head<'a> {
    #[inline]
    pub(crate) fn new(view: HeadView<'a>, peer: PeerAddress<'a>) -> Self {
        let path = view.path();
        Self {
            view,
            path: if path.is_empty() { "/" } else { path },
            parameters: &NO_PARAMETERS,
            peer,
        }
    }

    pub(crate) const fn with_parameters(self, parameters: &'a RouteParameters<'a>) -> Self {
        Self { parameters, ..self }
    }

    /// The method as it was sent; methods are case-sensitive (RFC 9110 §9.1).
    #[must_use]
    pub fn method(self) -> &'a str {
        self.view.method()
    }

    /// The request target as it was sent, in any of its four forms (RFC 9112 §3.2).
    #[must_use]
    pub fn target(self) -> &'a str {
        self.view.target()
    }

    /// The path as it was sent, not percent-decoded; never empty. `*` for `OPTIONS *`.
    #[must_use]
    pub const fn path(self) -> &'a str {
        self.path
    }

    /// The path, percent-decoded; a part that is not UTF-8 becomes U+FFFD.
    ///
    /// ```
    /// use coldstart::TestRequest;
    ///
    /// let response = TestRequest::get("/caf%C3%A9").run(|request| {
    ///     let head = request.head();
    ///     format!("{} is {}\n", head.path(), head.path_decoded())
    /// });
    /// assert_eq!(response.text(), "/caf%C3%A9 is /café\n");
    /// ```
    #[must_use]
    pub fn path_decoded(self) -> Cow<'a, str> {
        percent_decode(self.path())
    }

    /// What follows the first `?`, as it was sent. `parse_query` (feature `form`) reads it as a value of a type, and fails with a
    /// 400 that says why.
    #[must_use]
    pub fn query(self) -> Option<&'a str> {
        self.view.query()
    }

    /// The host that the request is for: from an absolute-form target, else from the `Host` field (RFC 9112 §3.3).
    #[must_use]
    pub fn host(self) -> Option<&'a str> {
        self.view
            .authority()
            .or_else(|| self.headers().text("host"))
    }

    /// The field lines.
    #[must_use]
    pub const fn headers(self) -> Headers<'a> {
        Headers::new(self.view)
    }

    /// The value of the first field line with this name, if it is UTF-8.
    #[must_use]
    pub fn header(self, name: &str) -> Option<&'a str> {
        self.headers().text(name)
    }

    pub(crate) const fn view(self) -> HeadView<'a> {
        self.view
    }

    pub(crate) const fn parameters(self) -> &'a RouteParameters<'a> {
        self.parameters
    }

    pub(crate) const fn as_bytes(self) -> &'a [u8] {
        self.view.as_bytes()
    }

    /// The value of the `{name}` segment of a [`Router`](crate::Router)'s pattern, percent-decoded.
    #[must_use]
    pub fn parameter(self, name: &str) -> Option<Cow<'a, str>> {
        self.parameters.value(name).map(percent_decode)
    }

    /// The address at the other end of the connection. Behind a proxy, as on the platform, it is the proxy's, and not that of the
    /// caller. A server that listens on an IPv6 address sees an IPv4 peer as `::ffff:` and its address (RFC 4291 §2.5.5.2), which
    /// [`IpAddr::to_canonical`](core::net::IpAddr::to_canonical) takes off.
    ///
    /// `None` if the peer has reset the connection, and in a [`TestRequest`](crate::TestRequest) that was not given one. It costs one
    /// system call each time, and nothing otherwise.
    ///
    /// ```
    /// use coldstart::{Request, TestRequest};
    ///
    /// fn who(request: &Request<'_>) -> String {
    ///     match request.peer_address() {
    ///         Some(address) => format!("{}\n", address.ip()),
    ///         None => "gone\n".to_owned(),
    ///     }
    /// }
    ///
    /// let peer = ([192, 0, 2, 7], 50_000).into();
    /// assert_eq!(TestRequest::get("/").peer_address(peer).run(who).text(), "192.0.2.7\n");
    /// assert_eq!(TestRequest::get("/").run(who).text(), "gone\n");
    /// ```
    #[must_use]
    pub fn peer_address(self) -> Option<SocketAddr> {
        self.peer.ask()
    }

    /// Whether the peer speaks HTTP/1.0.
    #[must_use]
    pub fn is_http10(self) -> bool {
        self.view.version() == h1::Version::Http10
    }
}

impl fmt::Debug for Head<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Head")
            .field("method", &self.method())
            .field("path", &self.path())
            .field("headers", &self.headers())
            .finish_non_exhaustive()
    }
}

/// A copy in memory of its own, which has no room for more.
fn copied(bytes: &[u8]) -> Bytes {
    // `put` writes sixteen at least. The smallest build has no room for a second way.
    if cfg!(smallest) || bytes.len() < 16 {
        return Bytes::copy_from_slice(bytes);
    }
    let mut copy = Vec::with_capacity(bytes.len());
    h1::put(&mut copy, bytes);
    copy.into()
}

/// A complete request.
///
/// ```
/// use coldstart::{Request, TestRequest};
///
/// fn show(request: &Request<'_>) -> String {
///     let (method, path) = (request.method(), request.path());
///     let query = request.query().unwrap_or("nothing");
///     let kind = request.header("content-type").unwrap_or("unknown");
///     format!("{method} {path}, {query}, {} bytes, {kind}\n", request.body().len())
/// }
///
/// let request = TestRequest::post("/a?b=c").header("content-type", "text/plain").body("abc");
/// assert_eq!(request.run(show).text(), "POST /a, b=c, 3 bytes, text/plain\n");
/// ```
#[derive(Clone, Copy)]
pub struct Request<'a> {
    head: Head<'a>,
    body: RequestBody<'a>,
    trailers: &'a [u8],
}

/// Where the body of a request is stored.
#[derive(Clone, Copy)]
pub(crate) enum RequestBody<'a> {
    /// In the buffer that it was read into.
    Borrowed(&'a [u8]),
    /// In memory of its own, which can be shared.
    Shared(&'a Bytes),
}

impl<'a> Request<'a> {
    pub(crate) const fn new(head: Head<'a>, body: RequestBody<'a>, trailers: &'a [u8]) -> Self {
        Self {
            head,
            body,
            trailers,
        }
    }

    /// A request that was received.
    #[inline] // To move one takes longer than to find its path.
    pub(crate) fn received(
        view: HeadView<'a>,
        peer: PeerAddress<'a>,
        body: RequestBody<'a>,
        trailers: &'a [u8],
    ) -> Self {
        Self::new(Head::new(view, peer), body, trailers)
    }

    /// The same head with a body.
    pub(crate) const fn with_body(self, body: RequestBody<'a>, trailers: &'a [u8]) -> Self {
        Self {
            body,
            trailers,
            ..self
        }
    }

    pub(crate) const fn with_parameters(self, parameters: &'a RouteParameters<'a>) -> Self {
        Self {
            head: self.head.with_parameters(parameters),
            ..self
        }
    }

    pub(crate) const fn head_by_reference(&self) -> &Head<'a> {
        &self.head
    }

    /// The head.
    #[must_use]
    pub const fn head(&self) -> Head<'a> {
        self.head
    }

    /// The method as it was sent: see [`Head::method`].
    #[must_use]
    pub fn method(&self) -> &'a str {
        self.head.method()
    }

    /// The path as it was sent: see [`Head::path`].
    #[must_use]
    pub const fn path(&self) -> &'a str {
        self.head.path()
    }

    /// What follows the first `?`: see [`Head::query`].
    #[must_use]
    pub fn query(&self) -> Option<&'a str> {
        self.head.query()
    }

    /// The field lines: see [`Head::headers`].
    #[must_use]
    pub const fn headers(&self) -> Headers<'a> {
        self.head.headers()
    }

    /// The value of the first field line with this name: see [`Head::header`].
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.head.header(name)
    }

    /// The [`id`](crate::message::ServerSentEvent::id) of the last server-sent event that the browser got before it reconnected
    /// (WHATWG HTML §9.2.4), if it is UTF-8.
    ///
    /// ```
    /// use coldstart::{Request, TestRequest};
    ///
    /// fn next(request: &Request<'_>) -> String {
    ///     let last = request.last_event_id().and_then(|id| id.parse::<u64>().ok());
    ///     format!("goes on with {}\n", last.map_or(0, |last| last + 1))
    /// }
    ///
    /// assert_eq!(TestRequest::get("/").header("last-event-id", "7").run(next).text(), "goes on with 8\n");
    /// ```
    #[must_use]
    pub fn last_event_id(&self) -> Option<&'a str> {
        self.header("last-event-id")
    }

    /// The complete body, without its transfer coding.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        match self.body {
            RequestBody::Borrowed(body) => body,
            RequestBody::Shared(body) => body,
        }
    }

    pub(crate) fn has_body_over(&self, len_max: u64) -> bool {
        self.body().len() as u64 > len_max
    }

    /// The body, to keep: a large one is shared, a small one is copied.
    #[must_use]
    pub fn body_bytes(&self) -> Bytes {
        match self.body {
            RequestBody::Borrowed(body) => copied(body),
            RequestBody::Shared(body) => body.clone(),
        }
    }

    /// The trailer fields after a chunked body, if there were any (RFC 9112 §7.1.2).
    ///
    /// ```
    /// use coldstart::{Request, TestRequest};
    ///
    /// fn sum(request: &Request<'_>) -> String {
    ///     let trailers = request.trailers();
    ///     let sum = trailers.iter().find(|(name, _)| name.eq_ignore_ascii_case("x-sum"));
    ///     format!("{:?}, {:?}", request.body(), sum.map(|(_, value)| str::from_utf8(value)))
    /// }
    ///
    /// let request = TestRequest::post("/").header("transfer-encoding", "chunked");
    /// let response = request.body("2\r\nab\r\n0\r\nx-sum: 195\r\n\r\n").run(sum);
    /// assert_eq!(response.text(), "[97, 98], Some(Ok(\"195\"))");
    /// ```
    #[must_use]
    pub fn trailers(&self) -> Vec<(&'a str, &'a [u8])> {
        // The section was checked when it arrived; an empty one has no line at all.
        h1::trailer_fields(self.trailers, &HEAD_LIMITS_OPEN).unwrap_or_default()
    }

    pub(crate) const fn trailers_bytes(&self) -> &'a [u8] {
        self.trailers
    }

    /// The address at the other end of the connection: see [`Head::peer_address`].
    #[must_use]
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.head.peer_address()
    }

    /// The value of a segment of the route's pattern: see [`Head::parameter`].
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<Cow<'a, str>> {
        self.head.parameter(name)
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Request")
            .field("head", &self.head)
            .field("body_len", &self.body().len())
            .finish_non_exhaustive()
    }
}

/// RFC 3986 §2.1: each `%` with two hexadecimal digits becomes a byte; any other `%` stays.
pub(crate) fn percent_decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digit = |at: usize| {
            after
                .get(at)
                .and_then(|byte| char::from(*byte).to_digit(16))
        };
        match (*first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(u8::try_from(high * 16 + low).unwrap_or(b'%'));
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    Cow::Owned(
        String::from_utf8(decoded)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    )
}

#[cfg(test)]
mod tests {
    use super::percent_decode;

    #[test]
    fn only_whole_percent_encodings_are_replaced() {
        for (text, decoded) in [
            ("/a", "/a"),
            ("%41%4a", "AJ"),
            ("%C3%A9", "é"),
            ("%ff", "\u{fffd}"),
            ("100%", "100%"),
            ("%4", "%4"),
            ("%zz%20", "%zz "),
            ("%2541", "%41"),
        ] {
            assert_eq!(percent_decode(text), decoded, "{text}");
        }
    }
}
