//! An event that returns no result.
//~ is not what the code for an event or a hook returns
//~ `?` converts any error into a `FunctionError`
use coldstart::Function;

fn main() {
    let _ = Function::new().event(|_, _| 7).run();
}
