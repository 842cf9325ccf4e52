//! What the test and the code of a handler tell each other.

use core::future::poll_fn;
use core::task::{Poll, Waker};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

/// Lets async code wait for another thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<Mutex<(usize, Option<Waker>)>>);

impl Gate {
    pub(crate) fn open(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 += 1;
        if let Some(waker) = state.1.take() {
            drop(state);
            waker.wake();
        }
    }

    pub(crate) async fn pass(&self) {
        poll_fn(|context| {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if state.0 > 0 {
                state.0 -= 1;
                return Poll::Ready(());
            }
            state.1 = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Reports that it was dropped.
#[derive(Debug)]
pub(crate) struct Dropped(pub(crate) Sender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}
