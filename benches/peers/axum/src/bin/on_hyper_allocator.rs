//! On hyper, with the allocator of the program on coldstart: what of the difference is the allocator's.

#[path = "on_hyper.rs"]
mod on_hyper;

#[global_allocator]
static ALLOCATOR: coldstart::Allocator = coldstart::Allocator::new();

fn main() {
    on_hyper::main();
}
