//! A closure for `serve` without the type of its parameter.
//~ write a closure with the type of its parameter: `|request: &Request<'_>| …`
fn main() {
    let _ = coldstart::serve(|_| "hello");
}
