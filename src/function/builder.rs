//! The builder of a function: which code handles which call.

use core::fmt;
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;

use crate::handler::blocking::Blocking;
use crate::handler::outcome::{IntoOutcome, Outcome};
use crate::handler::{FunctionHandler, Handler};
use crate::message::request::Request;
use crate::message::response::{Response, Status};
use crate::output;
use crate::server::start_error::StartError;
use crate::server::{Bound, PortChoice, Server};

use super::calls::{Callback, Calls, Contract, WANTED};
use super::context::Context;
use super::environment::{memory_of_instance, port_from_environment};
use super::exit_code;
use super::failure::{FunctionError, STATUS_FIELD};
use super::record::Markers;
use super::returned::IntoFunctionResult;
use super::state::{State, StateKind};

/// The exit status if the user's own code fails at the start, after sysexits(3).
const EXIT_INIT_FAILED: u8 = 70;

/// A function: code for HTTP calls, events and hooks, and the platform's contract around it.
///
/// | a request with the control path | goes to | if that is not set |
/// | --- | --- | --- |
/// | `/http-invoke` | [`http`](Self::http), whatever its own path | 404 that says so |
/// | `/invoke` | [`event`](Self::event) | 404 that says so |
/// | `/initialize` | [`initializer`](Self::initializer) | 200 |
/// | `/pre-stop`, `/pre-freeze` | [`pre_stop`](Self::pre_stop), [`pre_freeze`](Self::pre_freeze) | 200 |
/// | any other | `http` | 404 that says so |
/// | none, or an empty one | by its path: `POST /invoke` if there is an `event`, `POST /initialize`, `GET /pre-stop`, `GET /pre-freeze`; else `http` | |
///
/// All of them may be async: they return a value or a future of it, see [async handlers](crate::handler#async-handlers).
///
/// Events and hooks that fail or panic get 404 with `x-fc-status: 404`, a panic in an HTTP call gets 500 with that field
/// ([contract §3](crate::contract#3-requests)). The process and all other calls go on.
///
/// ```no_run
/// use coldstart::{Function, Response};
///
/// fn main() -> std::process::ExitCode {
///     Function::new()
///         .http(|request| Response::text(format!("hello from {}\n", request.path())))
///         .event(|context, payload| {
///             context.log(format_args!("an event of {} bytes", payload.len()));
///             Ok(payload.to_ascii_uppercase())
///         })
///         .run()
/// }
/// ```
#[must_use = "a function does nothing until it runs"]
pub struct Function<H = NoHttp> {
    http: H,
    contract: Contract,
    server: Option<Server>,
    init: Option<Box<dyn FnOnce() -> Result<(), FunctionError>>>,
}

impl Function<NoHttp> {
    /// A function without code for any call.
    pub const fn new() -> Self {
        Self {
            http: NoHttp,
            contract: Contract {
                event: None,
                initializer: None,
                pre_stop: None,
                pre_freeze: None,
                health: None,
                markers: Markers::Off,
            },
            server: None,
            init: None,
        }
    }
}

impl Default for Function<NoHttp> {
    fn default() -> Self {
        Self::new()
    }
}

impl<H> Function<H> {
    /// Handles HTTP calls with a function or closure: any method, any path, as the caller sent them
    /// ([contract §3](crate::contract#3-requests)).
    pub fn http<F, R, Kind: 'static>(
        self,
        function: F,
    ) -> Function<impl Handler + Clone + Send + 'static>
    where
        F: FnMut(&Request<'_>) -> R + Clone + Send + 'static,
        R: IntoOutcome<Kind>,
    {
        self.http_handler(FunctionHandler::new(function))
    }

    /// As [`http`](Self::http), with a [`Handler`] such as a [`Router`](crate::Router).
    ///
    /// ```
    /// use coldstart::{Function, Router, TestRequest};
    ///
    /// let router = Router::new().get("/hello/{name}", |request| {
    ///     format!("hello, {}\n", request.parameter("name").unwrap_or_default())
    /// });
    /// let mut function = Function::new().http_handler(router).handler();
    /// assert_eq!(TestRequest::get("/hello/Ada").run_handler(&mut function).text(), "hello, Ada\n");
    /// ```
    pub fn http_handler<N: Handler>(self, handler: N) -> Function<N> {
        Function {
            http: handler,
            contract: self.contract,
            server: self.server,
            init: self.init,
        }
    }

    /// Handles events: the payload is everything that the caller sent, the result everything that it gets
    /// ([contract §3](crate::contract#3-requests)). The code returns the result or a future of it, see [`IntoFunctionResult`].
    pub fn event<B: Into<Bytes>, R: IntoFunctionResult<B, Kind>, Kind>(
        mut self,
        function: impl Fn(&Context<'_>, &[u8]) -> R + Send + Sync + 'static,
    ) -> Self {
        self.contract.event = Some(Box::new(move |context, payload, mark| {
            let returned = function(context, payload);
            returned.complete(mark, |bytes| Ok(Response::bytes(bytes.into())))
        }));
        self
    }

    /// As [`event`](Self::event), with JSON in and out. A payload that does not parse as the type fails with `errorType`
    /// `InvalidEvent`.
    ///
    /// ```
    /// use coldstart::{Function, TestRequest};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Order {
    ///     pieces: u32,
    /// }
    ///
    /// let function = Function::new().event_json(|_, order: Order| Ok(order.pieces.saturating_mul(250)));
    /// let mut handler = function.handler();
    /// let order = TestRequest::post("/invoke").body(r#"{"pieces": 2}"#);
    /// assert_eq!(order.run_handler(&mut handler).text(), "500");
    /// let mistake = TestRequest::post("/invoke").body(r#"{"pieces": "two"}"#);
    /// assert_eq!(mistake.run_handler(&mut handler).header("x-fc-status"), Some("404"));
    /// ```
    #[cfg(feature = "json")]
    pub fn event_json<T, U, R, Kind>(
        mut self,
        function: impl Fn(&Context<'_>, T) -> R + Send + Sync + 'static,
    ) -> Self
    where
        T: serde::de::DeserializeOwned,
        U: serde::Serialize,
        R: IntoFunctionResult<U, Kind>,
    {
        self.contract.event = Some(Box::new(move |context, payload, mark| {
            let event = serde_json::from_slice(payload).map_err(|error| {
                FunctionError::new(format!(
                    "the event does not have the expected form: {error}"
                ))
                .error_type("InvalidEvent")
            })?;
            let returned = function(context, event);
            returned.complete(mark, |value| {
                Ok(Response::json_text(serde_json::to_vec(&value)?))
            })
        }));
        self
    }

    /// Runs on `POST /initialize`, until it has succeeded once. A later call gets 200 without running it, and a call that
    /// arrives while it runs waits for it ([contract §4](crate::contract#4-keep-alive-freeze-end-of-life)). If the call that
    /// runs a future loses its peer, the next one runs the hook again.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// use coldstart::{Function, TestRequest};
    ///
    /// let runs = Arc::new(AtomicU32::new(0));
    /// let counted = Arc::clone(&runs);
    /// let function = Function::new().initializer(move |context| {
    ///     context.log("loads what all calls need");
    ///     counted.fetch_add(1, Ordering::Relaxed);
    ///     Ok(())
    /// });
    /// let (mut handler, request) = (function.handler(), TestRequest::post("/initialize"));
    /// for _ in 0..2 {
    ///     assert_eq!(request.run_handler(&mut handler).status(), 200);
    /// }
    /// assert_eq!(runs.load(Ordering::Relaxed), 1);
    /// ```
    pub fn initializer<R: IntoFunctionResult<(), Kind>, Kind>(
        mut self,
        hook: impl Fn(&Context<'_>) -> R + Send + Sync + 'static,
    ) -> Self {
        self.contract.initializer = Some(R::once(hook));
        self
    }

    /// Makes this [`State`] on `POST /initialize`, as an [`initializer`](Self::initializer), whose place it takes. An initializer
    /// that does more calls [`State::get`] itself, and so may [`init`](Self::init), for a value that must be there before the
    /// first call of any kind.
    ///
    /// ```
    /// use coldstart::function::State;
    /// use coldstart::{Function, TestRequest};
    ///
    /// let words = State::new(|| Ok(vec!["hello", "there"]));
    /// let mut handler = Function::new()
    ///     .initializer_state(&words)
    ///     .http(move |_| words.get().map(|words| words.join(" ")))
    ///     .handler();
    /// assert_eq!(TestRequest::post("/initialize").run_handler(&mut handler).status(), 200);
    /// assert_eq!(TestRequest::get("/").run_handler(&mut handler).text(), "hello there");
    /// ```
    pub fn initializer_state<T, Kind: StateKind<T>>(mut self, state: &State<T, Kind>) -> Self {
        self.contract.initializer = Some(Kind::initializer(state.clone()));
        self
    }

    /// Runs on `GET /pre-stop`, the last request of an instance
    /// ([contract §4](crate::contract#4-keep-alive-freeze-end-of-life)).
    ///
    /// ```
    /// use coldstart::function::FunctionError;
    /// use coldstart::{Function, TestRequest};
    ///
    /// let function = Function::new().pre_stop(|context| {
    ///     context.log("sends what waits");
    ///     Err(FunctionError::new("the queue does not answer"))
    /// });
    /// // A hook that fails is a line in the log; the instance ends all the same.
    /// let response = TestRequest::get("/pre-stop").run_handler(&mut function.handler());
    /// assert_eq!(response.header("x-fc-status"), Some("404"));
    /// ```
    pub fn pre_stop<R: IntoFunctionResult<(), Kind>, Kind>(
        mut self,
        hook: impl Fn(&Context<'_>) -> R + Send + Sync + 'static,
    ) -> Self {
        self.contract.pre_stop = hook_callback(hook);
        self
    }

    /// Runs on `GET /pre-freeze`, which only the 2.0 generation sends
    /// ([contract §4](crate::contract#4-keep-alive-freeze-end-of-life)).
    ///
    /// ```
    /// use coldstart::{Function, TestRequest};
    ///
    /// let function = Function::new().pre_freeze(|context| {
    ///     context.log("sends what waits");
    ///     Ok(())
    /// });
    /// assert_eq!(TestRequest::get("/pre-freeze").run_handler(&mut function.handler()).status(), 200);
    /// ```
    pub fn pre_freeze<R: IntoFunctionResult<(), Kind>, Kind>(
        mut self,
        hook: impl Fn(&Context<'_>) -> R + Send + Sync + 'static,
    ) -> Self {
        self.contract.pre_freeze = hook_callback(hook);
        self
    }

    /// Responds to health checks on this path with 200 ([contract §2](crate::contract#2-start)), at once and before the
    /// HTTP handler, even while all threads are busy.
    ///
    /// ```
    /// use coldstart::{Function, Status, TestRequest};
    ///
    /// let function = Function::new().health("/healthz").http(|_| Status::SERVICE_UNAVAILABLE);
    /// let mut handler = function.handler();
    /// assert_eq!(TestRequest::get("/healthz").run_handler(&mut handler).status(), 200);
    /// assert_eq!(TestRequest::get("/").run_handler(&mut handler).status(), 503);
    /// ```
    pub const fn health(mut self, path: &'static str) -> Self {
        self.contract.health = Some(path);
        self
    }

    /// Frames each call with marker lines in the log ([contract §5](crate::contract#5-logs)): the 2.0 generation wants
    /// them, in 3.0 each call would appear twice. A call that goes on in a future ends with it; one whose handler promises its
    /// response or sends it in pieces ends when the handler returns.
    ///
    /// ```no_run
    /// use coldstart::Function;
    ///
    /// fn main() -> std::process::ExitCode {
    ///     Function::new().http(|_| "hello\n").with_markers().run() // For a function of the 2.0 generation.
    /// }
    /// ```
    pub const fn with_markers(mut self) -> Self {
        self.contract.markers = Markers::On;
        self
    }

    /// Runs between `listen` and the first response: the port is open ([contract rule 3](crate::contract#1-the-rules))
    /// however long this takes, and until then connections wait in the backlog. If it fails, the process prints why and exits
    /// with status 70. A future is polled on this thread until it is ready.
    ///
    /// ```no_run
    /// use coldstart::Function;
    /// use coldstart::function::State;
    ///
    /// fn main() -> std::process::ExitCode {
    ///     let words = State::new(|| Ok(std::fs::read_to_string("words.txt")?));
    ///     let known = words.clone();
    ///     Function::new()
    ///         // Without the file, the process does not serve.
    ///         .init(move || words.get().map(drop))
    ///         .event(move |_, payload| Ok(known.get()?.contains(str::from_utf8(payload)?).to_string()))
    ///         .run()
    /// }
    /// ```
    pub fn init<R: IntoFunctionResult<(), Kind>, Kind>(
        mut self,
        init: impl FnOnce() -> R + 'static,
    ) -> Self {
        self.init = Some(Box::new(|| init().wait()));
        self
    }

    /// Serves on this server, with its limits and time-outs. Unless it was given a [`port`](Server::port) or an
    /// [`address`](Server::address), it listens on the platform's port, as without this: see [`port_from_environment`].
    ///
    /// ```no_run
    /// use std::process::ExitCode;
    /// use std::time::Duration;
    ///
    /// use coldstart::server::Timeouts;
    /// use coldstart::{Function, Response, Server};
    ///
    /// fn main() -> ExitCode {
    ///     Function::new()
    ///         .http(|_| Response::text("hello\n"))
    ///         .server(Server::new().timeouts(Timeouts::new().body(Duration::from_secs(5))))
    ///         .run()
    /// }
    /// ```
    pub const fn server(mut self, server: Server) -> Self {
        self.server = Some(server);
        self
    }
}

impl<H: Handler> Function<H> {
    /// Serves on `0.0.0.0` and the platform's port until SIGTERM, and returns the exit status of the process, as
    /// [`serve`](crate::serve) does. The code runs on the loop and must not block it.
    #[must_use = "it is the exit status of the process"]
    pub fn run(self) -> ExitCode {
        self.start(Bound::run_handler)
    }

    /// The function as a handler, for a [`TestRequest`](crate::TestRequest) or a server of your own.
    ///
    /// ```
    /// use coldstart::{Function, TestRequest};
    ///
    /// let mut function = Function::new().event(|_, payload| Ok(payload.to_vec())).handler();
    /// let response = TestRequest::post("/invoke").body("ping").run_handler(&mut function);
    /// assert_eq!(response.header("x-fc-status"), Some("200"));
    /// assert_eq!(response.text(), "ping");
    /// ```
    #[must_use]
    pub fn handler(self) -> impl Handler + use<H> {
        Calls {
            contract: Arc::new(self.contract),
            http: self.http,
        }
    }

    fn start(self, serve: impl FnOnce(Bound, Calls<H>) -> Result<(), StartError>) -> ExitCode {
        let mut server = self.server.unwrap_or_default();
        if server.port_choice == PortChoice::Default {
            server = match port_from_environment() {
                Ok(port) => server.port(port),
                Err(error) => return exit_code(Err(error)),
            };
        }
        server.memory_limit = memory_of_instance;
        server.settings.wanted = &WANTED;
        let bound = match server.bind() {
            Ok(bound) => bound,
            Err(error) => return exit_code(Err(error)),
        };
        if let Some(init) = self.init {
            // A stop that arrives meanwhile is not lost.
            if let Err(error) = bound.hear_signals() {
                return exit_code(Err(error));
            }
            if let Err(error) = init() {
                // If stderr is closed, the exit status remains.
                output::STDERR.write(format!("coldstart: init failed: {error}\n").as_bytes());
                return ExitCode::from(EXIT_INIT_FAILED);
            }
        }
        let calls = Calls {
            contract: Arc::new(self.contract),
            http: self.http,
        };
        // Each response flushes stdout; its buffer is allocated before the first request.
        output::flush_printed();
        exit_code(serve(bound, calls))
    }
}

impl<H: Handler + Clone + Send + 'static> Function<H> {
    /// As [`run`](Self::run), with the code on up to `count` threads, on which it may block; see [`Blocking`].
    ///
    /// ```no_run
    /// use coldstart::Function;
    ///
    /// fn main() -> std::process::ExitCode {
    ///     Function::new()
    ///         .http(|_| std::fs::read_to_string("words.txt").ok()) // A disk may be slow; others are served meanwhile.
    ///         .run_on_threads(8)
    /// }
    /// ```
    #[must_use = "it is the exit status of the process"]
    pub fn run_on_threads(self, count: usize) -> ExitCode {
        self.start(|bound, calls| bound.run_handler(Blocking::new(calls, count)))
    }
}

impl<H> fmt::Debug for Function<H> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Function").finish_non_exhaustive()
    }
}

fn hook_callback<R: IntoFunctionResult<(), Kind>, Kind>(
    hook: impl Fn(&Context<'_>) -> R + Send + Sync + 'static,
) -> Option<Callback> {
    Some(Box::new(move |context, _, mark| {
        hook(context).complete(mark, |()| Ok(Response::new(Status::OK)))
    }))
}

/// Takes the place of the HTTP handler if a function has none: it says how to call the function, or how to fix it.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct NoHttp;

impl Handler for NoHttp {
    fn call(&mut self, _: &Request<'_>) -> Outcome {
        Response::text(
            "this function handles events only, but an HTTP request came: call it through the API or an event trigger, or \
             add an `http` handler\n",
        )
        .status(Status::NOT_FOUND)
        .header(STATUS_FIELD, "404")
        .into()
    }

    fn has_middleware(&self) -> bool {
        false
    }
}
