//! Bodies that are polled on the loop, and woken by other threads.

use core::task::Poll;
use std::sync::Arc;

use loom::thread;

use super::{GET, LAST_CHUNK, World, all_end_with, content, in_every_order, responding, woken_by};
use crate::Body;
use crate::message::response::Response;

#[test]
fn a_body_is_polled_after_each_wake_from_another_thread() {
    in_every_order(3, || {
        let handler = || {
            Response::text(Body::writer(async |out| {
                out.send("a").await?;
                woken_by(1).await;
                Ok(out.send("b").await?)
            }))
        };
        let peers = World::of(&[GET]).serve(responding(handler), all_end_with(LAST_CHUNK));
        assert_eq!(content(&peers[0]), "ab");
    });
}

#[test]
fn a_body_from_a_function_is_polled_after_each_wake_from_another_thread() {
    in_every_order(3, || {
        let handler = || {
            let mut slot = None::<Arc<loom::sync::Mutex<Option<&'static str>>>>;
            let mut is_over = false;
            Response::text(Body::poll_fn(move |context| {
                if is_over {
                    return Poll::Ready(None);
                }
                let Some(slot) = &slot else {
                    let (waker, filled) = (context.waker().clone(), Arc::default());
                    slot = Some(Arc::clone(&filled));
                    thread::spawn(move || {
                        *filled.lock().unwrap() = Some("piece");
                        waker.wake();
                    });
                    return Poll::Pending;
                };
                let Some(piece) = slot.lock().unwrap().take() else {
                    return Poll::Pending;
                };
                is_over = true;
                Poll::Ready(Some(Ok::<_, ()>(piece.into())))
            }))
        };
        let peers = World::of(&[GET]).serve(responding(handler), all_end_with(LAST_CHUNK));
        assert_eq!(content(&peers[0]), "piece");
    });
}
