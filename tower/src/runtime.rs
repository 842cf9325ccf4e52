//! A tokio runtime beside the loops: entered for each poll of a service, and driven by a thread of its own. Feature `tokio`.

use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread;

use http_body::{Frame, SizeHint};
use tokio::runtime::{Builder, EnterGuard, Handle};
use tokio::sync::oneshot;

/// How long the end of the last handler waits for a task that computes. All others are dropped where they wait. Nothing is served any
/// more by then: each handler has its part in the runtime until its loop has ended.
const END_MAX: Duration = Duration::from_secs(1);

/// The runtime of this process, while a handler needs it.
static SHARED: Mutex<Weak<Beside>> = Mutex::new(Weak::new());

/// The runtime of the handlers of this process: for code that runs before the first request, such as that which connects to a database
/// in [`Function::init`](coldstart::Function::init). Built by the first call, or by the first request.
///
/// It lives as long as a [`ServiceHandler`](crate::ServiceHandler); without one, as long as the process.
///
/// # Errors
///
/// The kernel denies what a runtime needs, or a thread.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use core::time::Duration;
///
/// let runtime = coldstart_tower::runtime()?;
/// runtime.block_on(async { tokio::time::sleep(Duration::from_millis(1)).await });
/// # Ok(())
/// # }
/// ```
pub fn runtime() -> io::Result<Handle> {
    let beside = Beside::shared();
    let handle = beside.handle()?.clone();
    if Arc::strong_count(&beside) == 1 {
        // No handler has it.
        core::mem::forget(beside);
    }
    Ok(handle)
}

/// What a handler, its futures and its bodies hold, so that the runtime lives as long as they.
#[derive(Clone)]
pub(crate) struct Lease(Arc<Beside>);

impl Lease {
    /// Builds nothing yet.
    pub(crate) fn new() -> Self {
        Self(Beside::shared())
    }

    /// This thread is in the runtime until the guard is dropped.
    pub(crate) fn enter(&self) -> io::Result<EnterGuard<'_>> {
        self.0.handle().map(Handle::enter)
    }
}

/// A runtime that is built when it is needed.
struct Beside(OnceLock<Result<Running, io::ErrorKind>>);

struct Running {
    handle: Handle,
    /// Dropped, it ends the thread.
    stop: Option<oneshot::Sender<()>>,
    /// Disconnected once the runtime has ended.
    ended: Mutex<Receiver<()>>,
}

impl Beside {
    fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(beside) = shared.upgrade() {
            return beside;
        }
        let beside = Arc::new(Self(OnceLock::new()));
        *shared = Arc::downgrade(&beside);
        beside
    }

    fn built(&self) -> Option<&Handle> {
        let running = self.0.get()?;
        running.as_ref().ok().map(|running| &running.handle)
    }

    fn handle(&self) -> io::Result<&Handle> {
        let running = self
            .0
            .get_or_init(|| Running::start().map_err(|error| error.kind()));
        match running {
            Ok(running) => Ok(&running.handle),
            Err(kind) => Err(io::Error::from(*kind)),
        }
    }
}

impl Running {
    fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let (ended_in, ended) = channel();
        let drive = move || {
            // Its sender is dropped, and sends nothing.
            let _ = runtime.block_on(stopped);
            // Threads that block are left to themselves.
            runtime.shutdown_background();
            drop(ended_in);
        };
        thread::Builder::new()
            .name("tokio".to_owned())
            .spawn(drive)?;
        Ok(Self {
            handle,
            stop: Some(stop),
            ended: Mutex::new(ended),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if Handle::try_current().is_ok_and(|current| current.id() == self.handle.id()) {
            // The last one is dropped in the runtime itself, which cannot wait for its own end.
            return;
        }
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        match ended.recv_timeout(END_MAX) {
            Ok(()) | Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => {}
        }
    }
}

impl Lease {
    /// The service, used and dropped in the runtime.
    pub(crate) const fn service<S>(self, service: S) -> Kept<S> {
        Kept {
            service: Some(service),
            lease: self,
        }
    }

    /// The future's value. It is polled and dropped in the runtime.
    pub(crate) async fn future<F: Future>(self, future: F) -> F::Output {
        let future = pin!(Some(future));
        let mut held = Held {
            future,
            lease: &self,
        };
        poll_fn(|context| held.poll(context)).await
    }

    /// The body, polled and dropped in the runtime.
    pub(crate) fn body<B: http_body::Body>(self, body: B) -> Entered<B> {
        let body = Box::pin(Some(body));
        Entered { body, lease: self }
    }
}

/// A service that is used in the runtime, and dropped there: it may hold a pool of connections.
#[derive(Clone)]
pub(crate) struct Kept<S> {
    /// `None` only while it is dropped.
    service: Option<S>,
    lease: Lease,
}

impl<S> Kept<S> {
    pub(crate) const fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Calls `run` in the runtime.
    pub(crate) fn enter<R>(&mut self, run: impl FnOnce(&mut S) -> R) -> io::Result<R> {
        let _entered = self.lease.enter()?;
        let service = self.service.as_mut();
        service
            .map(run)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl<S> Drop for Kept<S> {
    fn drop(&mut self) {
        // Without a runtime so far, it has needed none.
        let _entered = self.lease.0.built().map(Handle::enter);
        self.service = None;
    }
}

/// A future that is polled in the runtime, and dropped there: what it holds may spawn a task in its `Drop`, as a pooled connection of
/// a database does.
struct Held<'a, F> {
    future: Pin<&'a mut Option<F>>,
    lease: &'a Lease,
}

impl<F: Future> Held<'_, F> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<F::Output> {
        // It was entered for the call, so there is one.
        let _entered = self.lease.enter();
        match self.future.as_mut().as_pin_mut() {
            Some(future) => future.poll(context),
            None => Poll::Pending,
        }
    }
}

impl<F> Drop for Held<'_, F> {
    fn drop(&mut self) {
        let _entered = self.lease.enter();
        self.future.set(None);
    }
}

/// A body that is polled in the runtime, and dropped there.
pub(crate) struct Entered<B> {
    /// `None` only while it is dropped.
    body: Pin<Box<Option<B>>>,
    lease: Lease,
}

impl<B: http_body::Body> http_body::Body for Entered<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let Self { body, lease } = &mut *self;
        let _entered = lease.enter();
        match body.as_mut().as_pin_mut() {
            Some(body) => body.poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body
            .as_ref()
            .get_ref()
            .as_ref()
            .is_none_or(B::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.body.as_ref().get_ref().as_ref();
        body.map_or_else(SizeHint::default, B::size_hint)
    }
}

impl<B> Drop for Entered<B> {
    fn drop(&mut self) {
        let Self { body, lease } = self;
        let _entered = lease.enter();
        body.as_mut().set(None);
    }
}
