//! A function with whatever behavior the tests need. It runs in a process of its own, started from this test.

use std::future::poll_fn;
use std::io::Read as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use coldstart::function::{Credentials, FunctionError, OwnedContext, in_request};
use coldstart::handler::{Accept, Blocking, Demand, Outcome, Upgrade, Upload};
use coldstart::message::Head;
use coldstart::server::Timeouts;
use coldstart::{Context, Function, Handler, Request, Response, Server, Status, blocking};

/// Its name among the tests.
pub(crate) const NAME: &str = "under_test::the_function_under_test_serves_when_it_is_started";
/// The variable with its options, separated by spaces.
pub(crate) const OPTIONS: &str = "FUNCTION_UNDER_TEST";

/// The number of threads with the option `threads`.
pub(crate) const THREADS: usize = 16;

/// The suffix of values that the tests put into the environment.
pub(crate) const FROM_ENVIRONMENT: &str = "-from-environment";

/// Every timeout of the server with the option `short`.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

#[test]
fn the_function_under_test_serves_when_it_is_started() {
    if let Ok(options) = std::env::var(OPTIONS) {
        assert_eq!(run(&options), ExitCode::SUCCESS, "it exits with 0");
    }
}

fn run(options: &str) -> ExitCode {
    let has = |option| options.split(' ').any(|word| word == option);
    assert!(coldstart::function::log_to_stdout(), "no logger is set yet");
    let blocking = blocking(respond, THREADS);
    let mut function = Function::new()
        .http_handler(Http { blocking })
        .event(event)
        .initializer(initializer)
        .pre_stop(|context| hook(context, "stopping"))
        .pre_freeze(|context| hook(context, "freezing"))
        .health("/healthz");
    if has("async") {
        function = with_async_code(function);
    }
    if has("markers") {
        function = function.with_markers();
    }
    if has("short") {
        let timeouts = Timeouts::new().head(SHORT).body(SHORT).write(SHORT);
        // The port is the platform's all the same.
        function = function.server(Server::new().timeouts(timeouts.linger(SHORT)));
    }
    if has("waits") {
        function = function.init(|| {
            println!("init begins");
            std::io::stdin().read_exact(&mut [0])?;
            Ok(())
        });
    }
    if has("fails-later") {
        function = function.init(|| async {
            pause().await;
            Err(FunctionError::new("the model is not there"))
        });
    }
    if has("fails") {
        function = function.init(|| Err(FunctionError::new("the model is not there")));
    }
    if has("threads") {
        function.run_on_threads(THREADS)
    } else {
        function.run()
    }
}

/// Waits until another thread has woken it.
async fn pause() {
    let (mut is_begun, is_woken) = (false, Arc::new(AtomicBool::new(false)));
    poll_fn(|context| {
        if is_woken.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        if !std::mem::replace(&mut is_begun, true) {
            let (waker, is_woken) = (context.waker().clone(), Arc::clone(&is_woken));
            let thread = std::thread::Builder::new().spawn(move || {
                is_woken.store(true, Ordering::Release);
                waker.wake();
            });
            assert!(thread.is_ok(), "the thread starts");
        }
        Poll::Pending
    })
    .await;
}

/// The same code for events and hooks, in futures that wait first.
fn with_async_code<H>(function: Function<H>) -> Function<H> {
    function
        .event(|context, payload| {
            let (context, payload) = (context.to_owned(), payload.to_vec());
            async move {
                pause().await;
                event(&context.as_context(), &payload)
            }
        })
        .initializer(|context| {
            let context = context.to_owned();
            async move {
                pause().await;
                initializer(&context.as_context())
            }
        })
        .pre_stop(|context| async_hook(context.to_owned(), "stopping"))
        .pre_freeze(|context| async_hook(context.to_owned(), "freezing"))
}

async fn async_hook(context: OwnedContext, what: &str) -> Result<(), FunctionError> {
    pause().await;
    hook(&context.as_context(), what)
}

/// Fails, then panics, then succeeds.
fn initializer(context: &Context<'_>) -> Result<(), FunctionError> {
    static TRIES: AtomicU32 = AtomicU32::new(0);
    let tries = TRIES.fetch_add(1, Ordering::Relaxed);
    context.log(format_args!("try {tries}"));
    assert_ne!(tries, 1, "the initializer's panic");
    if tries == 0 {
        return Err(FunctionError::new("the first try fails").error_type("NotYet"));
    }
    Ok(())
}

fn hook(context: &Context<'_>, what: &str) -> Result<(), FunctionError> {
    context.log(what);
    if context.qualifier() == Some("failing") {
        return Err(FunctionError::new("the hook fails"));
    }
    Ok(())
}

fn event(context: &Context<'_>, payload: &[u8]) -> Result<Vec<u8>, FunctionError> {
    let text = String::from_utf8_lossy(payload);
    match text.split_once(' ').unwrap_or((&text, "")) {
        ("panic", _) => panic!("the event's panic"),
        ("fail", "parse") => Ok(vec!["x".parse()?]),
        ("fail", message) => Err(FunctionError::new(message).error_type("Planned")),
        ("context", _) => Ok(show(context).into_bytes()),
        ("log", message) => {
            context.warn(message);
            log::debug!("not at this level");
            log::info!("{message}");
            Ok(Vec::new())
        }
        ("wait", number) => {
            context.log(format_args!("waiting {number}"));
            std::io::stdin().read_exact(&mut [0])?;
            Ok(Vec::new())
        }
        ("print", message) => {
            print!("{message}");
            Ok(Vec::new())
        }
        _ => Ok(payload.to_vec()),
    }
}

fn show(context: &Context<'_>) -> String {
    let credentials = context.credentials();
    let left = context
        .deadline()
        .map(|at| at.saturating_duration_since(std::time::Instant::now()));
    format!(
        "{context:?} {credentials:?} has credentials: {}, all from one source: {}\n{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}\n{:?}",
        credentials.as_ref().map_or("no", source_of),
        credentials.as_ref().is_none_or(is_from_one_source),
        context.request_id(),
        context.function_name(),
        context.region(),
        context.account_id(),
        context.qualifier(),
        context.version_id(),
        context.memory_mb(),
        context.retry_count(),
        context.timeout(),
        left.map(|left| left.as_secs()),
    )
}

/// The source of the credentials. The tests must not print the credentials themselves.
fn source_of(credentials: &Credentials) -> &'static str {
    if credentials.access_key_id().ends_with(FROM_ENVIRONMENT) {
        "environment"
    } else {
        "fields"
    }
}

fn is_from_one_source(credentials: &Credentials) -> bool {
    let secret = [
        Some(credentials.access_key_secret()),
        credentials.security_token(),
    ];
    let id_is = credentials.access_key_id().ends_with(FROM_ENVIRONMENT);
    secret
        .into_iter()
        .flatten()
        .all(|part| part.ends_with(FROM_ENVIRONMENT) == id_is)
}

#[derive(Clone)]
struct Http<B> {
    blocking: Blocking<B>,
}

impl<B: Handler + Clone + Send + 'static> Handler for Http<B> {
    fn accept(&mut self, head: &Head<'_>) -> Accept {
        match head.path() {
            "/upload" => Accept::Stream(Box::new(Counted(0))),
            "/pull" => Accept::pull(head, |mut body| async move {
                let body = body.collect(99).await;
                assert!(body.as_deref() != Ok(b"panic"), "the panic of a reader");
                body.map(Response::bytes)
            }),
            "/socket" => Accept::Upgrade(Upgrade::new("bytes", |_, _| ())),
            "/refuse" => Accept::Respond(Response::new(Status::FORBIDDEN).into()),
            "/accept-panic" => panic!("the panic of an accept"),
            _ => Accept::Buffer,
        }
    }

    fn call(&mut self, request: &Request<'_>) -> Outcome {
        if request.path().starts_with("/blocking") {
            return self.blocking.respond(request);
        }
        respond(request)
    }
}

fn respond(request: &Request<'_>) -> Outcome {
    let response = match request.path() {
        "/panic" | "/blocking-panic" => panic!("the handler's panic"),
        "/broken" => {
            let (outcome, reply) = Outcome::promised();
            drop(reply);
            return outcome;
        }
        "/teapot" => Response::text("short and stout").status(Status::new(418).unwrap()),
        "/debug" => Response::text(format!("{request:?} {:?}", request.head())),
        "/large-fields" => Response::text("").header("x-filler", "a".repeat(7000).leak() as &str),
        "/promise" => {
            let (outcome, reply) = Outcome::promised();
            let context = Context::new(request.head());
            let id = context.request_id().unwrap_or_default().to_owned();
            let token = request.query().unwrap_or_default().to_owned();
            let work = move || in_request(&id, || log::info!("{token}"));
            let thread = std::thread::Builder::new().spawn(move || {
                work();
                reply.complete(Response::new(Status::OK));
            });
            assert!(thread.is_ok(), "the thread starts");
            return outcome;
        }
        "/future" | "/blocking-future" => {
            let token = request.query().unwrap_or_default().to_owned();
            return Outcome::future(async move {
                pause().await;
                log::info!("{token}");
                assert_ne!(token, "panic", "the future's panic");
                Response::new(Status::OK)
            });
        }
        "/log" | "/blocking-log" => {
            log::info!("{}", request.query().unwrap_or_default());
            Response::new(Status::OK)
        }
        _ => Response::bytes(request.body_bytes()).header(
            "x-seen",
            format!("{} {}", request.method(), request.head().target()),
        ),
    };
    response.into()
}

/// Counts the bytes of a body, and logs each piece.
struct Counted(usize);

impl Upload for Counted {
    fn on_piece(&mut self, piece: &[u8]) -> Demand {
        log::info!("a piece");
        self.0 += piece.len();
        assert_ne!(piece, b"panic", "the upload's panic");
        Demand::More
    }

    fn on_end(self: Box<Self>) -> Outcome {
        Response::text(self.0.to_string()).into()
    }
}
