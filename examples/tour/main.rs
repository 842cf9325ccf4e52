//! One route for each kind of response. Start it, then try the curl line above each route in `routes.rs`:
//!
//! ```text
//! cargo run --example tour        # 0.0.0.0:9000, or --example tour -- 8080
//! ```

mod routes;
mod web_socket;

use std::process::ExitCode;

use coldstart::server::Limits;

fn main() -> ExitCode {
    let port = match std::env::args().nth(1).as_deref().map(str::parse) {
        None => coldstart::function::port_from_environment(),
        Some(Ok(port)) => Ok(port),
        Some(Err(_)) => {
            return fail("the first argument is not a port: give a number from 0 to 65535");
        }
    };
    let router = match routes::router() {
        Ok(router) => router,
        Err(error) => return fail(&format!("the tour cannot start: {error}")),
    };
    // A WebSocket takes no thread and little memory, so there may be many.
    let limits = Limits::new().connections_max(12_000).upgrades_max(12_000);
    let server = |port| {
        let server = coldstart::Server::new().port(port).limits(limits);
        server.run_handler(router)
    };
    coldstart::function::exit_code(port.and_then(server))
}

fn fail(why: &str) -> ExitCode {
    use std::io::Write as _;
    drop(writeln!(std::io::stderr(), "tour: {why}"));
    ExitCode::FAILURE
}
