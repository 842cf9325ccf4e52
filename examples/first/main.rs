//! The program at the top of the front page: three routes, and a test that needs no server.
//!
//! ```console
//! $ cargo run --example first
//! $ curl localhost:9000/things/7
//! thing 7
//! $ curl -i -d abc localhost:9000/things
//! HTTP/1.1 201 Created
//! Content-Type: text/plain; charset=utf-8
//! Content-Length: 8
//! Date: …
//!
//! 3 bytes
//! ```

use coldstart::{Router, Status};

async fn load(id: String) -> Result<String, Status> {
    Ok(format!("thing {id}\n")) // Here it may wait for something: others are served meanwhile.
}

fn router() -> Router {
    Router::new()
        .get("/", |_| "hello\n")
        .get("/things/{id}", |request| {
            load(request.parameter("id").unwrap_or_default().into_owned())
        })
        .post("/things", |request| {
            (Status::CREATED, format!("{} bytes\n", request.body().len()))
        })
}

fn main() -> std::process::ExitCode {
    coldstart::serve(router()) // 0.0.0.0, the platform's port or 9000; SIGTERM lets requests finish.
}

#[test]
fn a_thing_has_its_number() {
    let request = coldstart::TestRequest::get("/things/7");
    assert_eq!(request.run_handler(&mut router()).text(), "thing 7\n");
}
