//! An async function that borrows the request: the words are the compiler's own, and the docs of `handler` explain them.
//~ one type is more general than the other
use coldstart::{Request, Router};

async fn greet(request: &Request<'_>) -> String {
    request.path().to_owned()
}

fn main() {
    drop(Router::new().get("/", greet));
}
