//! An async function for `serve` that borrows the request.
//~ an async function cannot borrow the request: write `|request: &Request<'_>| load(request.to_owned())`
use coldstart::Request;

async fn greet(request: &Request<'_>) -> String {
    request.path().to_owned()
}

fn main() {
    let _ = coldstart::serve(greet);
}
