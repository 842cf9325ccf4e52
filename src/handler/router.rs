//! Dispatches by method and path.

use core::fmt;
use std::sync::Arc;

use crate::h1::is_token;
use crate::handler::outcome::{IntoOutcome, Outcome};
use crate::handler::pattern::{Parameters, PatternTree, parameter_names};
use crate::handler::route::{Acceptor, Responder, Route, RouteBody, page};
use crate::handler::{Accept, Handler, Watch, accept_then_call};
use crate::message::request::{Head, Request};
use crate::message::response::{Response, Status};

/// What [`Router::any`] adds to `Allow`: the methods that clients use (RFC 9110 §9.3, RFC 5789).
const USUAL_METHODS: [&str; 7] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];

/// Sends each request to the function for its method and path.
///
/// A pattern is a path whose segments are exact (`/things`), a parameter (`/things/{id}`: one segment, not empty) or, as
/// the last one, a rest (`/files/{*path}`: everything that follows, slashes included, or nothing). If several patterns match,
/// the first segment in which they differ decides: exact before parameter before rest, whatever the order in which they were
/// added. The pattern that is found is the resource; the method is looked at after that.
///
/// | the request | the response |
/// | --- | --- |
/// | no pattern matches | the [`fallback`](Self::fallback); without one 404, or 501 if no route has its method |
/// | a pattern matches, not for its method | 405 with `Allow` (RFC 9110 §15.5.6) |
/// | HEAD, without a route of its own | the response to GET; the server leaves out its body |
/// | OPTIONS, without a route of its own | 204 with `Allow`; for `*` with the methods of all routes (RFC 9110 §9.3.7) |
///
/// The router's own responses are sent before the body is read. Paths are compared as they were sent, and a segment with a
/// `%` also percent-decoded (RFC 3986 §2.1): write `/café`, not `/caf%C3%A9`. `%2F` never separates segments, `..` is a segment
/// like any other, and a slash at the end is significant.
///
/// ```
/// use coldstart::{Response, Router};
///
/// let router = Router::new()
///     .get("/hello", |_| Response::text("Hello, World!"))
///     .get("/things/{id}", |request| {
///         Response::text(request.parameter("id").unwrap_or_default().into_owned())
///     })
///     .post("/things", |request| Response::bytes(request.body_bytes()))
///     .body_len_max(64 * 1024);
/// ```
#[derive(Clone, Default)]
pub struct Router {
    routes: Vec<Route>,
    patterns: PatternTree,
    /// Of all routes: a path that no pattern matches must not cost a walk over them.
    methods: Methods,
    /// Which route was added last.
    last: Last,
    fallback: Option<Route>,
    /// Whether a route has a handler, which is asked before responses are sent.
    has_handlers: bool,
}

/// The route that was added last.
#[derive(Clone, Copy, Default)]
enum Last {
    #[default]
    None,
    Route(usize),
    Fallback,
}

/// The methods that add a route for one method of HTTP, for functions with these arguments.
macro_rules! routes_of_one_method {
    ($arguments:tt) => {
        routes_of_one_method! {
            $arguments
            get "GET";
            post "POST";
            put "PUT";
            patch "PATCH";
            delete "DELETE";
        }
    };
    ($arguments:tt $($name:ident $method:literal;)*) => {$(
        #[doc = concat!("Adds a route for ", $method, ".")]
        ///
        /// # Panics
        ///
        /// As [`route`](Self::route).
        #[must_use]
        pub fn $name<R: IntoOutcome<Kind>, Kind>(
            self,
            pattern: &str,
            function: impl Fn $arguments -> R + Send + Sync + 'static,
        ) -> Self {
            self.route($method, pattern, function)
        }
    )*};
}
pub(super) use routes_of_one_method;

impl Router {
    /// A router without routes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    routes_of_one_method!((&Request<'_>));

    /// Adds a route for all methods that have none of their own for this pattern, OPTIONS included.
    ///
    /// ```
    /// use coldstart::{Router, TestRequest};
    ///
    /// let mut router = Router::new()
    ///     .get("/things", |_| "all things\n")
    ///     .any("/things", |request| format!("{} is for later\n", request.method()));
    /// assert_eq!(TestRequest::get("/things").run_handler(&mut router).text(), "all things\n");
    /// assert_eq!(TestRequest::new("PATCH", "/things").run_handler(&mut router).text(), "PATCH is for later\n");
    /// ```
    ///
    /// # Panics
    ///
    /// As [`route`](Self::route).
    #[must_use]
    pub fn any<R: IntoOutcome<Kind>, Kind>(
        mut self,
        pattern: &str,
        function: impl Fn(&Request<'_>) -> R + Send + Sync + 'static,
    ) -> Self {
        self.add_responder(None, pattern, Responder::function(function));
        self
    }

    /// As [`any`](Self::any), with a [`Handler`]; see [`fallback_handler`](Self::fallback_handler).
    ///
    /// ```
    /// use coldstart::handler::Next;
    /// use coldstart::{Handler, Response, Router, TestRequest};
    ///
    /// let admin = Router::new()
    ///     .get("/admin/{page}", |request| format!("{}\n", request.path()))
    ///     .with(|_| Next::on_response(|response: Response| response.header("cache-control", "no-store")));
    /// let mut router = Router::new().get("/", |_| "hello\n").any_handler("/admin/{*rest}", admin);
    /// let response = TestRequest::get("/admin/users").run_handler(&mut router);
    /// assert_eq!(response.header("cache-control"), Some("no-store"));
    /// assert_eq!(response.text(), "/admin/users\n");
    /// ```
    ///
    /// # Panics
    ///
    /// As [`route`](Self::route).
    #[must_use]
    pub fn any_handler(
        mut self,
        pattern: &str,
        handler: impl Handler + Clone + Send + 'static,
    ) -> Self {
        self.add_responder(None, pattern, Responder::handler(handler));
        self
    }

    /// Adds a route for `method`; methods are case-sensitive (RFC 9110 §9.1).
    ///
    /// ```
    /// use coldstart::{Router, TestRequest};
    ///
    /// let mut router = Router::new().route("PROPFIND", "/{*path}", |_| "no properties\n");
    /// assert_eq!(TestRequest::new("PROPFIND", "/a/b").run_handler(&mut router).text(), "no properties\n");
    /// ```
    ///
    /// # Panics
    ///
    /// On a mistake in the program: a method that is not a token, or a usual one in lower case; a pattern that does not begin with
    /// a slash, or that has a query, a brace other than around a whole segment, a parameter without a name or with the name of
    /// another one, more than 8 parameters, or segments after a rest; a parameter as other routers spell it (`:id`, `*rest`,
    /// `{id:[0-9]+}`, `<id>`); a method and pattern that already have a function. Patterns that differ only in the names of their
    /// parameters are the same.
    #[must_use]
    pub fn route<R: IntoOutcome<Kind>, Kind>(
        mut self,
        method: &str,
        pattern: &str,
        function: impl Fn(&Request<'_>) -> R + Send + Sync + 'static,
    ) -> Self {
        self.add_responder(Some(method), pattern, Responder::function(function));
        self
    }

    /// Calls `acceptor` for each request for `method` and `pattern` before its body arrives, like [`Handler::accept`]: to
    /// stream the body, to leave HTTP, or to respond early. It sees the parameters too.
    ///
    /// The method and pattern may also have a function, which is called when `acceptor` decides to buffer the body, or to
    /// upgrade a request that does not offer it. Without a function, the first is a mistake in the program and gets 500, the
    /// second is the peer's mistake and gets 400.
    ///
    /// ```
    /// use coldstart::handler::Accept;
    /// use coldstart::{Response, Router, Status, TestRequest};
    ///
    /// let mut router = Router::new()
    ///     .put("/users/{name}", |request| format!("{} bytes\n", request.body().len()))
    ///     .accept("PUT", "/users/{name}", |head| match head.parameter("name").as_deref() {
    ///         // Before the body is sent, if the peer waits for `100 Continue`.
    ///         Some("root") => Accept::Respond(Response::new(Status::FORBIDDEN).into()),
    ///         _ => Accept::Buffer,
    ///     });
    /// let mut status = |target| TestRequest::new("PUT", target).body("abc").run_handler(&mut router).status().code();
    /// assert_eq!((status("/users/root"), status("/users/you")), (403, 200));
    /// ```
    ///
    /// # Panics
    ///
    /// As [`route`](Self::route), and if the method and pattern already have an acceptor.
    #[must_use]
    pub fn accept(
        mut self,
        method: &str,
        pattern: &str,
        acceptor: impl Fn(&Head<'_>) -> Accept + Send + Sync + 'static,
    ) -> Self {
        self.add_acceptor(Some(method), pattern, Arc::new(acceptor));
        self
    }

    /// Bounds the body of the route that was added last, in place of
    /// [`Limits::body_len_max`](crate::server::Limits::body_len_max); a larger body is refused with 413. A bound from the route's
    /// acceptor overrides this one.
    ///
    /// ```
    /// use coldstart::{Router, TestRequest};
    ///
    /// let mut router = Router::new()
    ///     .post("/photos", |request| format!("{} bytes\n", request.body().len()))
    ///     .body_len_max(5 * 1024 * 1024)
    ///     .post("/notes", |request| request.body_bytes())
    ///     .body_len_max(4);
    /// assert_eq!(TestRequest::post("/photos").body([0; 9]).run_handler(&mut router).text(), "9 bytes\n");
    /// assert_eq!(TestRequest::post("/notes").body("bread").run_handler(&mut router).status(), 413);
    /// ```
    ///
    /// # Panics
    ///
    /// No route has been added yet: a mistake in the program.
    #[must_use]
    pub fn body_len_max(mut self, bytes: u64) -> Self {
        self.set_body("body_len_max", RouteBody::UpTo(bytes));
        self
    }

    /// The function of the route that was added last does not look at the request's body: it is called as soon as the head has
    /// arrived, as if there were no body, and what arrives of one is discarded. So no peer can make the server hold it.
    ///
    /// ```
    /// use coldstart::{Router, TestRequest};
    ///
    /// let mut router = Router::new().any("/ping", |request| format!("{} bytes\n", request.body().len())).without_body();
    /// assert_eq!(TestRequest::post("/ping").body("abc").run_handler(&mut router).text(), "0 bytes\n");
    /// ```
    ///
    /// # Panics
    ///
    /// As [`body_len_max`](Self::body_len_max).
    #[must_use]
    pub fn without_body(mut self) -> Self {
        self.set_body("without_body", RouteBody::Discarded);
        self
    }

    fn set_body(&mut self, caller: &str, body: RouteBody) {
        let last = match self.last {
            Last::None => None,
            Last::Route(place) => self.routes.get_mut(place),
            Last::Fallback => self.fallback.as_mut(),
        };
        assert!(
            last.is_some(),
            "{caller} has no route before it: add the route first"
        );
        if let Some(route) = last {
            route.body = body;
        }
    }

    /// Adds a route for each request whose path matches no pattern, in place of 404 and 501. [`body_len_max`](Self::body_len_max)
    /// and [`without_body`](Self::without_body) after it are its own.
    ///
    /// ```
    /// use coldstart::{Response, Router, Status, TestRequest};
    ///
    /// let mut router = Router::new()
    ///     .get("/", |_| "hello\n")
    ///     .fallback(|_| Response::html("<h1>Nothing here</h1>").status(Status::NOT_FOUND))
    ///     .without_body();
    /// let response = TestRequest::post("/lost").body("abc").run_handler(&mut router);
    /// assert_eq!((response.status().code(), response.text().as_str()), (404, "<h1>Nothing here</h1>"));
    /// ```
    #[must_use]
    pub fn fallback<R: IntoOutcome<Kind>, Kind>(
        mut self,
        function: impl Fn(&Request<'_>) -> R + Send + Sync + 'static,
    ) -> Self {
        self.set_fallback(Route::fallback(Responder::function(function)));
        self
    }

    /// As [`fallback`](Self::fallback), with a [`Handler`]: one that pulls bodies, such as a gateway, a router with middleware, or an
    /// application of another kind. Each clone of the router has a clone of it. A response in place of the handler's is
    /// the router's [`failure`](Handler::failure).
    ///
    /// ```
    /// use coldstart::handler::incoming;
    /// use coldstart::message::IncomingError;
    /// use coldstart::{Router, TestRequest};
    ///
    /// let count = incoming(|_, mut body| async move {
    ///     let mut len = 0;
    ///     while let Some(chunk) = body.chunk().await? {
    ///         len += chunk.len();
    ///     }
    ///     Ok::<_, IncomingError>(format!("{len} bytes\n"))
    /// });
    /// let mut router = Router::new().get("/healthz", |_| "ok\n").fallback_handler(count);
    /// let request = TestRequest::post("/elsewhere").body("abc");
    /// assert_eq!(request.run_handler(&mut router).text(), "3 bytes\n");
    /// ```
    #[must_use]
    pub fn fallback_handler(mut self, handler: impl Handler + Clone + Send + 'static) -> Self {
        self.set_fallback(Route::fallback(Responder::handler(handler)));
        self
    }

    /// Adds all routes of another router, under a prefix: `nest("/api", users)` makes `/api/users` of its `/users`, and `/api`
    /// of its `/`. The prefix may have parameters. Functions see the whole path. A fallback of the other router responds to what
    /// is under the prefix, the prefix itself included, and matches no route.
    ///
    /// ```
    /// use coldstart::{Router, TestRequest};
    ///
    /// let users = Router::new()
    ///     .get("/", |_| "all users\n")
    ///     .get("/{id}", |request| format!("user {}\n", request.parameter("id").unwrap_or_default()));
    /// let mut router = Router::new().nest("/api/users", users);
    /// assert_eq!(TestRequest::get("/api/users").run_handler(&mut router).text(), "all users\n");
    /// assert_eq!(TestRequest::get("/api/users/7").run_handler(&mut router).text(), "user 7\n");
    /// ```
    ///
    /// # Panics
    ///
    /// As [`route`](Self::route), and if the prefix is empty or ends with a slash: [`merge`](Self::merge) adds routes without
    /// a prefix.
    #[must_use]
    pub fn nest(mut self, prefix: &str, other: impl Into<Self>) -> Self {
        assert!(
            prefix.starts_with('/') && !prefix.ends_with('/'),
            "the prefix {prefix:?} does not begin with a slash, or ends with one"
        );
        let other = other.into();
        for route in other.routes {
            let pattern = match &*route.pattern {
                "/" => prefix.to_owned(),
                pattern => format!("{prefix}{pattern}"),
            };
            self.add_route(&pattern, route);
        }
        if let Some(fallback) = other.fallback {
            self.fall_back_under(prefix, &fallback);
        }
        self
    }

    /// Adds all routes of another router, and its fallback if it has one.
    ///
    /// ```
    /// use coldstart::{Router, TestRequest};
    ///
    /// let health = Router::new().get("/healthz", |_| "ok\n");
    /// let mut router = Router::new().get("/", |_| "hello\n").merge(health);
    /// assert_eq!(TestRequest::get("/healthz").run_handler(&mut router).text(), "ok\n");
    /// ```
    ///
    /// # Panics
    ///
    /// As [`route`](Self::route), and if both have a fallback.
    #[must_use]
    pub fn merge(mut self, other: impl Into<Self>) -> Self {
        let other = other.into();
        for route in other.routes {
            let pattern = route.pattern.clone();
            self.add_route(&pattern, route);
        }
        assert!(
            self.fallback.is_none() || other.fallback.is_none(),
            "both routers have a fallback: leave one of them out"
        );
        if let Some(fallback) = other.fallback {
            self.set_fallback(fallback);
        }
        self
    }

    fn set_fallback(&mut self, fallback: Route) {
        self.has_handlers |= fallback.has_handler();
        self.fallback = Some(fallback);
        self.last = Last::Fallback;
    }

    /// Adds what a route of another router has.
    fn add_route(&mut self, pattern: &str, route: Route) {
        let method = route.method.as_deref();
        if let Some(responder) = route.responder {
            self.add_responder(method, pattern, responder);
        }
        if let Some(acceptor) = route.acceptor {
            self.add_acceptor(method, pattern, acceptor);
        }
        self.set_body("a route", route.body);
    }

    /// Adds a route for what is under the prefix and has no resource of its own.
    fn fall_back_under(&mut self, prefix: &str, fallback: &Route) {
        for pattern in [prefix.to_owned(), format!("{prefix}/{{*rest}}")] {
            let segments = pattern.split('/').skip(1);
            if self.patterns.insert(segments).is_empty() {
                self.add_route(&pattern, fallback.clone());
            }
        }
    }

    fn add_responder(&mut self, method: Option<&str>, pattern: &str, responder: Responder) {
        self.has_handlers |= matches!(responder, Responder::Handler(_));
        let earlier = self.add(method, pattern).responder.replace(responder);
        assert!(
            earlier.is_none(),
            "{method:?} {pattern:?} already has a handler"
        );
    }

    fn add_acceptor(&mut self, method: Option<&str>, pattern: &str, acceptor: Acceptor) {
        let earlier = self.add(method, pattern).acceptor.replace(acceptor);
        assert!(
            earlier.is_none(),
            "{method:?} {pattern:?} already has an acceptor"
        );
    }

    /// The route of this method and pattern; a new one unless it exists with only the other half, acceptor or function.
    fn add(&mut self, method: Option<&str>, pattern: &str) -> &mut Route {
        assert!(
            method.is_none_or(|name| is_token(name.as_bytes())),
            "{method:?} is not a method"
        );
        assert!(
            method.is_none_or(|name| !is_usual_in_lower_case(name)),
            "{method:?} has lower-case letters, and methods are case-sensitive (RFC 9110 §9.1)"
        );
        let names = parameter_names(pattern);
        let resource = self.patterns.insert(pattern.split('/').skip(1));
        let known = resource
            .iter()
            .find(|place| self.routes[**place].method.as_deref() == method);
        let place = known.copied().unwrap_or(self.routes.len());
        if known.is_none() {
            resource.push(place);
            self.methods.add(method);
            self.routes.push(Route {
                method: method.map(Box::from),
                pattern: pattern.into(),
                names: names.clone(),
                responder: None,
                acceptor: None,
                body: RouteBody::Buffered,
            });
        }
        self.last = Last::Route(place);
        let route = &mut self.routes[place];
        assert!(
            route.names == names,
            "{pattern:?} is {:?} under other names",
            route.pattern
        );
        route
    }

    fn find<'p>(&mut self, head: Head<'p>, parameters: &mut Parameters<'p>) -> Found<'_> {
        let method = head.method();
        if method == "OPTIONS" && head.path() == "*" {
            return Found::Router(with_allow(Status::NO_CONTENT, &self.methods));
        }
        let path = head.path().strip_prefix('/');
        let Some(resource) = path.and_then(|rest| self.patterns.find(Some(rest), parameters))
        else {
            return match &mut self.fallback {
                Some(route) => Found::Route(route),
                None if self.methods.knows(method) => Found::Router(page(Status::NOT_FOUND)),
                None => Found::Router(page(Status::NOT_IMPLEMENTED)),
            };
        };
        let method_of = |place: usize| self.routes[place].method.as_deref();
        let of = |wanted: Option<&str>| {
            let mut places = resource.iter().copied();
            places.find(|place| method_of(*place) == wanted)
        };
        let place = of(Some(method))
            .or_else(|| of(Some("GET")).filter(|_| method == "HEAD"))
            .or_else(|| of(None));
        let status = match place {
            Some(place) => return Found::Route(&mut self.routes[place]),
            None if method == "OPTIONS" => Status::NO_CONTENT,
            None => Status::METHOD_NOT_ALLOWED,
        };
        let mut methods = Methods::default();
        for place in resource {
            methods.add(method_of(*place));
        }
        Found::Router(with_allow(status, &methods))
    }
}

impl Handler for Router {
    fn accept(&mut self, head: &Head<'_>) -> Accept {
        let mut parameters = Parameters::default();
        match self.find(*head, &mut parameters) {
            Found::Route(route) => route.accept(head, &mut parameters),
            Found::Router(response) => Accept::Respond(response.into()),
        }
    }

    fn accept_whole(&mut self, request: &Request<'_>) -> Accept {
        let mut parameters = Parameters::default();
        let accept = match self.find(request.head(), &mut parameters) {
            Found::Route(route) => route.accept_whole(request, &mut parameters),
            Found::Router(response) => return Accept::Respond(response.into()),
        };
        accept.unwrap_or_else(|| accept_then_call(self, request))
    }

    fn call(&mut self, request: &Request<'_>) -> Outcome {
        let mut parameters = Parameters::default();
        match self.find(request.head(), &mut parameters) {
            Found::Route(route) => route.call(request, &mut parameters),
            Found::Router(response) => response.into(),
        }
    }

    fn before_send(&mut self) {
        if self.has_handlers {
            let routes = self.routes.iter_mut().chain(&mut self.fallback);
            routes.for_each(Route::before_send);
        }
    }

    fn on_refused(&mut self, head: &Head<'_>, watch: &mut Watch) {
        let mut parameters = Parameters::default();
        if let Found::Route(route) = self.find(*head, &mut parameters) {
            route.on_refused(head, &mut parameters, watch);
        }
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns = self.routes.iter().map(|route| &route.pattern);
        formatter.debug_list().entries(patterns).finish()
    }
}

/// Who responds to a request.
enum Found<'r> {
    Route(&'r mut Route),
    Router(Response),
}

/// The methods of some routes.
#[derive(Clone, Default)]
struct Methods {
    /// Each method once, sorted.
    named: Vec<Box<str>>,
    /// Whether a route takes every method.
    has_any: bool,
}

impl Methods {
    /// Adds the method of a route; `None` stands for all.
    fn add(&mut self, method: Option<&str>) {
        let Some(method) = method else {
            self.has_any = true;
            return;
        };
        for method in [method]
            .into_iter()
            .chain((method == "GET").then_some("HEAD"))
        {
            if let Err(place) = self.place_of(method) {
                self.named.insert(place, method.into());
            }
        }
    }

    fn place_of(&self, method: &str) -> Result<usize, usize> {
        self.named.binary_search_by(|name| (**name).cmp(method))
    }

    /// Whether some path has this method. OPTIONS is the router's own.
    fn knows(&self, method: &str) -> bool {
        self.has_any || method == "OPTIONS" || self.place_of(method).is_ok()
    }

    /// The value of `Allow`.
    fn list(&self) -> String {
        let mut methods: Vec<&str> = self.named.iter().map(|name| &**name).collect();
        methods.push("OPTIONS");
        if self.has_any {
            methods.extend(USUAL_METHODS);
        }
        methods.sort_unstable();
        methods.dedup();
        methods.join(", ")
    }
}

/// Such a method is legal, and no client sends it.
fn is_usual_in_lower_case(method: &str) -> bool {
    let is_usual = |usual: &&str| usual.eq_ignore_ascii_case(method) && *usual != method;
    USUAL_METHODS.iter().any(is_usual)
}

fn with_allow(status: Status, methods: &Methods) -> Response {
    Response::new(status).header("Allow", methods.list())
}

#[cfg(test)]
mod tests {
    use super::Router;
    use crate::handler::{Accept, Demand, IntoResponse as _, Outcome, Upgrade, Upload};
    use crate::message::Head;
    use crate::testing::TestResponse;
    use crate::{Handler, Request, Response, Status, TestRequest};

    fn ask(router: &Router, method: &str, target: &str) -> TestResponse {
        TestRequest::new(method, target).run_handler(&mut router.clone())
    }

    /// The text of the response to GET, or its status if that is not 200.
    fn get(router: &Router, target: &str) -> String {
        let response = ask(router, "GET", target);
        match response.status().code() {
            200 => response.text(),
            status => status.to_string(),
        }
    }

    /// A route's response: its pattern and the values of the parameters with these names.
    fn show(pattern: &'static str) -> impl Fn(&Request<'_>) -> Response + Send + Sync + 'static {
        move |request| {
            let mut text = String::from(pattern);
            for name in ["a", "b", "rest"] {
                if let Some(value) = request.parameter(name) {
                    text.push_str(&format!(" {name}={value}"));
                }
            }
            Response::text(text)
        }
    }

    const PATTERNS: [&str; 9] = [
        "/",
        "/things",
        "/things/new",
        "/things/{a}",
        "/things/{a}/parts/{b}",
        "/things/new/parts/first",
        "/{a}/edit",
        "/files/{*rest}",
        "/files/index",
    ];

    #[test]
    fn the_most_specific_pattern_wins_in_any_order() {
        for turn in 0..PATTERNS.len() {
            let patterns = (0..PATTERNS.len()).map(|place| PATTERNS[(place + turn) % 9]);
            let router = patterns.fold(Router::new(), |router, pattern| {
                router.get(pattern, show(pattern))
            });
            for (target, expected) in [
                ("/", "/"),
                ("/?things", "/"),
                ("http://host", "/"),
                ("http://host/things?x", "/things"),
                ("/things/new", "/things/new"),
                ("/things/7", "/things/{a} a=7"),
                ("/things/edit", "/things/{a} a=edit"),
                ("/other/edit", "/{a}/edit a=other"),
                ("/things/new/parts/first", "/things/new/parts/first"),
                // The exact branch ends early; the walk steps back to the parameter.
                ("/things/new/parts/2", "/things/{a}/parts/{b} a=new b=2"),
                ("/files/index", "/files/index"),
                ("/files/a/b//c/", "/files/{*rest} rest=a/b//c/"),
                ("/files/", "/files/{*rest} rest="),
                ("/files", "404"),
                ("/things/", "404"),
                ("/things/7/", "404"),
                ("//things", "404"),
                ("/things/7/parts", "404"),
                ("/none", "404"),
            ] {
                assert_eq!(get(&router, target), expected, "{target} in turn {turn}");
            }
        }
    }

    #[test]
    fn percent_encodings_are_replaced_where_they_must_be() {
        let router = Router::new()
            .get("/café/{a}", show("café"))
            .get("/a b", show("a b"))
            .get("/..", show("dots"))
            .get("/100%", show("100%"))
            .get("/raw/%41", show("as sent"))
            .get("/raw/A", show("replaced"));
        for (target, expected) in [
            ("/caf%C3%A9/x%2Fy%20z", "café a=x/y z"),
            ("/caf%c3%a9/%ff", "café a=\u{fffd}"),
            ("/a%20b", "a b"),
            ("/100%", "100%"),
            ("/100%25", "100%"),
            ("/raw/%41", "as sent"),
            ("/raw/A", "replaced"),
            ("/raw%2FA", "404"),
            ("/a%2520b", "404"),
            ("/..", "dots"),
            ("/raw/../..", "404"),
        ] {
            assert_eq!(get(&router, target), expected, "{target}");
        }
    }

    #[test]
    fn a_method_without_a_route_is_told_which_there_are() {
        let router = Router::new()
            .get("/page", show("page"))
            .put("/page", show("put"))
            .route("PURGE", "/cache", show("purge"))
            .post("/things/{a}", show("post"))
            .get("/things/new", show("new"));
        let verdict = |method: &str, target: &str| {
            let response = ask(&router, method, target);
            let allow = response.header("allow").unwrap_or_default().to_owned();
            (response.status().code(), allow)
        };
        let known = |status: u16, allow: &str| (status, allow.to_owned());
        assert_eq!(
            verdict("DELETE", "/page"),
            known(405, "GET, HEAD, OPTIONS, PUT")
        );
        assert_eq!(
            verdict("get", "/page"),
            known(405, "GET, HEAD, OPTIONS, PUT")
        );
        assert_eq!(verdict("GET", "/cache"), known(405, "OPTIONS, PURGE"));
        assert_eq!(
            verdict("POST", "/things/new"),
            known(405, "GET, HEAD, OPTIONS"),
            "the resource is found first"
        );
        assert_eq!(verdict("OPTIONS", "/things/7"), known(204, "OPTIONS, POST"));
        let all = "GET, HEAD, OPTIONS, POST, PURGE, PUT";
        assert_eq!(verdict("OPTIONS", "*"), known(204, all));
        assert_eq!(verdict("OPTIONS", "/none"), known(404, ""));
        assert_eq!(verdict("HEAD", "/none"), known(404, ""));
        assert_eq!(verdict("PURGE", "/none"), known(404, ""));
        assert_eq!(verdict("BREW", "/none"), known(501, ""));
        assert_eq!(verdict("CONNECT", "page:80"), known(501, ""));
    }

    #[test]
    fn a_get_route_also_handles_head_and_an_any_route_the_other_methods() {
        let method = |request: &Request<'_>| Response::text(request.method().to_owned());
        let router = Router::new()
            .any("/echo", |_| Response::text("any"))
            .get("/echo", method)
            .route("HEAD", "/own", |_| Response::text("own"))
            .get("/own", method);
        for (asked, target, expected) in [
            ("HEAD", "/echo", "HEAD"),
            ("OPTIONS", "/echo", "any"),
            ("BREW", "/echo", "any"),
            ("HEAD", "/own", "own"),
        ] {
            let text = ask(&router, asked, target).text();
            assert_eq!(text, expected, "{asked} {target}");
        }
        assert_eq!(
            ask(&router, "OPTIONS", "*").header("allow"),
            Some("DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT")
        );
        assert_eq!(ask(&router, "BREW", "/none").status(), 404);
    }

    #[test]
    fn a_path_without_a_pattern_costs_no_more_with_more_routes() {
        let routed = |count: usize| {
            (0..count).fold(Router::new(), |router, number| {
                let path = format!("/{number}");
                router.get(&path, show("")).route("PURGE", &path, show(""))
            })
        };
        let (few, many) = (routed(1), routed(1_000));
        assert_eq!(many.routes.len(), 2_000);
        assert_eq!(many.methods.named, few.methods.named);
        for router in [few, many] {
            for (method, status) in [
                ("HEAD", 404),
                ("PURGE", 404),
                ("OPTIONS", 404),
                ("PUT", 501),
            ] {
                assert_eq!(ask(&router, method, "/none").status(), status, "{method}");
            }
            let response = ask(&router, "OPTIONS", "*");
            assert_eq!(response.header("allow"), Some("GET, HEAD, OPTIONS, PURGE"));
        }
    }

    #[test]
    fn a_fallback_takes_what_no_pattern_does() {
        let router = Router::new()
            .get("/page", show("page"))
            .fallback(|request| Response::bytes(request.body_bytes()).status(Status::GONE));
        let post = |target: &str| {
            let request = TestRequest::post(target).body("body");
            request.run_handler(&mut router.clone())
        };
        assert_eq!(post("/none").text(), "body");
        assert_eq!(post("/none").status(), 410);
        assert_eq!(post("/page").status(), 405);
    }

    #[test]
    fn a_response_of_the_routers_own_does_not_wait_for_the_body() {
        let mut router = Router::new().get("/page", show("page"));
        // Handler::call would be reached with a body that was buffered; 413 would show that it was.
        let body = vec![0; 33 * 1024 * 1024];
        for (target, status) in [("/page", 405), ("/none", 501)] {
            let request = TestRequest::post(target).body(body.clone());
            assert_eq!(request.run_handler(&mut router).status(), status);
        }
    }

    #[test]
    fn a_route_without_a_body_does_not_wait_for_it() {
        let page = |request: &Request<'_>| format!("{} bytes", request.body().len());
        let mut router = Router::new().post("/page", page).without_body();
        for len in [0, 1, 33 * 1024 * 1024] {
            let request = TestRequest::post("/page").body(vec![0; len]);
            assert_eq!(request.run_handler(&mut router).text(), "0 bytes");
        }
    }

    struct Discard;

    impl Upload for Discard {
        fn on_piece(&mut self, _: &[u8]) -> Demand {
            Demand::More
        }

        fn on_end(self: Box<Self>) -> Outcome {
            Response::text("discarded").into()
        }
    }

    #[test]
    fn acceptors_are_asked_before_the_body() {
        let router = Router::new()
            .accept("POST", "/to/{name}", |head| {
                match head.parameter("name").as_deref() {
                    Some("none") => Accept::Respond(Response::new(Status::FORBIDDEN).into()),
                    Some("all") => Accept::Stream(Box::new(Discard)),
                    Some("few") => Accept::BufferUpTo(1),
                    _ => Accept::Buffer,
                }
            })
            .post("/to/{name}", |request| {
                Response::bytes(request.body_bytes())
            })
            .body_len_max(2)
            .accept("GET", "/socket", |_| {
                Accept::Upgrade(Upgrade::new("echo", |_, _| {}))
            })
            .accept("GET", "/broken", |_| Accept::Buffer);
        let post = |target: &str| {
            let request = TestRequest::post(target).body("abc");
            request.run_handler(&mut router.clone())
        };
        assert_eq!(post("/to/none").status(), 403);
        assert_eq!(post("/to/all").text(), "discarded");
        assert_eq!(post("/to/few").status(), 413);
        assert_eq!(post("/to/others").status(), 413);
        let small = TestRequest::post("/to/others").body("ab");
        assert_eq!(small.run_handler(&mut router.clone()).text(), "ab");
        let offer = TestRequest::get("/socket")
            .header("connection", "upgrade")
            .header("upgrade", "echo");
        assert_eq!(offer.run_handler(&mut router.clone()).status(), 101);
        assert_eq!(ask(&router, "GET", "/socket").status(), 400);
        assert_eq!(ask(&router, "GET", "/broken").status(), 500);
    }

    #[test]
    fn a_router_goes_to_each_worker() {
        fn is_shared<T: Clone + Send + Sync + Handler + 'static>(_: &T) {}
        let router = Router::new().get("/{a}", show("/{a}"));
        is_shared(&router);
        assert_eq!(format!("{router:?}"), r#"["/{a}"]"#);
    }

    #[test]
    fn a_nested_router_has_its_routes_under_the_prefix() {
        let upload = |_: &Head<'_>| Accept::Respond(Status::ACCEPTED.into_response().into());
        let inner = Router::new()
            .get("/", show("root"))
            .get("/{a}", show("one"))
            .without_body()
            .post("/{a}", show("made"))
            .body_len_max(1)
            .accept("PUT", "/{a}", upload)
            .fallback(show("fallback"));
        let mut router = Router::new()
            .get("/{b}/other", show("other"))
            .nest("/{b}/things", inner.clone())
            .merge(
                Router::new()
                    .get("/merged", show("merged"))
                    .fallback(show("outer")),
            );
        for (target, expected) in [
            ("/x/things", "root b=x"),
            ("/x/things/7", "one a=7 b=x"),
            ("/x/things/7/8", "fallback b=x rest=7/8"),
            ("/x/things/", "fallback b=x rest="),
            ("/x/other", "other b=x"),
            ("/merged", "merged"),
            ("/x", "outer"),
            ("/things", "outer"),
        ] {
            assert_eq!(get(&router, target), expected, "{target}");
        }
        let status = |method: &str, body: &'static str, router: &mut Router| {
            let request = TestRequest::new(method, "/x/things/7").body(body);
            request.run_handler(router).status().code()
        };
        assert_eq!(status("POST", "1", &mut router), 200);
        assert_eq!(
            status("POST", "12", &mut router),
            413,
            "its bound went with it"
        );
        assert_eq!(status("PUT", "", &mut router), 202);
        assert_eq!(
            status("DELETE", "", &mut router),
            405,
            "the resource exists"
        );
        let mut twice = Router::new().nest("/a", Router::new().nest("/b", inner));
        assert_eq!(get(&twice, "/a/b/7"), "one a=7");
        assert_eq!(status("POST", "12", &mut twice), 404);
    }

    #[test]
    fn a_mistake_in_a_pattern_names_the_pattern() {
        type Mistake = fn(Router) -> Router;
        let mistakes: [(Mistake, &str); 29] = [
            (
                |to| to.get("things", show("")),
                "\"things\" does not begin with a slash",
            ),
            (
                |to| to.get("", show("")),
                "\"\" does not begin with a slash",
            ),
            (
                |to| to.get("/{a}/{a}", show("")),
                "\"/{a}/{a}\" has two parameters with the name",
            ),
            (
                |to| to.get("/{*a}/b", show("")),
                "\"/{*a}/b\" goes on after its rest",
            ),
            (
                |to| to.get("/{}", show("")),
                "\"/{}\" has a parameter without a name",
            ),
            (
                |to| to.get("/{*}", show("")),
                "\"/{*}\" has a parameter without a name",
            ),
            (
                |to| to.get("/a{b}", show("")),
                "\"/a{b}\" has a brace inside",
            ),
            (
                |to| to.get("/a?b", show("")),
                "\"/a?b\" has a brace inside a segment, or a query",
            ),
            (
                |to| to.get("/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}", show("")),
                "has more than 8 parameters",
            ),
            (
                |to| to.get("/taken/{a}", show("")),
                "\"/taken/{a}\" already has a handler",
            ),
            (
                |to| to.put("/taken/{b}", show("")).get("/taken/{b}", show("")),
                "under other names",
            ),
            (
                |to| to.any("/x", show("")).any("/x", show("")),
                "\"/x\" already has a handler",
            ),
            (|to| to.route("NO METHOD", "/", show("")), "is not a method"),
            (|to| to.route("get", "/", show("")), "are case-sensitive"),
            (|to| to.get("/t/:id", show("")), "write {id} for \":id\""),
            (|to| to.get("/t/:id?", show("")), "write {id} for \":id?\""),
            (
                |to| to.get("/t/*path", show("")),
                "write {*path} for \"*path\"",
            ),
            (|to| to.get("/t/*", show("")), "write {*rest} for \"*\""),
            (
                |to| to.get("/t/<id>/x", show("")),
                "write {id} for \"<id>\"",
            ),
            (
                |to| to.get("/t/<int:id>", show("")),
                "write {id} for \"<int:id>\"",
            ),
            (
                |to| to.get("/t/<path..>", show("")),
                "write {*path} for \"<path..>\"",
            ),
            (
                |to| to.get("/{path...}", show("")),
                "write {*path} for \"{path...}\"",
            ),
            (
                |to| to.get("/{path:.*}", show("")),
                "write {*path} for \"{path:.*}\"",
            ),
            (
                |to| to.get("/{id:[0-9]+}", show("")),
                "write {id}, and look at the value in the handler, for \"{id:[0-9]+}\"",
            ),
            (
                |to| to.nest("/taken", Router::new().get("/{a}", show(""))),
                "\"/taken/{a}\" already has a handler",
            ),
            (|to| to.nest("/x/", Router::new()), "\"/x/\" does not begin"),
            (|to| to.nest("", Router::new()), "\"\" does not begin"),
            (
                |to| {
                    let other = Router::new().fallback(show(""));
                    to.fallback(show("")).merge(other)
                },
                "both routers have a fallback",
            ),
            (|_| Router::new().body_len_max(1), "no route before it"),
        ];
        for (mistake, message) in mistakes {
            let router = Router::new().get("/taken/{a}", show(""));
            let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| mistake(router)));
            let panic = made.map(drop).expect_err(message);
            let said = panic.downcast_ref::<String>().cloned();
            let said = said.or_else(|| panic.downcast_ref::<&str>().map(|&said| said.to_owned()));
            let said = said.expect("a panic with a text");
            assert!(said.contains(message), "{said:?} has no {message:?}");
        }
    }
}
