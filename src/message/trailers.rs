//! Trailer fields of responses (RFC 9110 §6.5): what is known only once the body was sent.

use core::fmt;

use crate::h1::{Connection, Misuse, TrailerUse, encode_trailers, is_trailer_field};
use crate::message::headers::{HeaderName, HeaderValue};

/// Fields that follow the body of a response, such as a checksum of it or how long it took.
///
/// Peers may discard them, and many intermediaries do, so nothing may depend on them (RFC 9110 §6.5.1). They are sent only after a
/// body in chunks, so never with a `Content-Length` or to HTTP/1.0, and only if
///
/// - the request says `TE: trailers` (§10.1.4), or
/// - the response announces them by name in its field `Trailer` (§6.6.2), for what is optional.
///
/// A body gets them where it ends: by [`BodyWriter::finish_with`](crate::message::BodyWriter::finish_with),
/// [`BodySender::finish_with`](crate::message::BodySender::finish_with), or, in place of [`Body::poll_fn`](crate::Body::poll_fn),
/// [`Body::poll_frames`](crate::Body::poll_frames) with [`Frame::Trailers`](crate::message::Frame::Trailers).
///
/// Names that would frame, route or control a message are left out, as are all of them where the framing has no place for them; that
/// is reported as [`ServerEvent::FieldsLeftOut`](crate::server::ServerEvent::FieldsLeftOut).
///
/// ```
/// use coldstart::message::Trailers;
/// use coldstart::{Body, Response, TestRequest};
///
/// let mut response = TestRequest::get("/").header("te", "trailers").run(|_| {
///     let body = Body::writer(async |out| {
///         out.send("hello").await?;
///         out.finish_with(Trailers::new().field("x-letters", 5_u64));
///         Ok(())
///     });
///     Response::text(body).header("trailer", "x-letters")
/// });
/// while response.next_piece().is_some() {}
/// assert_eq!(response.trailer("x-letters"), Some("5"));
/// ```
#[derive(Clone, Default)]
pub struct Trailers {
    fields: Vec<(HeaderName, HeaderValue)>,
}

impl Trailers {
    /// No fields yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { fields: Vec::new() }
    }

    /// Adds a field line.
    #[must_use]
    pub fn field(mut self, name: impl Into<HeaderName>, value: impl Into<HeaderValue>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let fields = self.fields.iter();
        fields.map(|(name, value)| (name.as_str(), value.as_bytes()))
    }
}

impl fmt::Debug for Trailers {
    /// Names only: values may be credentials.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.iter().map(|field| field.0);
        formatter.debug_list().entries(names).finish()
    }
}

/// The end of a body that has trailers.
pub(crate) trait EndWithTrailers {
    /// Writes it. Returns how many of the trailers were left out by a mistake of the handler.
    fn encode(&self, connection: &mut Connection, out: &mut Vec<u8>) -> Result<usize, Misuse>;

    fn trailers(&self) -> &Trailers;
}

/// Trailers that end a body, and the values of the response's `Trailer` fields.
#[derive(Default)]
pub(crate) struct Closing {
    pub(crate) trailers: Trailers,
    pub(crate) names: Vec<HeaderValue>,
}

/// The values of the `Trailer` fields among `fields`.
pub(crate) fn announced(fields: &[(HeaderName, HeaderValue)]) -> Vec<HeaderValue> {
    let fields = fields.iter();
    let fields = fields.filter(|field| is_trailer_field(field.0.as_str()));
    fields.map(|field| field.1.clone()).collect()
}

impl Closing {
    fn has(&self, name: &str) -> bool {
        let values = self.names.iter().map(HeaderValue::as_bytes);
        let mut names = values.flat_map(|value| value.split(|byte| *byte == b','));
        names.any(|announced| announced.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
    }
}

impl EndWithTrailers for Closing {
    fn encode(&self, connection: &mut Connection, out: &mut Vec<u8>) -> Result<usize, Misuse> {
        let place = connection.trailer_use();
        connection.encode_end(out)?;
        let trailers = self.trailers.iter();
        Ok(match place {
            None => trailers.count(),
            Some(TrailerUse::Kept) => encode_trailers(out, trailers, |_| true),
            Some(TrailerUse::Unknown) => encode_trailers(out, trailers, |name| self.has(name)),
        })
    }

    fn trailers(&self) -> &Trailers {
        &self.trailers
    }
}
