//! One route for each kind of response. Start it, then try the curl line above each route in `routes.rs`:
//!
//! ```text
//! cargo run --example tour        # 0.0.0.0:9000, or --example tour -- 8080
//! ```

mod routes;

use std::process::ExitCode;

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
    let server = |port| coldstart::Server::new().port(port).run_handler(router);
    coldstart::function::exit_code(port.and_then(server))
}

fn fail(why: &str) -> ExitCode {
    use std::io::Write as _;
    drop(writeln!(std::io::stderr(), "tour: {why}"));
    ExitCode::FAILURE
}
