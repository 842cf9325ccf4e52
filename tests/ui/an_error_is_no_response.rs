//! A route whose error is none of ours.
//~ is not a response
//~ an error becomes a response by `map_err`
use coldstart::{Request, Router};

fn read(request: &Request<'_>) -> Result<String, std::num::ParseIntError> {
    let number: u8 = request.path().parse()?;
    Ok(number.to_string())
}

fn main() {
    drop(Router::new().get("/", read));
}
