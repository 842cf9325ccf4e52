//! Interim responses (RFC 9110 §15.2): what a handler sends before its response.

use core::fmt;
use std::cell::RefCell;
use std::rc::Rc;

use crate::current_request::CurrentRequest;
use crate::h1::encode_early_hints;
use crate::message::headers::{HeaderName, HeaderValue, InvalidHeader};
use crate::sync::notify::Notify;
use crate::sync::oneshot::Polled;

use super::outcome::{Awaited, Ending, Eventual, IntoOutcome, Outcome, Pending, PollParked, Wire};

/// Interim responses that wait to be sent; more are left out.
const INTERIM_MAX: usize = 16;

/// Sends interim responses, for the future of [`Outcome::informed`].
///
/// ```
/// use coldstart::handler::{Informer, Outcome};
/// use coldstart::message::InvalidHeader;
/// use coldstart::{Response, TestRequest};
///
/// async fn page(informer: Informer) -> Response {
///     let preload = |path: &str| ("link", format!("<{path}>; rel=preload; as=script"));
///     // Text that is only known at run time may not be valid: then nothing is sent.
///     assert_eq!(informer.early_hints([preload("/a\r\nb.js")]), Err(InvalidHeader::Value));
///     assert_eq!(informer.early_hints([preload("/a.js"), preload("/b.js")]), Ok(()));
///     Response::html("<script src=/a.js></script><script src=/b.js></script>")
/// }
///
/// assert_eq!(TestRequest::get("/").run(|_| Outcome::informed(page)).status(), 200);
/// ```
#[derive(Clone, Default)]
pub struct Informer(Rc<RefCell<Vec<Interim>>>);

enum Interim {
    Continue,
    EarlyHints(Vec<(HeaderName, HeaderValue)>),
}

impl Outcome {
    /// As [`future`](Self::future), of code that can send interim responses before its response: `103 Early Hints` (RFC 8297),
    /// so that a browser fetches what a page needs while the page is made, and `100 Continue`.
    ///
    /// They are sent when the future waits, or is ready. A peer that speaks HTTP/1.0 gets none (RFC 9110 §15.2), and neither
    /// does anything on a [pool](crate::handler::Blocking).
    ///
    /// ```
    /// use coldstart::handler::Outcome;
    /// use coldstart::message::InvalidHeader;
    /// use coldstart::{Response, Router, Status, TestRequest};
    ///
    /// let mut router = Router::new().get("/", |_| {
    ///     Outcome::informed(async |informer| {
    ///         informer.early_hints([("link", "</style.css>; rel=preload; as=style")]).map_err(|_| Status::BAD_REQUEST)?;
    ///         // Here it waits for what the page shows.
    ///         Ok::<_, Status>(Response::html("<link rel=stylesheet href=/style.css>"))
    ///     })
    /// });
    /// assert_eq!(TestRequest::get("/").run_handler(&mut router).status(), 200);
    /// ```
    #[must_use]
    pub fn informed<F>(run: impl FnOnce(Informer) -> F) -> Self
    where
        F: Future<Output: IntoOutcome> + 'static,
    {
        let informer = Informer::default();
        let mut outcome = Self::future(run(informer.clone()));
        if informer.is_empty() && !outcome.is_future() {
            return outcome;
        }
        let ready = |pending| Source::Ready(Some(Box::new(pending)));
        let response = match outcome.eventual {
            Eventual::Response(response) => ready(Pending::Response(response)),
            Eventual::Awaited(Some(Awaited::Promise(promise))) => ready(Pending::Promise(promise)),
            Eventual::Awaited(Some(Awaited::Future(future))) => Source::Parked(future),
            Eventual::Awaited(None) => return outcome,
        };
        outcome.eventual = Eventual::Awaited(Some(Awaited::Future(Box::new(Informed {
            response,
            informer,
        }))));
        outcome
    }
}

impl Informer {
    /// Sends `103 Early Hints` with these fields: usually `Link`. Those that frame a message or concern the connection are left out.
    /// At most 16 interim responses wait to be sent; more are left out as well.
    ///
    /// # Errors
    ///
    /// A name or a value is not valid (RFC 9110 §5.1, §5.5): nothing is sent.
    pub fn early_hints<N, V>(
        &self,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<(), InvalidHeader>
    where
        N: TryInto<HeaderName, Error: Into<InvalidHeader>>,
        V: TryInto<HeaderValue, Error: Into<InvalidHeader>>,
    {
        let checked = fields.into_iter().map(|(name, value)| {
            let name = name.try_into().map_err(Into::into)?;
            Ok::<_, InvalidHeader>((name, value.try_into().map_err(Into::into)?))
        });
        self.push(Interim::EarlyHints(checked.collect::<Result<_, _>>()?));
        Ok(())
    }

    /// Sends `100 Continue` to a peer that waits for it (RFC 9110 §10.1.1), before the body is asked for.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use coldstart::handler::{Accept, Outcome};
    /// use coldstart::{Response, Router, TestRequest, sleep};
    ///
    /// let mut router = Router::new().accept("PUT", "/photo", |head| {
    ///     Accept::pull(head, |mut body| {
    ///         Outcome::informed(async move |informer| {
    ///             informer.proceed();
    ///             // The peer sends the body, while this gets ready for it.
    ///             sleep(Duration::from_millis(1)).await;
    ///             body.collect(1024).await.map(Response::bytes)
    ///         })
    ///     })
    /// });
    /// assert_eq!(TestRequest::new("PUT", "/photo").body("abc").run_handler(&mut router).text(), "abc");
    /// ```
    pub fn proceed(&self) {
        self.push(Interim::Continue);
    }

    fn push(&self, interim: Interim) {
        let mut waiting = self.0.borrow_mut();
        if waiting.len() < INTERIM_MAX {
            waiting.push(interim);
        }
    }

    fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Encodes what waits, or drops it.
    fn send(&self, wire: Option<Wire<'_>>) {
        let waiting = self.0.take();
        let Some(Wire {
            connection, out, ..
        }) = wire
        else {
            return;
        };
        for interim in waiting {
            match interim {
                Interim::Continue => connection.encode_continue(out),
                Interim::EarlyHints(fields) if connection.takes_interim() => {
                    let fields = fields.iter();
                    let fields = fields.map(|(name, value)| (name.as_str(), value.as_bytes()));
                    encode_early_hints(out, fields);
                }
                Interim::EarlyHints(_) => {}
            }
        }
    }
}

impl fmt::Debug for Informer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Informer").finish_non_exhaustive()
    }
}

/// A future that sends interim responses.
struct Informed {
    response: Source,
    informer: Informer,
}

enum Source {
    /// It was ready at once; `None` once it is taken.
    Ready(Option<Box<Pending>>),
    Parked(Box<dyn PollParked>),
}

impl PollParked for Informed {
    fn attach(&mut self, notify: Notify) -> bool {
        match &mut self.response {
            Source::Ready(_) => true,
            Source::Parked(future) => future.attach(notify),
        }
    }

    fn poll(&mut self, polls_left: &mut usize, mut wire: Option<Wire<'_>>) -> Polled<Pending> {
        let polled = match &mut self.response {
            Source::Ready(response) => match response.take() {
                Some(pending) => Polled::Filled(*pending),
                None => Polled::Pending,
            },
            Source::Parked(future) => future.poll(polls_left, wire.as_mut().map(Wire::reborrow)),
        };
        self.informer.send(wire);
        polled
    }

    fn at_end(&mut self, note: fn(&CurrentRequest, Ending)) {
        match &mut self.response {
            Source::Ready(_) => note(&CurrentRequest::current(), Ending::Regular),
            Source::Parked(future) => future.at_end(note),
        }
    }
}
