//! Tasks that other threads wake.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use loom::thread;

use super::world::World;
use super::{Counted, GET, all_end_with, in_every_order, responding, woken_by};
use crate::handler::Outcome;
use crate::message::response::Response;
use crate::task::{draining, spawn, yield_now};

/// The response of a task, each of whose threads wakes it.
async fn of_task(threads: usize) -> Response {
    let task = spawn(woken_by(threads)).unwrap();
    task.await.unwrap()
}

#[test]
fn a_task_is_polled_after_each_wake_from_another_thread() {
    for threads in [1, 2] {
        in_every_order(3, move || {
            World::of(&[GET]).serve(responding(move || of_task(threads)), all_end_with("done"));
        });
    }
}

#[test]
fn two_tasks_need_no_more_than_one_wake_up_and_neither_is_lost() {
    in_every_order(2, || {
        let handler = || async {
            let tasks = [spawn(woken_by(1)).unwrap(), spawn(woken_by(1)).unwrap()];
            for task in tasks {
                task.await.unwrap();
            }
            Response::text("done")
        };
        World::of(&[GET]).serve(responding(handler), all_end_with("done"));
    });
}

#[test]
fn a_task_that_is_woken_while_it_is_aborted_is_freed_once() {
    in_every_order(3, || {
        let freed = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&freed);
        let handler = move || {
            let counted = Counted(Arc::clone(&counter));
            async move {
                let task = spawn(async move {
                    let response = woken_by(1).await;
                    drop(counted);
                    response
                })
                .unwrap();
                // Until the task has been polled, and its thread runs.
                for _ in 0..4 {
                    yield_now().await;
                }
                task.abort();
                drop(task.await);
                Response::text("done")
            }
        };
        World::of(&[GET]).serve(responding(handler), all_end_with("done"));
        assert_eq!(freed.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_stop_waits_for_a_task_that_another_thread_wakes() {
    in_every_order(3, || {
        let world = World::of(&[GET]);
        let kernel = Arc::clone(&world.kernel);
        let freed = Arc::new(AtomicUsize::new(0));
        let (in_handler, counter) = (Arc::clone(&kernel), Arc::clone(&freed));
        let handler = move || {
            let counted = Counted(Arc::clone(&counter));
            drop(spawn(async move {
                woken_by(1).await;
                drop(counted);
            }));
            let kernel = Arc::clone(&in_handler);
            thread::spawn(move || {
                kernel.is_stop_wanted.store(true, Ordering::Release);
                kernel.wake();
            });
            Response::text("done")
        };
        let counter = Arc::clone(&freed);
        world.on_loop(responding(handler), kernel, move |reactor| {
            reactor.run().unwrap();
            assert_eq!(counter.load(Ordering::Relaxed), 1, "before the end");
        });
    });
}

#[test]
fn another_thread_that_waits_for_the_drain_is_woken_whenever_it_begins_to_wait() {
    in_every_order(3, || {
        let world = World::of(&[GET]);
        let kernel = Arc::clone(&world.kernel);
        let in_handler = Arc::clone(&kernel);
        let handler = move || {
            let drain = draining();
            // The response comes once that thread knows.
            let (outcome, reply) = Outcome::promised();
            let kernel = Arc::clone(&in_handler);
            thread::spawn(move || {
                kernel.is_stop_wanted.store(true, Ordering::Release);
                kernel.wake();
                loom::future::block_on(drain);
                reply.complete(Response::text("done"));
            });
            outcome
        };
        world.serve(responding(handler), all_end_with("done"));
    });
}
