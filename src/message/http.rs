//! Conversions from and to the types of the http crate. Feature `http`.
//!
//! The head of a request is copied once, and the values of its fields are slices of the copy. The fields of a response and the
//! bodies of both are moved.

use core::fmt;

use bytes::Bytes;

use crate::h1::{HeadView, Version};
use crate::message::body::Body;
use crate::message::headers::{HeaderName, HeaderValue, Text, Value};
use crate::message::http_body::{Begun, Frames};
use crate::message::http_spare;
use crate::message::incoming::Incoming;
use crate::message::local::LocalBody;
use crate::message::owned::OwnedHead;
use crate::message::request::{Head, Request};
use crate::message::response::{Afterwards, Response, Status};

impl Head<'_> {
    /// The head as the http crate has it, with this body. The target keeps its form (RFC 9112 §3.2), so a URI has an authority only
    /// if the target has one, which then is the field `Host` as well (§3.2.2).
    ///
    /// # Errors
    ///
    /// The target is not a URI, or a field is too long for the http crate: the peer's mistake, for a 400.
    ///
    /// ```
    /// use coldstart::{Request, Response, Status, TestRequest};
    ///
    /// fn agent(request: &Request<'_>) -> Response {
    ///     let Ok(head) = request.head().to_http(()) else {
    ///         return Response::new(Status::BAD_REQUEST);
    ///     };
    ///     let agent = head.headers().get(http::header::USER_AGENT);
    ///     Response::text(format!("{} {agent:?}", head.uri().path()))
    /// }
    ///
    /// let response = TestRequest::get("/a?b").header("user-agent", "c").run(agent);
    /// assert_eq!(response.text(), "/a Some(\"c\")");
    /// ```
    pub fn to_http<B>(&self, body: B) -> Result<http::Request<B>, http::Error> {
        self.to_http_and_owned(body).map(|(request, _)| request)
    }

    /// The same, and the head to keep: both of one copy.
    pub(crate) fn to_http_and_owned<B>(
        self,
        body: B,
    ) -> Result<(http::Request<B>, OwnedHead), http::Error> {
        let bytes = http_spare::copy(self.as_bytes());
        let request = http_of(HeadView::new(&bytes, self.view().index()), &bytes, body)?;
        Ok((request, OwnedHead::new(bytes)))
    }
}

impl OwnedHead {
    /// As [`Head::to_http`], of the copy that is here already.
    pub(crate) fn to_http<B>(&self, body: B) -> Result<http::Request<B>, http::Error> {
        http_of(self.view(), self.bytes(), body)
    }
}

/// The head in these bytes as the http crate has it.
fn http_of<B>(view: HeadView<'_>, bytes: &Bytes, body: B) -> Result<http::Request<B>, http::Error> {
    let slice = |part: &[u8]| bytes.slice_ref(part);
    let fields = view.raw_fields();
    let mut headers = http_spare::fields(fields.len())?;
    for field in fields {
        let name = http::HeaderName::from_bytes(field.name())?;
        let value = http::HeaderValue::from_maybe_shared(slice(field.value()))?;
        headers.try_append(name, value)?;
    }
    if let Some(authority) = view.authority() {
        // RFC 9112 §3.2.2: what the target says replaces the field.
        let host = http::HeaderValue::from_maybe_shared(slice(authority.as_bytes()))?;
        headers.insert(http::header::HOST, host);
    }
    let mut request = http::Request::new(body);
    *request.method_mut() = http::Method::from_bytes(view.method().as_bytes())?;
    *request.uri_mut() = http::Uri::from_maybe_shared(slice(view.target().as_bytes()))?;
    *request.version_mut() = match view.version() {
        Version::Http10 => http::Version::HTTP_10,
        Version::Http11 => http::Version::HTTP_11,
    };
    *request.headers_mut() = headers;
    Ok(request)
}

impl Request<'_> {
    /// The request as the http crate has it. Its body is [an `http_body::Body`](Incoming) with the trailers; a large one is shared, a
    /// small one is copied.
    ///
    /// ```
    /// use coldstart::TestRequest;
    ///
    /// let response = TestRequest::get("/a?b").header("x-c", "d").run(|request| {
    ///     let Ok(request) = request.to_http() else {
    ///         return "no request of the http crate\n".to_owned();
    ///     };
    ///     format!("{} {:?}\n", request.uri(), request.headers().get("x-c"))
    /// });
    /// assert_eq!(response.text(), "/a?b Some(\"d\")\n");
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Head::to_http`].
    pub fn to_http(&self) -> Result<http::Request<Incoming>, http::Error> {
        self.head().to_http(Incoming::from(self))
    }
}

impl Response {
    /// The response of the http crate. Its body is as [`Body::from_http`] makes it.
    ///
    /// The server frames the message, so of the fields that do,
    ///
    /// - `Content-Length` announces the length of a body whose length is not known, or that is left out for HEAD; one that
    ///   contradicts the length of a body is left out and reported as
    ///   [`ServerEvent::FieldsLeftOut`](crate::server::ServerEvent::FieldsLeftOut);
    /// - `Connection: close` becomes [`close`](Self::close);
    /// - `Trailer` has the body sent in chunks, so that its trailers have a place;
    /// - all others are left out and reported, as is `Date`.
    ///
    /// # Errors
    ///
    /// The status is not one of a final response: below 200, or above 599.
    ///
    /// ```
    /// use coldstart::{Response, TestRequest};
    ///
    /// let response = TestRequest::get("/").run(|_| {
    ///     let response = http::Response::builder().status(201).header("x-a", "b");
    ///     Response::from_http(response.body("made\n".to_owned()).expect("valid parts")).expect("a final status")
    /// });
    /// assert_eq!((response.status().code(), response.header("x-a")), (201, Some("b")));
    /// assert_eq!(response.text(), "made\n");
    /// ```
    pub fn from_http<B>(response: http::Response<B>) -> Result<Self, InvalidStatus>
    where
        B: http_body::Body + Send + 'static,
    {
        Self::of_parts(response, Body::of_frames)
    }

    /// The same of a body that stays on this thread.
    pub(crate) fn from_http_here<B>(response: http::Response<B>) -> Result<Self, InvalidStatus>
    where
        B: http_body::Body + 'static,
    {
        let keep = |frames, len| LocalBody::of_frames(frames, len).into_body();
        Self::of_parts(response, keep)
    }

    fn of_parts<B: http_body::Body + 'static>(
        response: http::Response<B>,
        arriving: impl FnOnce(Frames<B>, Option<u64>) -> Body,
    ) -> Result<Self, InvalidStatus> {
        let (parts, body) = response.into_parts();
        let mut made = Self::new(parts.status.try_into()?);
        let mut fields = parts.headers;
        let (mut name, mut lengths, mut has_trailers) = (None, Lengths::None, false);
        for (next, value) in fields.drain() {
            name = next.or(name);
            let Some(name) = &name else { continue };
            if name == http::header::CONTENT_LENGTH {
                lengths = lengths.and(value);
                continue;
            }
            if name == http::header::CONNECTION {
                if has_token(value.as_bytes(), "close") {
                    made = made.close();
                }
                continue;
            }
            has_trailers |= name == http::header::TRAILER;
            made.add_http(name, value);
        }
        http_spare::keep_fields(fields);
        let announced = lengths.announced();
        let body = if has_trailers {
            arriving(Frames::new(body), None)
        } else {
            match (body.size_hint().exact(), announced) {
                (Some(0), Some(len @ 1..)) => Body::absent(len),
                _ => match Begun::new(body) {
                    Begun::Whole(bytes) => bytes.into(),
                    Begun::Partial(frames, len) => arriving(frames, len.or(announced)),
                },
            }
        };
        made = made.body(body);
        if announced != made.content().len() {
            // The encoder leaves them out, and counts them.
            for value in lengths.values() {
                made.add_http(&http::header::CONTENT_LENGTH, value.clone());
            }
        }
        Ok(made)
    }

    /// The response as the http crate has it. Its body stays ours: only the server can send one that is in a file, or arrives
    /// piece by piece.
    ///
    /// # Errors
    ///
    /// A field is not valid, or too long for the http crate.
    ///
    /// ```
    /// use coldstart::Response;
    ///
    /// # fn main() -> Result<(), http::Error> {
    /// let response = Response::text("hello").header("x-a", "b").into_http()?;
    /// assert_eq!(response.headers()["x-a"], "b");
    /// assert_eq!(response.body().as_bytes(), Some(&b"hello"[..]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_http(mut self) -> Result<http::Response<Body>, http::Error> {
        let mut response = http::Response::new(self.take_body());
        *response.status_mut() = self.head().status().into();
        let headers = response.headers_mut();
        if let Some(value) = self.content_type_bytes() {
            let value = http::HeaderValue::from_bytes(value)?;
            headers.insert(http::header::CONTENT_TYPE, value);
        }
        for (name, value) in self.raw_fields() {
            headers.try_append(name.to_http()?, value.to_http()?)?;
        }
        match self.afterwards() {
            Afterwards::Persist => {}
            Afterwards::Close => {
                let close = http::HeaderValue::from_static("close");
                headers.insert(http::header::CONNECTION, close);
            }
            // The value itself is gone; this is the error that it would have had.
            Afterwards::Fail => drop(http::HeaderValue::from_bytes(b"\n")?),
        }
        Ok(response)
    }
}

/// The values of the field Content-Length.
enum Lengths {
    None,
    One(http::HeaderValue),
    Several(Vec<http::HeaderValue>),
}

impl Lengths {
    fn and(self, value: http::HeaderValue) -> Self {
        match self {
            Self::None => Self::One(value),
            Self::One(first) => Self::Several(vec![first, value]),
            Self::Several(mut values) => {
                values.push(value);
                Self::Several(values)
            }
        }
    }

    fn values(&self) -> &[http::HeaderValue] {
        match self {
            Self::None => &[],
            Self::One(value) => core::slice::from_ref(value),
            Self::Several(values) => values,
        }
    }

    /// The announced length, unless it is missing, no number, or contradicts itself.
    fn announced(&self) -> Option<u64> {
        let (first, others) = self.values().split_first()?;
        let is_number = first.as_bytes().iter().all(u8::is_ascii_digit);
        if !is_number || others.iter().any(|other| other != first) {
            return None;
        }
        first.to_str().ok()?.parse().ok()
    }
}

fn has_token(list: &[u8], token: &str) -> bool {
    let mut parts = list.split(|byte| *byte == b',');
    parts.any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

impl Response {
    /// Adds a field line as [`header`](Self::header) does. Those of the http crate are valid already.
    fn add_http(&mut self, name: &http::HeaderName, value: http::HeaderValue) {
        if name == http::header::CONTENT_TYPE {
            self.put_content_type(value.into());
        } else {
            self.put(name.clone().into(), value.into());
        }
    }
}

impl HeaderName {
    fn to_http(&self) -> Result<http::HeaderName, http::Error> {
        match &self.0 {
            Text::Http(name) => Ok(name.clone()),
            Text::Written(_) | Text::Parsed(_) => {
                Ok(http::HeaderName::from_bytes(self.as_str().as_bytes())?)
            }
        }
    }
}

impl HeaderValue {
    fn to_http(&self) -> Result<http::HeaderValue, http::Error> {
        match &self.0 {
            Value::Http(value) => Ok(value.clone()),
            Value::Own(bytes) => Ok(http::HeaderValue::from_maybe_shared(bytes.clone())?),
        }
    }
}

/// Names of the http crate are tokens already.
impl From<http::HeaderName> for HeaderName {
    fn from(name: http::HeaderName) -> Self {
        Self(Text::Http(name))
    }
}

/// Values of the http crate have no control bytes already.
impl From<http::HeaderValue> for HeaderValue {
    fn from(value: http::HeaderValue) -> Self {
        Self(Value::Http(value))
    }
}

impl From<Status> for http::StatusCode {
    fn from(status: Status) -> Self {
        // The http crate takes each code from 100 to 999.
        Self::from_u16(status.code()).unwrap_or(Self::INTERNAL_SERVER_ERROR)
    }
}

impl TryFrom<http::StatusCode> for Status {
    type Error = InvalidStatus;

    fn try_from(status: http::StatusCode) -> Result<Self, InvalidStatus> {
        Self::new(status.as_u16()).ok_or(InvalidStatus(status))
    }
}

/// A status that is not one of a final response, which is 200 to 599 (RFC 9110 §15).
///
/// ```
/// use coldstart::Status;
/// use coldstart::message::InvalidStatus;
///
/// assert_eq!(Status::try_from(http::StatusCode::NOT_FOUND), Ok(Status::NOT_FOUND));
/// let refused: Result<Status, InvalidStatus> = http::StatusCode::EARLY_HINTS.try_into();
/// assert_eq!(refused.map_err(|error| error.to_string()), Err("103 is not the status of a final response".to_owned()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidStatus(http::StatusCode);

impl InvalidStatus {
    /// The status.
    #[must_use]
    pub const fn status(self) -> http::StatusCode {
        self.0
    }
}

impl fmt::Display for InvalidStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} is not the status of a final response",
            self.0.as_u16()
        )
    }
}

impl core::error::Error for InvalidStatus {}
