//! A function for `serve` without a parameter.
//~ is not a handler, nor a function that can be one
//~ expected a function or closure from `&Request<'_>`
fn hello() -> &'static str {
    "hello"
}

fn main() {
    let _ = coldstart::serve(hello);
}
