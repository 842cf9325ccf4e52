//! Interleavings of the loop with the threads of a pool.

use crate::handler::FunctionHandler;
use crate::handler::blocking::Blocking;
use crate::message::request::Request;
use crate::message::response::Response;

use super::world::World;
use super::{GET, all_end_with, in_every_order};

#[test]
fn a_pool_answers_all_requests_and_ends_with_its_handler() {
    for threads in [1, 2] {
        in_every_order(2, move || {
            let handler = move || {
                Blocking::new(
                    FunctionHandler::new(|_: &Request<'_>| Response::text("done")),
                    threads,
                )
            };
            World::of(&[GET, GET]).serve(handler, all_end_with("done"));
        });
    }
}

#[test]
fn a_closure_on_a_thread_of_a_pool_wakes_the_future_that_awaits_it() {
    in_every_order(2, || {
        let handler = || {
            let pool = Blocking::threads(1);
            FunctionHandler::new(move |_: &Request<'_>| pool.run(|| "done"))
        };
        World::of(&[GET]).serve(handler, all_end_with("done"));
    });
}

#[test]
fn a_pool_ends_although_jobs_are_queued() {
    in_every_order(2, || {
        let handler = || {
            Blocking::new(
                FunctionHandler::new(|_: &Request<'_>| Response::text("done")),
                1,
            )
        };
        // The first response is enough: the second job is queued, running, or done.
        World::of(&[GET, GET]).serve(handler, |peers| {
            peers.iter().any(|peer| peer.text().ends_with("done"))
        });
    });
}
