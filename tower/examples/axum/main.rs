//! Applications as axum's users write them, on coldstart: nothing but `main` knows what serves them. They are those that axum shows as
//! its examples, one module each; the curl lines stand at the top of the modules. They are one program, so that it is linked once.
//!
//! ```text
//! cargo run -p coldstart-tower --example axum --features tokio -- todos
//! ```

mod error_handling;
mod form;
mod logging;
mod request_id;
mod shutdown;
mod sse;
#[cfg(feature = "tokio")]
mod static_files;
mod streaming;
mod todos;
mod upload;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use axum::Router;

type Application = (&'static str, fn() -> Router);

const APPLICATIONS: &[Application] = &[
    ("error_handling", error_handling::router),
    ("form", form::router),
    ("logging", logging::router),
    ("request_id", request_id::router),
    ("shutdown", shutdown::router),
    ("sse", sse::router),
    #[cfg(feature = "tokio")]
    ("static_files", static_files::router),
    ("streaming", streaming::router),
    ("todos", todos::router),
    ("upload", upload::router),
];

/// The second argument: where files are.
fn folder() -> PathBuf {
    std::env::args_os()
        .nth(2)
        .map_or_else(|| ".".into(), PathBuf::from)
}

fn main() -> ExitCode {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    match APPLICATIONS.iter().find(|(name, _)| *name == wanted) {
        Some((_, router)) => coldstart_tower::serve(router()),
        None => {
            let names: Vec<&str> = APPLICATIONS.iter().map(|(name, _)| *name).collect();
            let names = names.join(", ");
            drop(writeln!(
                std::io::stderr(),
                "axum: the first argument is one of {names}"
            ));
            ExitCode::FAILURE
        }
    }
}
