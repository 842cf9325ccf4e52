//! Bodies of the http-body crate: ours are such bodies, and such bodies become ours. Feature `http`.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use http_body::SizeHint;

use crate::h1;
use crate::message::body::Body;
use crate::message::http_spare;
use crate::message::incoming::Incoming;
use crate::message::incoming_error::IncomingError;
use crate::message::local::LocalBody;
use crate::message::polled::Frame;
use crate::message::request::HEAD_LIMITS_OPEN;
use crate::message::trailers::Trailers;
use crate::task::places::Place;

/// Read by its frames, the body ends with its trailers, and [`trailers`](Incoming::trailers) has none then.
impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = IncomingError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, IncomingError>>> {
        self.poll_chunk(context).map(|polled| match polled {
            Ok(Some(chunk)) => Some(Ok(http_body::Frame::data(chunk))),
            Ok(None) => {
                let section = self.take_trailers();
                let is_there = !section.is_empty();
                is_there.then(|| fields_of(&section).map(http_body::Frame::trailers))
            }
            Err(error) => Some(Err(error)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        let (least, most) = Self::size_hint(self);
        let mut hint = SizeHint::new();
        hint.set_lower(least);
        if let Some(most) = most {
            hint.set_upper(most);
        }
        hint
    }
}

/// The fields of a trailer section. It was checked when it arrived, but the http crate has bounds of its own.
fn fields_of(section: &[u8]) -> Result<http::HeaderMap, IncomingError> {
    let malformed = IncomingError::Malformed("the trailers are too many or too long");
    let fields = h1::trailer_fields(section, &HEAD_LIMITS_OPEN).unwrap_or_default();
    let mut map = http::HeaderMap::new();
    for (name, value) in fields {
        let name = http::HeaderName::from_bytes(name.as_bytes()).map_err(|_| malformed)?;
        let value = http::HeaderValue::from_bytes(value).map_err(|_| malformed)?;
        map.try_append(name, value).map_err(|_| malformed)?;
    }
    Ok(map)
}

impl Body {
    /// A body of the http-body crate: its data frames are sent as they are, without a copy if they are [`Bytes`], and its trailers as
    /// [`Trailers`]. An error cuts the response, which the peer can tell.
    ///
    /// One that knows its exact length announces it. It is then polled once here, which is usually all of it. Otherwise the body
    /// is polled as that of [`poll_frames`](Self::poll_frames).
    ///
    /// ```
    /// use coldstart::{Body, Response, TestRequest};
    ///
    /// // A `String` is a body of the http-body crate, as is that of a client's response.
    /// let response = TestRequest::get("/").run(|_| Response::text(Body::from_http("hello\n".to_owned())));
    /// assert_eq!(response.text(), "hello\n");
    /// ```
    #[must_use]
    pub fn from_http<B>(body: B) -> Self
    where
        B: http_body::Body + Send + 'static,
    {
        match Begun::new(body) {
            Begun::Whole(bytes) => bytes.into(),
            Begun::Partial(frames, len) => Self::of_frames(frames, len),
        }
    }

    pub(super) fn of_frames<B>(mut frames: Frames<B>, len: Option<u64>) -> Self
    where
        B: http_body::Body + Send + 'static,
    {
        let body = Self::poll_frames(move |context| frames.poll(context));
        match len {
            Some(len) => body.with_len(len),
            None => body,
        }
    }
}

impl LocalBody {
    /// As [`Body::from_http`], of a body that need not be `Send`. One that knows its exact length announces it.
    #[must_use]
    pub fn from_http<B>(body: B) -> Self
    where
        B: http_body::Body + 'static,
    {
        let len = body.size_hint().exact();
        Self::of_frames(Frames::new(body), len)
    }

    pub(super) fn of_frames<B>(mut frames: Frames<B>, len: Option<u64>) -> Self
    where
        B: http_body::Body + 'static,
    {
        let body = Self::poll_frames(move |context| frames.poll(context));
        match len {
            Some(len) => body.with_len(len),
            None => body,
        }
    }
}

/// A body that was polled once, if its length is known.
pub(super) enum Begun<B> {
    Whole(Bytes),
    /// And its length, if it is known.
    Partial(Frames<B>, Option<u64>),
}

impl<B: http_body::Body + 'static> Begun<B> {
    pub(super) fn new(body: B) -> Self {
        let Some(len) = body.size_hint().exact() else {
            return Self::Partial(Frames::new(body), None);
        };
        if len == 0 && body.is_end_stream() {
            return Self::Whole(Bytes::new());
        }
        let mut frames = Frames::new(body);
        // What it waits for, if anything, is asked for again when the body is attached to the loop.
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(first) = frames.poll(&mut context) {
            match first {
                Some(Ok(Frame::Data(bytes)))
                    if bytes.len() as u64 == len && frames.is_end_stream() =>
                {
                    frames.end();
                    return Self::Whole(bytes);
                }
                first => frames.first = Some(first),
            }
        }
        Self::Partial(frames, Some(len))
    }
}

/// A body whose frames become ours.
pub(super) struct Frames<B> {
    /// `None` in it only once it is over.
    body: Place<B>,
    /// What the first poll has yielded.
    first: Option<Option<Result<Frame, Failed>>>,
}

/// Its error says no more than that it is cut.
pub(super) struct Failed;

impl<B: http_body::Body + 'static> Frames<B> {
    pub(super) fn new(body: B) -> Self {
        let mut place = http_spare::place();
        place.set(Some(body));
        Self {
            body: place,
            first: None,
        }
    }

    fn is_end_stream(&self) -> bool {
        let body = self.body.as_ref().as_pin_ref();
        body.is_none_or(|body| body.is_end_stream())
    }

    /// Leaves the memory of a body of which nothing is left to the next one.
    fn end(mut self) {
        self.body.set(None);
        http_spare::keep_place(self.body);
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame, Failed>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(first);
        }
        let Some(body) = self.body.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        body.poll_frame(context)
            .map(|frame| match frame?.map(http_body::Frame::into_data) {
                Err(_) => Some(Err(Failed)),
                Ok(Ok(mut data)) => Some(Ok(Frame::Data(data.copy_to_bytes(data.remaining())))),
                // A kind of frame that this version of the trait does not have would leave a body that is not whole.
                Ok(Err(frame)) => Some(match frame.into_trailers() {
                    Ok(fields) => Ok(Frame::Trailers(fields.into())),
                    Err(_) => Err(Failed),
                }),
            })
    }
}

impl From<http::HeaderMap> for Trailers {
    fn from(fields: http::HeaderMap) -> Self {
        let mut trailers = Self::new();
        let mut name = None;
        for (next, value) in fields {
            name = next.or(name);
            if let Some(name) = &name {
                trailers = trailers.field(name.clone(), value);
            }
        }
        trailers
    }
}
