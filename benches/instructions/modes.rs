//! Handlers that return a value or a future: the benchmark starts itself as the server of one of them.

use std::cell::Cell;
use std::future::poll_fn;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::task::{Poll, Waker};
use std::thread;

use coldstart::server::StartError;
use coldstart::{Request, Response, Server};

/// What the handler returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A value.
    Value,
    /// A future that is ready at once.
    Ready,
    /// A future that awaits another one, which is ready.
    Awaits,
    /// A future that waits, and is woken by the loop's own thread.
    WokenHere,
    /// A future that waits, and is woken by another thread once the loop sleeps.
    WokenElsewhere,
}

pub(crate) const MODES: [(&str, Mode); 5] = [
    ("value", Mode::Value),
    ("future-ready", Mode::Ready),
    ("future-awaits-ready", Mode::Awaits),
    ("future-woken-here", Mode::WokenHere),
    ("future-woken-elsewhere", Mode::WokenElsewhere),
];

/// Serves until SIGTERM.
pub(crate) fn serve(mode: Mode, port: u16) -> Result<(), StartError> {
    let server = Server::new().port(port);
    match mode {
        Mode::Value => server.run(|_: &Request<'_>| greeting()),
        Mode::Ready => server.run(|_: &Request<'_>| async { greeting() }),
        Mode::Awaits => server.run(|_: &Request<'_>| async {
            poll_fn(|_| black_box(Poll::Ready(()))).await;
            greeting()
        }),
        Mode::WokenHere => server.run(|_: &Request<'_>| async {
            wait(Waker::wake_by_ref).await;
            greeting()
        }),
        Mode::WokenElsewhere => {
            let wakers = waking_thread();
            server.run(move |_: &Request<'_>| {
                let wakers = wakers.clone();
                async move {
                    wait(|waker| drop(wakers.send((waker.clone(), here())))).await;
                    greeting()
                }
            })
        }
    }
}

fn greeting() -> Response {
    Response::text("Hello, World!")
}

/// Waits once, after `wake` has got the waker.
async fn wait(wake: impl Fn(&Waker)) {
    let is_woken = Cell::new(false);
    poll_fn(|context| {
        if is_woken.replace(true) {
            return Poll::Ready(());
        }
        wake(context.waker());
        Poll::Pending
    })
    .await;
}

/// The file of this thread's state.
fn here() -> PathBuf {
    thread_local! {
        static STATUS: PathBuf = {
            let thread = std::fs::read_link("/proc/thread-self").unwrap_or_default();
            Path::new("/proc").join(thread).join("status")
        };
    }
    STATUS.with(PathBuf::clone)
}

/// A thread that wakes what it gets, once the thread that waits for it sleeps.
fn waking_thread() -> Sender<(Waker, PathBuf)> {
    let (sender, wakers) = channel::<(Waker, PathBuf)>();
    thread::spawn(move || {
        for (waker, status) in wakers {
            while !is_asleep(&status) {
                thread::yield_now();
            }
            waker.wake();
        }
    });
    sender
}

fn is_asleep(status: &Path) -> bool {
    let status = std::fs::read_to_string(status);
    // A thread whose state cannot be read would keep the request waiting for ever.
    status.map_or(true, |status| status.contains("\nState:\tS"))
}
