//! The reference function, for a first deployment and for benchmarks.
#![no_main]

use std::process::ExitCode;

use coldstart::handler::{Accept, Outcome};
use coldstart::message::{Head, HeaderValue};
use coldstart::start::{print, print_error};
use coldstart::{Function, Handler, Request, Response, Server, Status};

const HELP: &str = include_str!("bootstrap.txt");
const VERSION: &str = concat!("bootstrap ", env!("CARGO_PKG_VERSION"), "\n");

/// Stands for an argument that is not UTF-8, which no valid argument is.
const NO_TEXT: &str = "\u{fffd}";

/// The one page that looks at a request's body.
const ECHO: &str = "/echo";

/// A wrong argument, after sysexits(3).
const EXIT_USAGE: u8 = 64;

/// It would take 1.5 KB of the smallest build.
#[cfg(not(smallest))]
#[global_allocator]
static ALLOCATOR: coldstart::Allocator = coldstart::Allocator::new();

coldstart::main!(start = bootstrap);
coldstart::without_backtraces!();

fn bootstrap() -> ExitCode {
    let function = Function::new()
        .http_handler(Pages)
        .event(|_, payload| Ok(payload.to_vec()));
    let given = coldstart::arguments();
    match Command::parse(given.map(|argument| argument.to_str().unwrap_or(NO_TEXT))) {
        Ok(Command::Serve(options)) => serve(function, &options),
        Ok(Command::Print(text)) if print(text) => ExitCode::SUCCESS,
        Ok(Command::Print(_)) => ExitCode::FAILURE,
        Err(why) => {
            // If stderr is closed, the exit status remains.
            let _ = print_error(&format!("bootstrap: {why}; see bootstrap --help\n"));
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn serve(function: Function<impl Handler>, options: &Options) -> ExitCode {
    let server = Server::new().reap_orphans();
    let server = match options.port {
        Some(port) => server.port(port),
        None => server,
    };
    let server = match options.idle {
        Idle::Keep => server,
        Idle::Evict => server.evict_idle(),
    };
    function.server(server).run()
}

/// How to serve.
struct Options {
    port: Option<u16>,
    idle: Idle,
}

/// What to do with idle connections when the server is full.
enum Idle {
    Keep,
    Evict,
}

/// What the command line asks for.
enum Command {
    Serve(Options),
    Print(&'static str),
}

impl Command {
    fn parse(mut given: impl Iterator<Item = &'static str>) -> Result<Self, String> {
        let mut options = Options {
            port: None,
            idle: Idle::Keep,
        };
        while let Some(argument) = given.next() {
            let value = match (argument, argument.strip_prefix("--port=")) {
                ("--help" | "-h", _) => return Ok(Self::Print(HELP)),
                ("--version" | "-V", _) => return Ok(Self::Print(VERSION)),
                ("--evict-idle", _) => {
                    options.idle = Idle::Evict;
                    continue;
                }
                (_, Some(value)) => value,
                ("--port", None) => given.next().unwrap_or_default(),
                (_, None) => return Err(format!("unknown argument \"{argument}\"")),
            };
            let is_digits = value.bytes().all(|byte| byte.is_ascii_digit());
            let port = value.parse().ok();
            options.port = port.filter(|port| is_digits && *port != 0);
            options.port.ok_or_else(|| {
                format!("--port \"{value}\" is not a port; give a number from 1 to 65535")
            })?;
        }
        Ok(Self::Serve(options))
    }
}

struct Pages;

impl Handler for Pages {
    fn accept(&mut self, head: &Head<'_>) -> Accept {
        if head.path() == ECHO {
            Accept::Buffer
        } else {
            Accept::Discard
        }
    }

    fn accept_whole(&mut self, request: &Request<'_>) -> Accept {
        Accept::Respond(page(request).into())
    }

    fn call(&mut self, request: &Request<'_>) -> Outcome {
        page(request).into()
    }

    fn has_middleware(&self) -> bool {
        false
    }
}

/// The methods that some page knows.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

fn page(request: &Request<'_>) -> Response {
    let is_read = matches!(request.method(), "GET" | "HEAD");
    match request.path() {
        "/" | "/hello" if is_read => Response::text("Hello, World!"),
        "/healthz" if is_read => Response::text("ok"),
        ECHO => echo(request),
        path => refuse(request.method(), path),
    }
}

/// What no page responds to.
#[cold]
fn refuse(method: &str, path: &str) -> Response {
    let (status, text) = match path {
        // Load balancers probe with OPTIONS.
        "/" | "/hello" | "/healthz" | "*" if method == "OPTIONS" => {
            return allow(Status::NO_CONTENT);
        }
        // A known page without this method is not a missing page (RFC 9110 §9.1).
        "/" | "/hello" | "/healthz" => return allow(Status::METHOD_NOT_ALLOWED),
        _ if METHODS.contains(&method) => (Status::NOT_FOUND, "no such page\n"),
        // RFC 9110 §9.1: a method that no page knows.
        _ => (Status::NOT_IMPLEMENTED, "no such method\n"),
    };
    Response::text(text).status(status)
}

fn allow(status: Status) -> Response {
    Response::new(status).header("Allow", "GET, HEAD, OPTIONS")
}

/// Responds with the request's body and content type.
#[cfg_attr(not(smallest), inline(never))]
fn echo(request: &Request<'_>) -> Response {
    let response = Response::new(Status::OK).body(request.body_bytes());
    let content_type = request.headers().bytes("content-type");
    match content_type.map(|value| HeaderValue::parse(value.to_vec())) {
        Some(Ok(content_type)) => response.content_type(content_type),
        Some(Err(_)) | None => response,
    }
}
