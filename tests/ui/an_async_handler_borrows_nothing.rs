//! An async block that borrows the request: the words are the compiler's own, and the docs of `handler` explain them.
//~ lifetime may not live long enough
use coldstart::Router;

fn main() {
    drop(Router::new().get("/", |request| async { request.path().to_owned() }));
}
