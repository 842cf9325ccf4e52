//! What users type first compiles.
use coldstart::message::{Json, OwnedRequest};
use coldstart::{Function, Handler, Request, Response, Router, Server, Status};

fn hello(request: &Request<'_>) -> Response {
    Response::text(format!("hello from {}\n", request.path()))
}

fn found(request: &Request<'_>) -> Response {
    Response::new(Status::SEE_OTHER).header("location", format!("/things/{}", request.path()))
}

fn count(_: &Request<'_>) -> Result<Json<usize>, Status> {
    Ok(Json(7))
}

async fn greet(request: OwnedRequest) -> String {
    request.as_request().path().to_owned()
}

async fn later() -> Result<&'static str, Status> {
    Err(Status::GONE)
}

fn value(_: &Request<'_>) -> Response {
    let value = [1, 2, 3];
    Response::json(&value)
}

fn main() {
    let router = || Router::new().get("/", hello).post("/", found).get("/later", |_| later());
    let _ = coldstart::serve(hello);
    let _ = coldstart::serve(count);
    let _ = coldstart::serve(value);
    let _ = coldstart::serve(|_: &Request<'_>| later());
    let _ = coldstart::serve(|request: &Request<'_>| greet(request.to_owned()));
    let _ = coldstart::serve(router());
    let _ = coldstart::serve(router().with_state(7).get("/seven", |_, seven| seven.to_string()));
    let _ = coldstart::serve(router().with(|_| coldstart::handler::Next::handle()));
    let _ = Function::new().http(|_| "hello").run();
    let _ = Server::new().run(|request| request.path().to_owned());
    let _ = Server::new().run_handler(router());
}
