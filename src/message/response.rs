//! Responses: status, fields and body.

use core::fmt;

use bytes::Bytes;

use crate::h1;
use crate::message::body::{Arriving, Attachment, Body, Content, Piece, PieceSource};
use crate::message::headers::{HeaderName, HeaderValue, InvalidHeader};
use crate::observe::FieldName;

/// The status code of a final response: 200 to 599 (RFC 9110 §15).
///
/// ```
/// use coldstart::{Request, Status, TestRequest};
///
/// fn find(request: &Request<'_>) -> Result<&'static str, Status> {
///     if request.path() == "/there" { Ok("found\n") } else { Err(Status::NOT_FOUND) }
/// }
///
/// let response = TestRequest::get("/elsewhere").run(find);
/// assert_eq!(response.status(), 404);
/// assert_eq!(response.status().reason(), "Not Found");
/// assert_eq!(Status::new(103), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status(u16);

macro_rules! statuses {
    ($($name:ident = $code:literal;)*) => {
        impl Status {
            $(
                #[doc = concat!("Status ", stringify!($code), ".")]
                pub const $name: Self = {
                    // A constant without its phrase does not compile.
                    assert!(!h1::reason_phrase($code).is_empty(), "no reason phrase");
                    Self($code)
                };
            )*
        }
    };
}

statuses! {
    OK = 200;
    CREATED = 201;
    ACCEPTED = 202;
    NON_AUTHORITATIVE_INFORMATION = 203;
    NO_CONTENT = 204;
    RESET_CONTENT = 205;
    PARTIAL_CONTENT = 206;
    MULTI_STATUS = 207;
    MULTIPLE_CHOICES = 300;
    MOVED_PERMANENTLY = 301;
    FOUND = 302;
    SEE_OTHER = 303;
    NOT_MODIFIED = 304;
    TEMPORARY_REDIRECT = 307;
    PERMANENT_REDIRECT = 308;
    BAD_REQUEST = 400;
    UNAUTHORIZED = 401;
    PAYMENT_REQUIRED = 402;
    FORBIDDEN = 403;
    NOT_FOUND = 404;
    METHOD_NOT_ALLOWED = 405;
    NOT_ACCEPTABLE = 406;
    REQUEST_TIMEOUT = 408;
    CONFLICT = 409;
    GONE = 410;
    LENGTH_REQUIRED = 411;
    PRECONDITION_FAILED = 412;
    CONTENT_TOO_LARGE = 413;
    URI_TOO_LONG = 414;
    UNSUPPORTED_MEDIA_TYPE = 415;
    RANGE_NOT_SATISFIABLE = 416;
    EXPECTATION_FAILED = 417;
    MISDIRECTED_REQUEST = 421;
    UNPROCESSABLE_CONTENT = 422;
    TOO_EARLY = 425;
    UPGRADE_REQUIRED = 426;
    PRECONDITION_REQUIRED = 428;
    TOO_MANY_REQUESTS = 429;
    REQUEST_HEADER_FIELDS_TOO_LARGE = 431;
    UNAVAILABLE_FOR_LEGAL_REASONS = 451;
    INTERNAL_SERVER_ERROR = 500;
    NOT_IMPLEMENTED = 501;
    BAD_GATEWAY = 502;
    SERVICE_UNAVAILABLE = 503;
    GATEWAY_TIMEOUT = 504;
    HTTP_VERSION_NOT_SUPPORTED = 505;
    INSUFFICIENT_STORAGE = 507;
    NETWORK_AUTHENTICATION_REQUIRED = 511;
}

impl Status {
    /// The status of an upgrade, which only the server sends.
    pub(crate) const SWITCHING_PROTOCOLS: Self = Self(101);

    /// The status with this code; `None` outside 200 to 599, since a handler cannot send interim responses.
    #[must_use]
    pub const fn new(code: u16) -> Option<Self> {
        if code >= 200 && code <= 599 {
            Some(Self(code))
        } else {
            None
        }
    }

    /// The three digits.
    #[must_use]
    pub const fn code(self) -> u16 {
        self.0
    }

    /// The registered reason phrase; empty for a code that has none.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        h1::reason_phrase(self.0)
    }
}

/// Equal to its code, so that `response.head().status() == 404` reads as it should.
impl PartialEq<u16> for Status {
    fn eq(&self, code: &u16) -> bool {
        self.0 == *code
    }
}

impl fmt::Display for Status {
    /// The three digits.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.0, self.reason())
    }
}

/// A response: status, fields and body. The server sets its framing (`Content-Length`, `Transfer-Encoding`, `Connection`) and
/// its `Date`; a field with such a name is left out and reported.
///
/// ```
/// use coldstart::{Response, Status};
///
/// let response = Response::text("no such page\n")
///     .status(Status::NOT_FOUND)
///     .header("cache-control", "no-store");
/// assert_eq!(response.head().status(), 404);
/// ```
pub struct Response {
    status: Status,
    afterwards: Afterwards,
    /// Most responses have only this field, so it needs no memory of its own.
    content_type: Option<HeaderValue>,
    /// `None` if there are no others: a vector is more work to drop, even an empty one.
    fields: Option<Vec<(HeaderName, HeaderValue)>>,
    body: Body,
}

/// What happens to the connection afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Afterwards {
    Persist,
    Close,
    /// It must not be sent, and its body says why.
    Fail,
}

impl Response {
    /// A response with this status and nothing else.
    #[must_use]
    pub const fn new(status: Status) -> Self {
        Self {
            status,
            afterwards: Afterwards::Persist,
            content_type: None,
            fields: None,
            body: Body::empty(),
        }
    }

    /// 200 with `text/plain; charset=utf-8`.
    #[must_use]
    pub fn text(body: impl Into<Body>) -> Self {
        Self::of_type(
            const { HeaderValue::literal("text/plain; charset=utf-8") },
            body.into(),
        )
    }

    /// 200 with `text/html; charset=utf-8`.
    #[must_use]
    pub fn html(body: impl Into<Body>) -> Self {
        Self::of_type(
            const { HeaderValue::literal("text/html; charset=utf-8") },
            body.into(),
        )
    }

    /// 200 with `application/json`, for a body that is JSON already. With the feature `json`, `Response::json` writes a value.
    #[must_use]
    pub fn json_text(body: impl Into<Body>) -> Self {
        Self::of_type(
            const { HeaderValue::literal("application/json") },
            body.into(),
        )
    }

    /// 200 with `application/octet-stream`.
    #[must_use]
    pub fn bytes(body: impl Into<Body>) -> Self {
        Self::of_type(
            const { HeaderValue::literal("application/octet-stream") },
            body.into(),
        )
    }

    const fn of_type(content_type: HeaderValue, body: Body) -> Self {
        Self {
            status: Status::OK,
            afterwards: Afterwards::Persist,
            content_type: Some(content_type),
            fields: None,
            body,
        }
    }

    /// Sets the status.
    #[must_use]
    pub const fn status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }

    /// Adds a field line; an earlier one with this name stays, except for `Content-Type`.
    ///
    /// A literal needs no check. Text that is only known at run time may have a line end: then the response is not sent, but 500 in
    /// its place, and [`ServerEvent::FieldInvalid`](crate::server::ServerEvent::FieldInvalid) names the field. So no text gets
    /// out of its line.
    ///
    /// ```
    /// use coldstart::{Response, Status, TestRequest};
    ///
    /// let found = TestRequest::get("/?7").run(|request| {
    ///     let place = format!("/things/{}", request.query().unwrap_or_default());
    ///     Response::new(Status::SEE_OTHER).header("location", place)
    /// });
    /// assert_eq!(found.header("location"), Some("/things/7"));
    /// let split = TestRequest::get("/").run(|_| Response::text("").header("x-a", format!("1\r\nx-b: 2")));
    /// assert_eq!((split.status().code(), split.header("x-b")), (500, None));
    /// ```
    #[must_use]
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: Into<InvalidHeader>>,
        V: TryInto<HeaderValue, Error: Into<InvalidHeader>>,
    {
        let Ok(name) = name.try_into() else {
            return self.fail(b"");
        };
        if name.as_str().eq_ignore_ascii_case("content-type") {
            return self.content_type(value);
        }
        match value.try_into() {
            Ok(value) => self.fields.get_or_insert_default().push((name, value)),
            Err(_) => return self.fail(name.as_str().as_bytes()),
        }
        self
    }

    /// Sets a field: earlier lines with this name are replaced.
    ///
    /// ```
    /// use coldstart::Response;
    ///
    /// let response = Response::text("").header("x-a", "1").header("x-a", "2").set_header("x-a", "3");
    /// assert_eq!(response.head().headers().filter(|(name, _)| *name == "x-a").count(), 1);
    /// assert_eq!(response.without_header("X-A").head().header("x-a"), None);
    /// ```
    #[must_use]
    pub fn set_header<N, V>(self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: Into<InvalidHeader>>,
        V: TryInto<HeaderValue, Error: Into<InvalidHeader>>,
    {
        match name.try_into() {
            Ok(name) => self.without_header(name.as_str()).header(name, value),
            Err(_) => self.fail(b""),
        }
    }

    /// Removes all lines of a field.
    #[must_use]
    pub fn without_header(mut self, name: &str) -> Self {
        if name.eq_ignore_ascii_case("content-type") {
            self.content_type = None;
        }
        if let Some(fields) = &mut self.fields {
            fields.retain(|(kept, _)| !kept.as_str().eq_ignore_ascii_case(name));
        }
        self
    }

    /// Sets the `Content-Type`, replacing any earlier one. A value that is not valid is treated as in [`header`](Self::header).
    #[must_use]
    pub fn content_type<V>(mut self, value: V) -> Self
    where
        V: TryInto<HeaderValue, Error: Into<InvalidHeader>>,
    {
        match value.try_into() {
            Ok(value) => self.content_type = Some(value),
            Err(_) => return self.fail(b"Content-Type"),
        }
        self
    }

    /// Adds a field line that is not the content type.
    #[cfg(feature = "http")]
    pub(super) fn put(&mut self, name: HeaderName, value: HeaderValue) {
        self.fields.get_or_insert_default().push((name, value));
    }

    /// See [`content_type`](Self::content_type).
    #[cfg(feature = "http")]
    pub(super) fn put_content_type(&mut self, value: HeaderValue) {
        self.content_type = Some(value);
    }

    /// A field has no valid name, or the field with this name no valid value. The first one counts.
    #[cold]
    #[inline(never)]
    fn fail(mut self, name: &[u8]) -> Self {
        if self.afterwards != Afterwards::Fail {
            self.afterwards = Afterwards::Fail;
            self.body = Body(Content::Arriving(Box::new(Unsendable(FieldName::new(
                name,
            )))));
        }
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Body>) -> Self {
        if self.afterwards != Afterwards::Fail {
            self.body = body.into();
        }
        self
    }

    /// Closes the connection after this response. On the platform that costs the next caller a retry or an error.
    #[must_use]
    pub const fn close(mut self) -> Self {
        if !matches!(self.afterwards, Afterwards::Fail) {
            self.afterwards = Afterwards::Close;
        }
        self
    }

    /// The status and the fields set so far, as they will be sent.
    #[must_use]
    pub const fn head(&self) -> ResponseHead<'_> {
        ResponseHead { response: self }
    }

    /// The body.
    #[must_use]
    pub const fn content(&self) -> &Body {
        &self.body
    }

    pub(crate) fn content_type_bytes(&self) -> Option<&[u8]> {
        self.content_type.as_ref().map(HeaderValue::as_bytes)
    }

    /// The content type and the content of a usual response: a 200 without other fields, whose content is here.
    #[inline]
    pub(crate) fn usual(&self) -> Option<(Option<&[u8]>, &[u8])> {
        let is_usual = self.status == Status::OK
            && self.afterwards == Afterwards::Persist
            && self.fields.is_none();
        match &self.body {
            Body(Content::Whole(content)) if is_usual => Some((self.content_type_bytes(), content)),
            Body(_) => None,
        }
    }

    /// All fields but the content type.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let fields = self.raw_fields().iter();
        fields.map(|(name, value)| (name.as_str(), value.as_bytes()))
    }

    pub(crate) const fn afterwards(&self) -> Afterwards {
        self.afterwards
    }

    /// The response leaves the thread that made it.
    pub(crate) fn hand_over(&self) {
        if let Body(Content::Arriving(body)) = &self.body {
            body.hand_over();
        }
    }

    /// See [`Arriving::take_local`].
    pub(crate) fn take_local(&mut self) -> Option<Box<dyn Arriving>> {
        match &mut self.body {
            Body(Content::Arriving(body)) => body.take_local(),
            Body(Content::Whole(_)) => None,
        }
    }

    /// Drops all that is in it.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.content_type = None;
        self.fields = None;
        self.body = Body::empty();
    }

    pub(crate) const fn body_mut(&mut self) -> &mut Body {
        &mut self.body
    }

    /// The same as they were set.
    pub(crate) fn raw_fields(&self) -> &[(HeaderName, HeaderValue)] {
        self.fields.as_deref().unwrap_or_default()
    }

    /// All fields, the content type included.
    pub(crate) fn into_fields(self) -> Vec<(HeaderName, HeaderValue)> {
        let mut fields = self.fields.unwrap_or_default();
        let content_type = self.content_type;
        fields.extend(content_type.map(|value| (HeaderName::from("Content-Type"), value)));
        fields
    }

    pub(crate) fn take_body(&mut self) -> Body {
        std::mem::take(&mut self.body)
    }
}

/// Reads the status and the fields of a [`Response`], by the names that [`Head`](crate::message::Head) has for a request.
///
/// ```
/// use coldstart::{Response, Status};
///
/// let response = Response::new(Status::FOUND).header("location", "/there");
/// assert_eq!(response.head().status(), Status::FOUND);
/// assert_eq!(response.head().header("Location"), Some("/there"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    response: &'a Response,
}

impl<'a> ResponseHead<'a> {
    /// The status.
    #[must_use]
    pub const fn status(self) -> Status {
        self.response.status
    }

    /// The value of the first field with this name, if it is UTF-8. Names are case-insensitive (RFC 9110 §5.1).
    #[must_use]
    pub fn header(self, name: &str) -> Option<&'a str> {
        core::str::from_utf8(self.header_bytes(name)?).ok()
    }

    /// The value of the first field with this name.
    #[must_use]
    pub fn header_bytes(self, name: &str) -> Option<&'a [u8]> {
        self.headers()
            .find(|field| field.0.eq_ignore_ascii_case(name))
            .map(|field| field.1)
    }

    /// The names and values of all fields.
    pub fn headers(self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let content_type = self.response.content_type_bytes().into_iter();
        content_type
            .map(|value| ("Content-Type", value))
            .chain(self.response.fields())
    }
}

/// In place of the body of a response with a field that is not valid.
struct Unsendable(FieldName);

impl Arriving for Unsendable {
    fn invalid_field(&self) -> Option<FieldName> {
        Some(self.0)
    }

    fn attach(self: Box<Self>, _: Attachment<'_>) -> Box<dyn PieceSource> {
        self
    }
}

impl PieceSource for Unsendable {
    fn next(&mut self, _: &mut usize) -> Piece {
        Piece::Cut
    }
}

impl From<Bytes> for Response {
    fn from(body: Bytes) -> Self {
        Self::bytes(body)
    }
}

impl fmt::Debug for Response {
    /// Field names only: values may be credentials.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.head().headers().map(|field| field.0).collect();
        formatter
            .debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::Afterwards;
    use crate::{Response, Status, TestRequest};

    #[test]
    fn fields_are_added_replaced_and_removed() {
        let response = TestRequest::get("/").run(|_| {
            Response::text("")
                .header("set-cookie", "a=1")
                .header("Set-Cookie", format!("b={}", 2))
                .header("x-a", 1_u32)
                .set_header("X-A", "2")
                .header("x-b", "3")
                .without_header("X-B")
                .set_header("content-type", String::from("text/csv"))
        });
        let cookies: Vec<&str> = response.header_all("SET-COOKIE").collect();
        assert_eq!(cookies, ["a=1", "b=2"]);
        let values: Vec<&str> = response.header_all("x-a").collect();
        assert_eq!(values, ["2"]);
        assert_eq!(response.header("x-b"), None);
        assert_eq!(response.header("content-type"), Some("text/csv"));
        let bare = Response::text("").without_header("Content-Type");
        assert_eq!(bare.head().headers().count(), 0);
    }

    #[test]
    fn an_invalid_field_stays_invalid_whatever_follows() {
        let bad = || String::from("a\r\nb: c");
        for response in [
            Response::text("").header("x-a", bad()),
            Response::text("").header(bad(), "x"),
            Response::text("").set_header(bad(), "x"),
            Response::text("").set_header("x-a", bad()),
            Response::text("").content_type(bad()),
            Response::text("").header("content-type", bad()),
            Response::text("").header("x-a", bad().into_bytes()).close(),
            Response::text("")
                .header("x-a", bad())
                .header("x-b", bad())
                .content_type("text/plain")
                .without_header("content-type")
                .status(Status::CREATED)
                .body("sent all the same"),
        ] {
            assert!(response.afterwards() == Afterwards::Fail);
            let name = response.content().invalid_field().expect("it is invalid");
            assert!(
                ["", "x-a", "Content-Type"].contains(&name.as_str()),
                "{name:?}"
            );
        }
    }
}
