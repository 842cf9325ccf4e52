//! A router whose functions share a value.

use core::fmt;

use crate::handler::outcome::{IntoOutcome, Outcome};
use crate::handler::router::{Router, routes_of_one_method};
use crate::handler::{Accept, Handler, Watch};
use crate::message::incoming::Incoming;
use crate::message::request::{Head, Request};

/// A [`Router`] whose functions get a value beside the request: [`Router::with_state`] makes it. Each call gets a clone, so the
/// value is an [`Arc`](std::sync::Arc), or cheap to clone. It is a handler itself, and converts into a [`Router`].
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// use coldstart::{Router, TestRequest};
///
/// let mut router = Router::new()
///     .with_state(Arc::new(AtomicU32::new(0)))
///     .post("/visits", |_, visits| format!("{}\n", visits.fetch_add(1, Ordering::Relaxed) + 1))
///     .get("/visits", |_, visits| async move { format!("{}\n", visits.load(Ordering::Relaxed)) });
/// assert_eq!(TestRequest::post("/visits").run_handler(&mut router).text(), "1\n");
/// assert_eq!(TestRequest::get("/visits").run_handler(&mut router).text(), "1\n");
/// ```
#[derive(Clone)]
pub struct StateRouter<S> {
    router: Router,
    state: S,
}

impl Router {
    /// From here on, functions get a clone of `state` beside the request.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    ///
    /// use coldstart::Router;
    ///
    /// let notes = Arc::new(Mutex::new(Vec::<String>::new()));
    /// let router = Router::new()
    ///     .get("/healthz", |_| "ok")
    ///     .with_state(notes)
    ///     .get("/notes", |_, notes| notes.lock().map_or_else(|_| String::new(), |notes| notes.join("\n")));
    /// ```
    #[must_use]
    pub fn with_state<S: Clone + Send + Sync + 'static>(self, state: S) -> StateRouter<S> {
        StateRouter {
            router: self,
            state,
        }
    }
}

impl<S: Clone + Send + Sync + 'static> StateRouter<S> {
    routes_of_one_method!((&Request<'_>, S));

    /// Adds a route for all methods that have none of their own, as [`Router::any`].
    #[must_use]
    pub fn any<R: IntoOutcome<Kind>, Kind>(
        self,
        pattern: &str,
        function: impl Fn(&Request<'_>, S) -> R + Send + Sync + 'static,
    ) -> Self {
        let function = self.with_value(function);
        self.map(|router| router.any(pattern, function))
    }

    /// Adds a route, as [`Router::route`].
    #[must_use]
    pub fn route<R: IntoOutcome<Kind>, Kind>(
        self,
        method: &str,
        pattern: &str,
        function: impl Fn(&Request<'_>, S) -> R + Send + Sync + 'static,
    ) -> Self {
        let function = self.with_value(function);
        self.map(|router| router.route(method, pattern, function))
    }

    /// Responds to each request whose path matches no pattern, as [`Router::fallback`].
    #[must_use]
    pub fn fallback<R: IntoOutcome<Kind>, Kind>(
        self,
        function: impl Fn(&Request<'_>, S) -> R + Send + Sync + 'static,
    ) -> Self {
        let function = self.with_value(function);
        self.map(|router| router.fallback(function))
    }

    /// Adds a route whose handler responds to all methods that have none of their own, as [`Router::any_handler`].
    #[must_use]
    pub fn any_handler(
        self,
        pattern: &str,
        handler: impl Handler + Clone + Send + 'static,
    ) -> Self {
        self.map(|router| router.any_handler(pattern, handler))
    }

    /// Has a handler respond to each request whose path matches no pattern, as [`Router::fallback_handler`].
    #[must_use]
    pub fn fallback_handler(self, handler: impl Handler + Clone + Send + 'static) -> Self {
        self.map(|router| router.fallback_handler(handler))
    }

    /// Calls `acceptor` before the body arrives, as [`Router::accept`].
    #[must_use]
    pub fn accept(
        self,
        method: &str,
        pattern: &str,
        acceptor: impl Fn(&Head<'_>, S) -> Accept + Send + Sync + 'static,
    ) -> Self {
        let state = self.state.clone();
        let acceptor = move |head: &Head<'_>| acceptor(head, state.clone());
        self.map(|router| router.accept(method, pattern, acceptor))
    }

    /// Adds a route whose function pulls the body, as [`Router::route_incoming`].
    #[must_use]
    pub fn route_incoming<R: IntoOutcome<Kind> + 'static, Kind: 'static>(
        self,
        method: &str,
        pattern: &str,
        function: impl Fn(&Head<'_>, Incoming, S) -> R + Send + Sync + 'static,
    ) -> Self {
        self.accept(method, pattern, move |head, state| {
            Accept::pull(head, |body| function(head, body, state))
        })
    }

    /// As [`route_incoming`](Self::route_incoming), for POST.
    #[must_use]
    pub fn post_incoming<R: IntoOutcome<Kind> + 'static, Kind: 'static>(
        self,
        pattern: &str,
        function: impl Fn(&Head<'_>, Incoming, S) -> R + Send + Sync + 'static,
    ) -> Self {
        self.route_incoming("POST", pattern, function)
    }

    /// As [`route_incoming`](Self::route_incoming), for PUT.
    #[must_use]
    pub fn put_incoming<R: IntoOutcome<Kind> + 'static, Kind: 'static>(
        self,
        pattern: &str,
        function: impl Fn(&Head<'_>, Incoming, S) -> R + Send + Sync + 'static,
    ) -> Self {
        self.route_incoming("PUT", pattern, function)
    }

    /// Adds the files of a folder, as [`Router::files`].
    #[cfg(feature = "files")]
    #[must_use]
    pub fn files(self, prefix: &str, files: super::Files) -> Self {
        self.map(|router| router.files(prefix, files))
    }

    /// Bounds the body of the route that was added last, as [`Router::body_len_max`].
    #[must_use]
    pub fn body_len_max(self, bytes: u64) -> Self {
        self.map(|router| router.body_len_max(bytes))
    }

    /// The function of the route that was added last does not look at the body, as [`Router::without_body`].
    #[must_use]
    pub fn without_body(self) -> Self {
        self.map(Router::without_body)
    }

    /// Adds all routes of another router under a prefix, as [`Router::nest`]. Its functions keep their own value.
    #[must_use]
    pub fn nest(self, prefix: &str, other: impl Into<Router>) -> Self {
        self.map(|router| router.nest(prefix, other))
    }

    /// Adds all routes of another router, as [`Router::merge`]. Its functions keep their own value.
    #[must_use]
    pub fn merge(self, other: impl Into<Router>) -> Self {
        self.map(|router| router.merge(other))
    }

    fn map(self, change: impl FnOnce(Router) -> Router) -> Self {
        Self {
            router: change(self.router),
            state: self.state,
        }
    }

    fn with_value<R>(
        &self,
        function: impl Fn(&Request<'_>, S) -> R + Send + Sync + 'static,
    ) -> impl Fn(&Request<'_>) -> R + Send + Sync + 'static {
        let state = self.state.clone();
        move |request| function(request, state.clone())
    }
}

impl<S> From<StateRouter<S>> for Router {
    fn from(router: StateRouter<S>) -> Self {
        router.router
    }
}

impl<S> Handler for StateRouter<S> {
    fn accept(&mut self, head: &Head<'_>) -> Accept {
        Handler::accept(&mut self.router, head)
    }

    fn accept_whole(&mut self, request: &Request<'_>) -> Accept {
        self.router.accept_whole(request)
    }

    fn call(&mut self, request: &Request<'_>) -> Outcome {
        self.router.call(request)
    }

    fn before_send(&mut self) {
        self.router.before_send();
    }

    fn has_middleware(&self) -> bool {
        self.router.has_middleware()
    }

    fn on_refused(&mut self, head: &Head<'_>, watch: &mut Watch) {
        self.router.on_refused(head, watch);
    }
}

impl<S> fmt::Debug for StateRouter<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.router.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::handler::Accept;
    use crate::{Handler, Response, Router, TestRequest};

    #[test]
    fn every_function_gets_the_value_of_its_own_router() {
        let inner = Router::new()
            .with_state(1)
            .get("/in", |_, value| value.to_string());
        let mut router = Router::new()
            .get("/none", |_| "none")
            .with_state(Arc::<str>::from("shared"))
            .get("/get", |_, value| value.to_string())
            .any("/any", |_, value| async move { value.to_string() })
            .accept("PUT", "/accept", |_, value| {
                Accept::Respond(Response::text(value.to_string()).into())
            })
            .put_incoming("/pulled", |_, mut body, value| async move {
                let body = body.collect(9).await?;
                Ok::<_, Response>(format!("{value} {}", body.len()))
            })
            .post_incoming("/pulled", |_, _, value| format!("posted {value}"))
            .post("/post", |request, value| {
                format!("{value} {}", request.body().len())
            })
            .body_len_max(2)
            .nest("/nested", inner)
            .merge(
                Router::new()
                    .with_state('m')
                    .get("/merged", |_, value| value.to_string()),
            )
            .fallback(|_, value| format!("no {value}"));
        let mut ask = |method: &str, target: &str, body: &'static str| {
            let request = TestRequest::new(method, target).body(body);
            request.run_handler(&mut router).text()
        };
        assert_eq!(ask("GET", "/none", ""), "none");
        assert_eq!(ask("GET", "/get", ""), "shared");
        assert_eq!(ask("PURGE", "/any", ""), "shared");
        assert_eq!(ask("PUT", "/accept", ""), "shared");
        assert_eq!(ask("PUT", "/pulled", "123"), "shared 3");
        assert_ne!(ask("PUT", "/pulled", "0123456789"), "shared 10");
        assert_eq!(ask("POST", "/pulled", ""), "posted shared");
        assert_eq!(ask("POST", "/post", "12"), "shared 2");
        assert_ne!(ask("POST", "/post", "123"), "shared 3");
        assert_eq!(ask("GET", "/nested/in", ""), "1");
        assert_eq!(ask("GET", "/merged", ""), "m");
        assert_eq!(ask("GET", "/other", ""), "no shared");
    }

    #[test]
    fn it_serves_as_any_handler_does() {
        fn takes(_: impl Handler + Clone + Send + 'static) {}
        takes(Router::new().with_state(1).get("/", |_, _| ""));
    }
}
