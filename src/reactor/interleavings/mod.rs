//! Interleavings of the loop with other threads, explored by loom with a few preemptions per model:
//! `.ci/sanitize interleavings`. `LOOM_MAX_PREEMPTIONS` sets how many.
//!
//! The loop, its mailbox and everything that posts to it are the shipped code; the kernel is simulated. Its poll sleeps
//! until an event arrives, never for a time-out: a lost wake-up is a deadlock, and loom reports it.

mod bodies;
mod incoming;
mod pool;
mod tasks;
mod world;

use core::future::poll_fn;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::Poll;
use std::sync::Arc;

use bytes::Bytes;
use loom::thread;

use super::mailbox::Mailbox;
use crate::Body;
use crate::handler::{
    Accept, Demand, FunctionHandler, Handler, IntoOutcome, Outcome, Reply, Upload,
};
use crate::message::request::{Head, Request};
use crate::message::response::Response;
use crate::message::{BodySender, SendError, TrySendError};
use crate::os::Key;
use crate::sync::pause::Pause;
use world::{Kernel, Peer, World};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const PUT: &str = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab";
const LAST_CHUNK: &str = "0\r\n\r\n";

/// Explores all orders with at most `preemptions` involuntary switches, and prints how many there were.
fn in_every_order(preemptions: usize, run: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = model.preemption_bound.or(Some(preemptions));
    model.max_branches = 20_000;
    let orders = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&orders);
    model.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        run();
    });
    let orders = orders.load(Ordering::Relaxed);
    let name = std::thread::current().name().map(str::to_owned);
    println!("{orders} orders: {}", name.unwrap_or_default());
    assert!(orders > 1, "no two threads met");
}

/// A handler that returns what `respond` returns.
fn responding<R: IntoOutcome<Kind> + 'static, Kind: 'static>(
    respond: impl Fn() -> R + Clone + Send + Sync + 'static,
) -> impl FnOnce() -> FunctionHandler<Box<dyn FnMut(&Request<'_>) -> R>, Kind> + Send + 'static {
    move || FunctionHandler::new(Box::new(move |_| respond()))
}

/// A response that another thread completes, or drops.
fn promised(complete: impl FnOnce(Reply) + Send + 'static) -> Outcome {
    let (outcome, reply) = Outcome::promised();
    thread::spawn(move || complete(reply));
    outcome
}

/// A future that is ready once each of its threads has woken it.
fn woken_by(threads: usize) -> impl Future<Output = Response> {
    let count = Arc::new(loom::sync::atomic::AtomicUsize::new(0));
    let mut waiting = threads;
    poll_fn(move |context| {
        for _ in 0..std::mem::take(&mut waiting) {
            let (waker, count) = (context.waker().clone(), Arc::clone(&count));
            thread::spawn(move || {
                // What a wake is for must be visible to the poll that follows it.
                count.fetch_add(1, Ordering::Relaxed);
                waker.wake();
            });
        }
        if count.load(Ordering::Relaxed) < threads {
            return Poll::Pending;
        }
        Poll::Ready(Response::text("done"))
    })
}

/// A response whose body another thread sends.
fn streamed(bytes_max: usize, send: impl FnOnce(BodySender) + Send + 'static) -> Response {
    let (sender, body) = Body::channel(bytes_max);
    thread::spawn(move || send(sender));
    Response::text(body)
}

fn all_end_with(end: &'static str) -> impl Fn(&[Peer]) -> bool + Send {
    move |peers| peers.iter().all(|peer| peer.text().ends_with(end))
}

fn all_are_over(peers: &[Peer]) -> bool {
    peers.iter().all(|peer| peer.is_over)
}

/// The content of all chunks.
fn content(peer: &Peer) -> String {
    let (_, body) = peer.text().split_once("\r\n\r\n").unwrap();
    body.split("\r\n").skip(1).step_by(2).collect()
}

/// Counts how often its memory is freed.
struct Counted(Arc<AtomicUsize>);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        "counted".as_bytes()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn each_posted_key_is_taken_once_and_none_is_lost() {
    in_every_order(3, || {
        let kernel = Arc::new(Kernel::default());
        let waker = Arc::clone(&kernel);
        let mailbox = Arc::new(Mailbox::new(move || waker.wake()));
        let post = |slot: u32| {
            let mailbox = Arc::clone(&mailbox);
            let key = move |generation| Key { slot, generation };
            thread::spawn(move || (0..2).for_each(|generation| mailbox.post(key(generation))))
        };
        let threads = [post(0), post(1)];
        let (mut taken, mut keys) = (Vec::new(), Vec::new());
        while taken.len() < 4 {
            let mut events = kernel.events.lock().unwrap();
            while events.is_empty() {
                events = kernel.edge.wait(events).unwrap();
            }
            events.clear();
            drop(events);
            mailbox.take(&mut keys);
            taken.append(&mut keys);
        }
        for thread in threads {
            thread.join().unwrap();
        }
        mailbox.take(&mut keys);
        assert!(keys.is_empty(), "no key is taken twice");
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken.len(), 4, "no key is lost");
    });
}

#[test]
fn a_response_from_another_thread_is_sent() {
    in_every_order(3, || {
        let handler = || promised(|reply| reply.complete(Response::text("done")));
        let peers = World::of(&[GET, GET]).serve(responding(handler), all_end_with("done"));
        assert!(
            peers
                .iter()
                .all(|peer| peer.text().matches("HTTP/1.1").count() == 1)
        );
    });
}

#[test]
fn a_future_is_polled_after_each_wake_from_another_thread() {
    for threads in [1, 2] {
        in_every_order(3, move || {
            let peers = World::of(&[GET])
                .serve(responding(move || woken_by(threads)), all_end_with("done"));
            assert_eq!(peers[0].text().matches("HTTP/1.1").count(), 1);
        });
    }
}

#[test]
fn futures_of_two_sessions_are_woken_apart() {
    in_every_order(2, || {
        World::of(&[GET, GET]).serve(responding(|| woken_by(1)), all_end_with("done"));
    });
}

#[test]
fn a_future_that_wakes_itself_needs_no_wake_up_beside_those_of_others() {
    in_every_order(3, || {
        let handler = || async {
            let mut polls = 0;
            poll_fn(|context| {
                polls += 1;
                context.waker().wake_by_ref();
                if polls < 3 {
                    Poll::Pending
                } else {
                    Poll::Ready(())
                }
            })
            .await;
            woken_by(1).await
        };
        World::of(&[GET]).serve(responding(handler), all_end_with("done"));
    });
}

#[test]
fn a_future_is_freed_once_when_its_peer_leaves_meanwhile() {
    in_every_order(3, || {
        let freed = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&freed);
        let handler = move || {
            let counted = Counted(Arc::clone(&counter));
            async move {
                let response = woken_by(1).await;
                drop(counted);
                response
            }
        };
        let world = World::of(&[GET]).with_reset();
        world.serve(responding(handler), all_are_over);
        assert_eq!(freed.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_dropped_reply_becomes_a_500_response() {
    in_every_order(4, || {
        let peers =
            World::of(&[GET]).serve(responding(|| promised(drop)), all_end_with("failed\n"));
        assert!(peers[0].text().starts_with("HTTP/1.1 500 "));
    });
}

#[test]
fn a_response_is_freed_once_when_its_peer_leaves_meanwhile() {
    in_every_order(4, || {
        let freed = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&freed);
        let replying = Arc::new(std::sync::Mutex::new(None));
        let thread = Arc::clone(&replying);
        let handler = move || {
            let counted = Counted(Arc::clone(&counter));
            let (response, reply) = Outcome::promised();
            *thread.lock().unwrap() = Some(thread::spawn(move || {
                reply.complete(Response::text(Bytes::from_owner(counted)));
            }));
            response
        };
        let world = World::of(&[GET]).with_reset();
        world.serve(responding(handler), all_are_over);
        let replying = replying.lock().unwrap().take();
        replying.unwrap().join().unwrap();
        assert_eq!(freed.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn whoever_waits_until_the_peer_is_gone_is_woken() {
    in_every_order(3, || {
        let wait = |mut reply: Reply| {
            loom::future::block_on(reply.peer_gone());
            assert!(reply.is_peer_gone(), "it stays gone");
        };
        World::of(&[GET])
            .with_reset()
            .serve(responding(move || promised(wait)), all_are_over);
    });
}

#[test]
fn a_stop_waits_for_the_response_in_progress() {
    in_every_order(3, || {
        let world = World::of(&[GET]);
        let kernel = Arc::clone(&world.kernel);
        let handler = {
            let kernel = Arc::clone(&kernel);
            move || {
                let kernel = Arc::clone(&kernel);
                // As `Stopper::stop` does.
                thread::spawn(move || {
                    kernel.is_stop_wanted.store(true, Ordering::Release);
                    kernel.wake();
                });
                promised(|reply| reply.complete(Response::text("done")))
            }
        };
        let peers = world.on_loop(responding(handler), kernel, |reactor| {
            reactor.run().unwrap()
        });
        assert!(peers[0].text().ends_with("done") && peers[0].is_over);
    });
}

#[test]
fn a_streamed_body_arrives_whole_and_in_order() {
    in_every_order(3, || {
        let send = |sender: BodySender| {
            for piece in ["ab", "cd", "e"] {
                assert_eq!(sender.send(piece), Ok(()));
            }
            sender.finish();
        };
        let handler = move || streamed(2, send);
        let peers = World::of(&[GET]).serve(responding(handler), all_end_with(LAST_CHUNK));
        assert_eq!(content(&peers[0]), "abcde");
    });
}

#[test]
fn a_streamed_body_that_was_promised_arrives_whole() {
    in_every_order(3, || {
        let handler = || {
            promised(|reply| {
                let (sender, body) = Body::channel(1);
                assert_eq!(sender.send("a"), Ok(()));
                reply.complete(Response::text(body));
                assert_eq!(sender.send("b"), Ok(()));
                sender.finish();
            })
        };
        let peers = World::of(&[GET]).serve(responding(handler), all_end_with(LAST_CHUNK));
        assert_eq!(content(&peers[0]), "ab");
    });
}

#[test]
fn two_threads_may_send_one_body() {
    in_every_order(2, || {
        let handler = || {
            let (sender, body) = Body::channel(2);
            let sender = Arc::new(sender);
            for piece in ["a", "bc"] {
                let sender = Arc::clone(&sender);
                thread::spawn(move || {
                    assert_eq!(sender.send(piece), Ok(()));
                    if let Some(last) = Arc::into_inner(sender) {
                        last.finish();
                    }
                });
            }
            Response::text(body)
        };
        let peers = World::of(&[GET]).serve(responding(handler), all_end_with(LAST_CHUNK));
        let content = content(&peers[0]);
        assert!(content == "abc" || content == "bca", "{content}");
    });
}

#[test]
fn an_async_task_is_woken_when_there_is_room() {
    in_every_order(3, || {
        let send = |sender: BodySender| {
            loom::future::block_on(async {
                for piece in ["ab", "cd", "e"] {
                    let mut piece = Bytes::from(piece);
                    loop {
                        assert_eq!(poll_fn(|context| sender.poll_ready(context)).await, Ok(()));
                        match sender.try_send(piece) {
                            Ok(()) => break,
                            Err(TrySendError::Full(again)) => piece = again,
                            Err(TrySendError::PeerGone) => panic!("the peer has not left"),
                        }
                    }
                }
            });
            sender.finish();
        };
        let handler = move || streamed(3, send);
        let peers = World::of(&[GET]).serve(responding(handler), all_end_with(LAST_CHUNK));
        assert_eq!(content(&peers[0]), "abcde");
    });
}

#[test]
fn a_dropped_sender_cuts_the_response() {
    in_every_order(3, || {
        let send = |sender: BodySender| assert_eq!(sender.send("a"), Ok(()));
        let peers = World::of(&[GET]).serve(responding(move || streamed(2, send)), all_are_over);
        assert!(!peers[0].text().ends_with(LAST_CHUNK));
    });
}

#[test]
fn a_waiting_sender_gets_an_error_when_its_peer_leaves() {
    in_every_order(3, || {
        let send = |sender: BodySender| {
            if let Some(error) = (0..3).find_map(|_| sender.send("ab").err()) {
                assert_eq!(error, SendError::PeerGone);
                assert!(sender.is_peer_gone(), "a peer that has left stays gone");
            }
        };
        let handler = move || streamed(2, send);
        World::of(&[GET])
            .with_reset()
            .serve(responding(handler), all_are_over);
    });
}

/// An upload that pauses at its first piece until another thread resumes it.
#[derive(Default)]
struct Pausing {
    pieces: usize,
}

impl Upload for Pausing {
    fn on_piece(&mut self, _: &[u8]) -> Demand {
        self.pieces += 1;
        if self.pieces > 1 {
            return Demand::More;
        }
        let (pause, resume) = Pause::new();
        thread::spawn(move || resume.resume());
        Demand::Pause(pause)
    }

    fn on_end(self: Box<Self>) -> Outcome {
        Response::text(format!("{} pieces", self.pieces)).into()
    }
}

impl Handler for Pausing {
    fn accept(&mut self, _: &Head<'_>) -> Accept {
        Accept::Stream(Box::new(Self::default()))
    }

    fn call(&mut self, _: &Request<'_>) -> Outcome {
        Response::text("unused").into()
    }
}

#[test]
fn a_paused_upload_is_resumed() {
    in_every_order(4, || {
        World::new(&[&[PUT, "cd"]]).serve(Pausing::default, all_end_with("2 pieces"));
    });
}
