//! Bodies that other threads pull, while the loop fills their window, waits for room in it, or cuts it.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use loom::future::block_on;
use loom::thread::{self, JoinHandle};

use super::world::World;
use super::{Counted, PUT, all_are_over, all_end_with, in_every_order};
use crate::handler::{Accept, Handler, Outcome};
use crate::message::incoming::Incoming;
use crate::message::incoming_error::IncomingError;
use crate::message::request::{Head, Request};
use crate::message::response::Response;

/// The threads that read. Only joined after the loop, so the lock is not loom's and adds no orders.
type Readers = Arc<std::sync::Mutex<Vec<JoinHandle<()>>>>;

/// Another thread reads each body, and responds.
struct Pulling<F> {
    read: F,
    readers: Readers,
}

impl<F: Fn(Incoming) -> Response + Clone + Send + 'static> Handler for Pulling<F> {
    fn accept(&mut self, head: &Head<'_>) -> Accept {
        Accept::pull(head, |body| {
            let (outcome, reply) = Outcome::promised();
            let read = self.read.clone();
            let reader = thread::spawn(move || reply.complete(read(body)));
            self.readers.lock().unwrap().push(reader);
            outcome
        })
    }

    fn call(&mut self, _: &Request<'_>) -> Outcome {
        Response::text("unused").into()
    }
}

fn pulling<F>(readers: &Readers, read: F) -> impl FnOnce() -> Pulling<F> + Send + 'static
where
    F: Fn(Incoming) -> Response + Clone + Send + 'static,
{
    let readers = Arc::clone(readers);
    move || Pulling { read, readers }
}

/// Waits for all readers; returns how many there were.
fn joined(readers: &Readers) -> usize {
    let readers = std::mem::take(&mut *readers.lock().unwrap());
    let count = readers.len();
    for reader in readers {
        reader.join().unwrap();
    }
    count
}

/// The number of bytes, or why there are no more.
fn len_of(mut body: Incoming) -> Result<usize, IncomingError> {
    block_on(async {
        let mut len = 0;
        while let Some(chunk) = body.chunk().await? {
            len += chunk.len();
        }
        Ok(len)
    })
}

#[test]
fn a_body_that_another_thread_pulls_arrives_whole() {
    in_every_order(3, || {
        let readers = Readers::default();
        let read = |body| Response::text(format!("{:?}", len_of(body)));
        let world = World::new(&[&[PUT, "cd"]]);
        world.serve(pulling(&readers, read), all_end_with("Ok(4)"));
        assert_eq!(joined(&readers), 1);
    });
}

/// More than the window: the loop stops reading until the reader has made room.
#[test]
fn a_full_window_is_read_on_once_its_reader_has_made_room() {
    const HEAD: &str = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 120000\r\n\r\n";
    static PIECE: [u8; 40_000] = [0; 40_000];
    in_every_order(2, || {
        let readers = Readers::default();
        let piece = core::str::from_utf8(&PIECE).unwrap();
        let read = |body| Response::text(format!("{:?}", len_of(body)));
        let world = World::new(&[&[HEAD, piece, piece, piece]]);
        world.serve(pulling(&readers, read), all_end_with("Ok(120000)"));
        assert_eq!(joined(&readers), 1);
    });
}

#[test]
fn a_body_that_another_thread_drops_early_does_not_hold_up_the_response() {
    in_every_order(3, || {
        let readers = Readers::default();
        let read = |mut body: Incoming| {
            let chunk = block_on(body.chunk());
            drop(body);
            Response::text(format!("{}", chunk.is_ok()))
        };
        let world = World::new(&[&[PUT, "cd"]]);
        world.serve(pulling(&readers, read), all_end_with("true"));
        assert_eq!(joined(&readers), 1);
    });
}

#[test]
fn a_reader_on_another_thread_learns_of_a_reset() {
    in_every_order(3, || {
        let (readers, freed) = (Readers::default(), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&freed);
        let read = move |body| {
            let counted = Counted(Arc::clone(&counter));
            assert!(len_of(body).is_err(), "two bytes never arrive");
            drop(counted);
            Response::text("unsent")
        };
        let world = World::new(&[&[PUT]]).with_reset();
        world.serve(pulling(&readers, read), all_are_over);
        assert_eq!(joined(&readers), 1);
        assert_eq!(freed.load(Ordering::Relaxed), 1);
    });
}
