//! A route: who responds to its requests, and what becomes of their bodies.

use std::sync::{Arc, PoisonError};

use crate::handler::outcome::{IntoOutcome, Outcome};
use crate::handler::pattern::Parameters;
use crate::handler::{Accept, Handler, Watch};
use crate::message::request::{Head, Request, RequestBody};
use crate::message::response::{Response, Status};
use crate::sync::Mutex;

type RouteFunction = Arc<dyn Fn(&Request<'_>) -> Outcome + Send + Sync>;
pub(super) type Acceptor = Arc<dyn Fn(&Head<'_>) -> Accept + Send + Sync>;

/// Who responds to the requests of a route.
#[derive(Clone)]
pub(super) enum Responder {
    Function(RouteFunction),
    Handler(Mounted),
}

impl Responder {
    pub(super) fn function<R: IntoOutcome<Kind>, Kind>(
        function: impl Fn(&Request<'_>) -> R + Send + Sync + 'static,
    ) -> Self {
        Self::Function(Arc::new(move |request| function(request).into_outcome()))
    }

    pub(super) fn handler(handler: impl Handler + Clone + Send + 'static) -> Self {
        Self::Handler(Mounted(Mutex::new(Box::new(handler))))
    }

    fn call(&mut self, request: &Request<'_>) -> Outcome {
        match self {
            Self::Function(function) => function(request),
            Self::Handler(handler) => handler.get().call(request),
        }
    }
}

/// A handler of which each clone of the router has its own. It is never locked to be called: the lock is what makes a router `Sync`
/// whose handlers are not.
pub(super) struct Mounted(Mutex<Box<dyn Mount>>);

/// A trait object that can be cloned.
trait Mount: Handler + Send {
    fn cloned(&self) -> Box<dyn Mount>;
}

impl<H: Handler + Clone + Send + 'static> Mount for H {
    fn cloned(&self) -> Box<dyn Mount> {
        Box::new(self.clone())
    }
}

impl Mounted {
    fn get(&mut self) -> &mut dyn Mount {
        let handler = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        &mut **handler
    }
}

impl Clone for Mounted {
    fn clone(&self) -> Self {
        let handler = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Self(Mutex::new(handler.cloned()))
    }
}

/// One method of one pattern, or what no pattern matches.
#[derive(Clone)]
pub(super) struct Route {
    /// `None` stands for all methods without a route of their own.
    pub(super) method: Option<Box<str>>,
    pub(super) pattern: Box<str>,
    /// The names of the pattern's parameters, from left to right.
    pub(super) names: Vec<Box<str>>,
    pub(super) responder: Option<Responder>,
    pub(super) acceptor: Option<Acceptor>,
    pub(super) body: RouteBody,
}

/// What a route does with a request's body, unless its acceptor or handler decides otherwise.
#[derive(Clone, Copy)]
pub(super) enum RouteBody {
    /// It is buffered, up to the server's bound.
    Buffered,
    /// It is buffered, up to this many bytes.
    UpTo(u64),
    /// The function does not look at it.
    Discarded,
}

impl Route {
    /// What no pattern matches.
    pub(super) fn fallback(responder: Responder) -> Self {
        Self {
            method: None,
            pattern: "".into(),
            names: Vec::new(),
            responder: Some(responder),
            acceptor: None,
            body: RouteBody::Buffered,
        }
    }

    pub(super) const fn has_handler(&self) -> bool {
        matches!(self.responder, Some(Responder::Handler(_)))
    }

    /// As [`Handler::accept`].
    pub(super) fn accept<'p>(
        &'p mut self,
        head: &Head<'_>,
        parameters: &mut Parameters<'p>,
    ) -> Accept {
        let named = parameters.named(&self.names);
        let head = head.with_parameters(&named);
        let accept = match (&self.acceptor, &mut self.responder) {
            (Some(acceptor), _) => acceptor(&head),
            (None, Some(Responder::Handler(handler))) => handler.get().accept(&head),
            (None, Some(Responder::Function(_)) | None) => Accept::Buffer,
        };
        self.bound(accept)
    }

    /// As [`Handler::accept_whole`]; `None` if the head has to be accepted first.
    pub(super) fn accept_whole<'p>(
        &'p mut self,
        request: &Request<'_>,
        parameters: &mut Parameters<'p>,
    ) -> Option<Accept> {
        if self.acceptor.is_some() {
            return None;
        }
        let request = match self.body {
            RouteBody::UpTo(len_max) if request.has_body_over(len_max) => return None,
            RouteBody::Buffered | RouteBody::UpTo(_) => *request,
            RouteBody::Discarded => request.with_body(RequestBody::Borrowed(&[]), &[]),
        };
        let named = parameters.named(&self.names);
        let request = request.with_parameters(&named);
        let accept = match self.responder.as_mut()? {
            Responder::Function(function) => Accept::Respond(function(&request)),
            Responder::Handler(handler) => handler.get().accept_whole(&request),
        };
        Some(self.bound(accept))
    }

    /// As [`Handler::call`].
    pub(super) fn call<'p>(
        &'p mut self,
        request: &Request<'_>,
        parameters: &mut Parameters<'p>,
    ) -> Outcome {
        let named = parameters.named(&self.names);
        match &mut self.responder {
            Some(responder) => responder.call(&request.with_parameters(&named)),
            None => page(Status::BAD_REQUEST).into(),
        }
    }

    /// What its acceptor or its handler has decided, within the route's own bound.
    fn bound(&self, accept: Accept) -> Accept {
        match accept {
            Accept::Buffer | Accept::BufferUpTo(_) if self.responder.is_none() => {
                Accept::Respond(page(Status::INTERNAL_SERVER_ERROR).into())
            }
            Accept::Buffer => match self.body {
                RouteBody::Buffered => Accept::Buffer,
                RouteBody::UpTo(len_max) => Accept::BufferUpTo(len_max),
                RouteBody::Discarded => Accept::Discard,
            },
            Accept::Pull(pulled) => Accept::Pull(match self.body {
                RouteBody::Buffered => pulled,
                RouteBody::UpTo(len_max) => pulled.body_len_max(len_max),
                RouteBody::Discarded => pulled.body_len_max(0),
            }),
            Accept::Watched(watched) => watched.map(|accept| self.bound(accept)),
            Accept::BufferUpTo(_)
            | Accept::Discard
            | Accept::Stream(_)
            | Accept::Upgrade(_)
            | Accept::Respond(_) => accept,
        }
    }

    /// As [`Handler::on_refused`].
    pub(super) fn on_refused<'p>(
        &'p mut self,
        head: &Head<'_>,
        parameters: &mut Parameters<'p>,
        watch: &mut Watch,
    ) {
        if let Some(Responder::Handler(handler)) = &mut self.responder {
            let named = parameters.named(&self.names);
            handler
                .get()
                .on_refused(&head.with_parameters(&named), watch);
        }
    }

    /// As [`Handler::before_send`].
    pub(super) fn before_send(&mut self) {
        if let Some(Responder::Handler(handler)) = &mut self.responder {
            handler.get().before_send();
        }
    }
}

pub(super) fn page(status: Status) -> Response {
    Response::text(format!("{}\n", status.reason())).status(status)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use crate::handler::{Outcome, incoming};
    use crate::message::IncomingError;
    use crate::{Handler, Request, Response, Router, Status, TestRequest};

    /// Counts its calls, each clone for itself, and the calls before responses are sent, for all of them.
    #[derive(Clone, Default)]
    struct Counting {
        calls: usize,
        sends: Arc<AtomicUsize>,
    }

    impl Handler for Counting {
        fn call(&mut self, request: &Request<'_>) -> Outcome {
            self.calls += 1;
            let name = request.parameter("name").unwrap_or_default();
            let len = request.body().len();
            Response::text(format!("{name} {} {len}", self.calls)).into()
        }

        fn before_send(&mut self) {
            self.sends.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn post(router: &mut impl Handler, target: &str, body: &'static str) -> (u16, String) {
        let response = TestRequest::post(target).body(body).run_handler(router);
        (response.status().code(), response.text())
    }

    fn ok(text: &str) -> (u16, String) {
        (200, text.to_owned())
    }

    #[test]
    fn a_handler_takes_what_no_route_does_and_each_clone_of_the_router_has_its_own() {
        let mut router = Router::new()
            .get("/page", |_| "page")
            .any_handler("/of/{name}", Counting::default())
            .fallback_handler(Counting::default());
        assert_eq!(post(&mut router, "/page", "").0, 405);
        assert_eq!(post(&mut router, "/other", "12"), ok(" 1 2"));
        assert_eq!(post(&mut router, "/of/a", "1"), ok("a 1 1"));
        let mut other = router.clone().with_state(());
        for (router, expected) in [
            (&mut router as &mut dyn Handler, " 2 0"),
            (&mut other, " 2 0"),
        ] {
            let response = TestRequest::post("/other").run_handler(&mut *router);
            assert_eq!(response.text(), expected);
        }
        assert_eq!(post(&mut router, "/of/b", ""), ok("b 2 0"));
    }

    #[test]
    fn a_handler_knows_when_responses_are_sent() {
        let handler = Counting::default();
        let sends = || handler.sends.swap(0, Ordering::Relaxed);
        let inner = || Router::new().fallback_handler(handler.clone());
        for (mut router, expected) in [
            (Router::new().get("/", |_| ""), 0),
            (inner(), 1),
            (Router::new().merge(inner()), 1),
            // What is under the prefix, and the prefix.
            (Router::new().nest("/in", inner()), 2),
            (Router::new().any_handler("/", handler.clone()), 1),
        ] {
            router.before_send();
            assert_eq!(sends(), expected);
            router.with_state(()).before_send();
            assert_eq!(sends(), expected);
        }
    }

    #[test]
    fn a_fallback_is_bounded_as_a_route_is() {
        let function = |request: &Request<'_>| format!("{}", request.body().len());
        let pulling = incoming(|_, mut body| async move {
            let body = body.collect(9).await?;
            Ok::<_, IncomingError>(body.len().to_string())
        });
        for fallback in [
            Router::new().post("/page", function).fallback(function),
            Router::new()
                .post("/page", function)
                .fallback_handler(pulling),
        ] {
            let mut bounded = fallback.clone().body_len_max(2);
            assert_eq!(post(&mut bounded, "/other", "12"), ok("2"));
            assert_eq!(post(&mut bounded, "/other", "123").0, 413);
            assert_eq!(post(&mut bounded, "/page", "123"), ok("3"));
            let mut nested = Router::new().nest("/in", bounded.clone());
            assert_eq!(post(&mut nested, "/in/other", "12"), ok("2"));
            assert_eq!(post(&mut nested, "/in/other", "123").0, 413);
            let merged = Router::new().merge(fallback).get("/", |_| Status::OK);
            let mut merged = merged.body_len_max(2);
            assert_eq!(post(&mut merged, "/other", "123"), ok("3"));
        }
        let mut blind = Router::new().fallback(function).without_body();
        assert_eq!(post(&mut blind, "/other", "123"), ok("0"));
    }
}
