//! The reference function: what is deployed when there is nothing to deploy yet.
#![no_main]

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use coldstart::{HeaderValue, Request, Response, Server, Status, port_from_environment};

const HELP: &str = "\
bootstrap: the reference function of coldstart, an HTTP server for a custom runtime

Usage: bootstrap [--port PORT]

  --port PORT  listen on this port of 0.0.0.0; default: FC_CUSTOM_LISTEN_PORT, FC_SERVER_PORT, PORT, 9000
  --help       print this and exit
  --version    print the version and exit

Routes: GET / and GET /hello greet, /echo returns the body it is sent, GET /healthz says ok.

Exit status: 0 stopped by SIGTERM or SIGINT, 64 an argument is wrong, 68 no such address, 69 the port is in use,
71 the system denies something, 77 permission denied, 78 a variable names no port.
";

/// A wrong argument, after sysexits(3).
const EXIT_USAGE: u8 = 64;

coldstart::main!(start = bootstrap);

fn bootstrap() -> ExitCode {
    match arguments(coldstart::arguments()) {
        Ok(Command::Serve(port)) => {
            let port = port.map_or_else(port_from_environment, Ok);
            coldstart::exit_code(port.and_then(|port| Server::new().port(port).run(route)))
        }
        Ok(Command::Print(text)) => print(text),
        Err(why) => {
            let line = format!("bootstrap: {why}; see bootstrap --help\n");
            // Nobody can be told that stderr is closed; the exit status remains.
            drop(std::io::stderr().write_all(line.as_bytes()));
            ExitCode::from(EXIT_USAGE)
        }
    }
}

/// What the command line asks for.
enum Command {
    Serve(Option<u16>),
    Print(&'static str),
}

fn arguments(mut given: impl Iterator<Item = OsString>) -> Result<Command, String> {
    let mut port = None;
    while let Some(argument) = given.next() {
        let argument = argument.to_string_lossy().into_owned();
        let value = match (argument.as_str(), argument.strip_prefix("--port=")) {
            ("--help" | "-h", _) => return Ok(Command::Print(HELP)),
            ("--version" | "-V", _) => {
                return Ok(Command::Print(concat!(
                    "bootstrap ",
                    env!("CARGO_PKG_VERSION"),
                    "\n"
                )));
            }
            (_, Some(value)) => value.to_owned(),
            ("--port", None) => given
                .next()
                .map(|value| value.to_string_lossy().into_owned())
                .ok_or_else(|| "--port needs a number from 1 to 65535".to_owned())?,
            (_, None) => return Err(format!("{argument:?} is no argument of this program")),
        };
        port = Some(parse_port(&value)?);
    }
    Ok(Command::Serve(port))
}

fn parse_port(value: &str) -> Result<u16, String> {
    match value.parse() {
        Ok(port) if port != 0 && !value.starts_with('+') => Ok(port),
        _ => Err(format!(
            "--port {value:?} is no port: give a number from 1 to 65535"
        )),
    }
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn route(request: &Request<'_>) -> Response {
    match (request.method(), request.path()) {
        ("GET" | "HEAD", "/" | "/hello") => Response::text("Hello, World!"),
        ("GET" | "HEAD", "/healthz") => Response::text("ok"),
        (_, "/echo") => echo(request),
        _ => Response::text("no such page\n").status(Status::NOT_FOUND),
    }
}

/// The body that came, with the content type it came with.
fn echo(request: &Request<'_>) -> Response {
    let response = Response::new(Status::OK).body(request.body_bytes());
    match request
        .headers()
        .bytes("content-type")
        .map(|value| HeaderValue::parse(value.to_vec()))
    {
        Some(Ok(content_type)) => response.content_type(content_type),
        Some(Err(_)) | None => response,
    }
}
