//! Requests that are kept: with a copy of the head, they outlive the buffers that they were read into.

use core::fmt;
use std::net::SocketAddr;
use std::sync::OnceLock;

use bytes::Bytes;

use crate::h1::{HeadIndex, HeadView};

use crate::os::PeerAddress;

use super::request::{HEAD_LIMITS_OPEN, Head, Request, RequestBody, RouteParameters};

/// A request that owns its bytes, made by [`Request::to_owned`]. It moves to any thread.
///
/// ```
/// use coldstart::handler::Outcome;
/// use coldstart::{Request, Router, TestRequest};
///
/// fn greet(request: &Request<'_>) -> Outcome {
///     let (outcome, reply) = Outcome::promised();
///     let request = request.to_owned();
///     std::thread::spawn(move || {
///         let name = request.as_request().parameter("name").unwrap_or_default().into_owned();
///         reply.complete(format!("hello, {name}\n"));
///     });
///     outcome
/// }
///
/// let mut router = Router::new().get("/{name}", greet);
/// assert_eq!(TestRequest::get("/you").run_handler(&mut router).text(), "hello, you\n");
/// ```
#[derive(Clone)]
pub struct OwnedRequest {
    head: Bytes,
    index: Box<HeadIndex>,
    body: Bytes,
    trailers: Box<[u8]>,
    parameters: RouteParameters<'static>,
    peer: Option<SocketAddr>,
}

impl Request<'_> {
    /// The request in memory of its own: the head is copied once, a large body is shared, a small one is copied. The peer's address
    /// is asked for, which is a system call.
    #[must_use]
    pub fn to_owned(&self) -> OwnedRequest {
        let head = self.head_by_reference();
        OwnedRequest {
            head: Bytes::copy_from_slice(head.as_bytes()),
            index: Box::new(head.view().index().clone()),
            body: self.body_bytes(),
            trailers: self.trailers_bytes().into(),
            parameters: head.parameters().to_owned(),
            peer: head.peer_address(),
        }
    }
}

impl OwnedRequest {
    /// Borrows the request, to read it.
    #[must_use]
    pub fn as_request(&self) -> Request<'_> {
        let peer = self.peer.as_ref();
        let peer = peer.map_or(PeerAddress::Unknown, PeerAddress::Known);
        let head = Head::new(HeadView::new(&self.head, &self.index), peer);
        let body = RequestBody::Shared(&self.body);
        Request::new(head, body, &self.trailers).with_parameters(&self.parameters)
    }

    /// The bytes of its parts as they were sent.
    pub(crate) fn len(&self) -> usize {
        let parts = [self.head.len(), self.body.len(), self.trailers.len()];
        parts.into_iter().fold(0, usize::saturating_add)
    }
}

/// A head that owns its bytes, without the parameters of a route. What is where in it is found when it is read first.
#[derive(Clone)]
pub(crate) struct OwnedHead {
    /// Shared with its clones, and with a request of the http crate that was made of it.
    bytes: Bytes,
    index: OnceLock<HeadIndex>,
}

impl OwnedHead {
    /// A head that was parsed before.
    pub(crate) const fn new(bytes: Bytes) -> Self {
        let index = OnceLock::new();
        Self { bytes, index }
    }

    #[cfg(feature = "http")]
    pub(super) const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(super) fn view(&self) -> HeadView<'_> {
        let index = self.index.get_or_init(|| {
            let mut index = HeadIndex::default();
            let is_indexed = index.index_again(&self.bytes, &HEAD_LIMITS_OPEN);
            debug_assert!(is_indexed, "a head that parsed once parses again");
            index
        });
        HeadView::new(&self.bytes, index)
    }

    /// The head, to read it.
    pub(crate) fn as_head(&self) -> Head<'_> {
        Head::new(self.view(), PeerAddress::Unknown)
    }
}

impl fmt::Debug for OwnedRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_request().fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::OwnedRequest;
    use crate::{Response, Router, TestRequest};

    #[test]
    fn an_owned_request_has_everything_that_the_borrowed_one_has() {
        fn assert_kept(kept: &OwnedRequest) {
            let request = kept.as_request();
            assert_eq!(
                (request.method(), request.path()),
                ("POST", "/things/a%20b")
            );
            assert_eq!(request.head().query(), Some("c=d"));
            assert_eq!(request.parameter("id").as_deref(), Some("a b"));
            assert_eq!(request.header("x-a"), Some("1"));
            assert_eq!(request.body(), b"abc");
            assert_eq!(request.trailers(), [("sum", &b"9"[..])]);
            assert_eq!(request.peer_address(), Some(([192, 0, 2, 1], 9).into()));
        }
        let mut router = Router::new().post("/things/{id}", |request| {
            let kept = request.to_owned();
            assert_kept(&kept);
            let again = kept.as_request().to_owned();
            std::thread::scope(|scope| {
                scope.spawn(move || assert_kept(&again));
            });
            assert_eq!(format!("{kept:?}"), format!("{request:?}"));
            Response::text("kept")
        });
        let response = TestRequest::post("/things/a%20b?c=d")
            .header("X-A", "1")
            .peer_address(([192, 0, 2, 1], 9).into())
            .header("Transfer-Encoding", "chunked")
            .body("3\r\nabc\r\n0\r\nsum: 9\r\n\r\n")
            .run_handler(&mut router);
        assert_eq!(response.text(), "kept");
    }
}
