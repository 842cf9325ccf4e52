//! What the code for an event or a hook returns, a value or a future, and what becomes of it.

use core::cell::Cell;
use core::pin::Pin;
use core::task::{self, Poll};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, PoisonError};

use crate::current_request::CurrentRequest;
use crate::handler::future::{Interest, finish_parked};
use crate::handler::outcome::{
    Async, Awaited, Ending, Eventual, Outcome, Pending, PollParked, Value, Wire,
};
use crate::limits::Limits;
use crate::message::response::{Response, Status};
use crate::sync::Mutex;
use crate::sync::loop_thread::{self, Runner};
use crate::sync::notify::Notify;
use crate::sync::oneshot::Polled;
use crate::task::parked::{Parked, start};

use super::call::Call;
use super::calls::{Callback, Reached};
use super::context::{Context, OwnedContext};
use super::failure::{FunctionError, STATUS_FIELD};
use super::once::Once;
use super::record::{self, CallEnd, Mark};

/// What the code for events and hooks may return: a `Result<T, FunctionError>`, or a future of one, which need not be `Send`.
///
/// `Kind` is inferred: [`Value`], or [`Async`] for futures, which are polled as a handler's are: see [async
/// handlers](crate::handler#async-handlers). A future cannot borrow the [`Context`] and the payload of its call. It gets
/// [`Context::to_owned`] and a copy instead. This crate alone implements the trait.
///
/// ```
/// use coldstart::{Function, TestRequest};
///
/// let function = Function::new().event(|context, payload| {
///     let (context, text) = (context.to_owned(), String::from_utf8(payload.to_vec()));
///     async move {
///         // Here it may wait for something.
///         let text = text?;
///         context.as_context().log(format_args!("{} bytes", text.len()));
///         Ok(text.to_uppercase())
///     }
/// });
/// let response = TestRequest::post("/invoke").body("ping").run_handler(&mut function.handler());
/// assert_eq!(response.text(), "PING");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not what the code for an event or a hook returns",
    label = "expected a `Result<_, FunctionError>`, or a future of one",
    note = "`?` converts any error into a `FunctionError`"
)]
pub trait IntoFunctionResult<T, Kind = Value>: Complete<T, Kind> {}

impl<T: 'static> IntoFunctionResult<T> for Result<T, FunctionError> {}

impl<T, F> IntoFunctionResult<T, Async> for F
where
    T: 'static,
    F: Future<Output = Result<T, FunctionError>> + 'static,
{
}

/// A future of what the code returns.
pub(super) type Made<T> = Pin<Box<dyn Future<Output = Result<T, FunctionError>>>>;

/// What each kind does; private, so that no other type can.
#[expect(
    unnameable_types,
    private_interfaces,
    reason = "it seals the trait above"
)]
pub trait Complete<T, Kind>: Sized {
    /// The call's response, which `respond` makes.
    fn complete(
        self,
        mark: &mut Mark<&CurrentRequest>,
        respond: impl Fn(T) -> Result<Response, FunctionError> + 'static,
    ) -> Result<Reached, FunctionError>;

    /// A callback that runs the hook until it has succeeded once.
    fn once(hook: impl Fn(&Context<'_>) -> Self + Send + Sync + 'static) -> Callback;

    /// Waits for it on this thread, which runs no loop yet.
    fn wait(self) -> Result<T, FunctionError>;

    /// It as a future, which may be made anywhere.
    fn into_made(self) -> Made<T>;
}

#[expect(private_interfaces, reason = "as in the trait")]
impl<T: 'static> Complete<T, Value> for Result<T, FunctionError> {
    #[inline]
    fn complete(
        self,
        _: &mut Mark<&CurrentRequest>,
        respond: impl Fn(T) -> Result<Response, FunctionError> + 'static,
    ) -> Result<Reached, FunctionError> {
        respond(self?).map(Reached::Response)
    }

    fn once(hook: impl Fn(&Context<'_>) -> Self + Send + Sync + 'static) -> Callback {
        let is_done = Mutex::new(false);
        Box::new(move |context, _, _| {
            // Poisoned by a panic of the hook, which therefore has not succeeded.
            let mut is_done = is_done.lock().unwrap_or_else(PoisonError::into_inner);
            if !*is_done {
                hook(context)?;
                *is_done = true;
            }
            Ok(Reached::Response(Response::new(Status::OK)))
        })
    }

    fn wait(self) -> Self {
        self
    }

    fn into_made(self) -> Made<T> {
        Box::pin(core::future::ready(self))
    }
}

#[expect(private_interfaces, reason = "as in the trait")]
impl<T, F> Complete<T, Async> for F
where
    T: 'static,
    F: Future<Output = Result<T, FunctionError>> + 'static,
{
    fn complete(
        self,
        mark: &mut Mark<&CurrentRequest>,
        respond: impl Fn(T) -> Result<Response, FunctionError> + 'static,
    ) -> Result<Reached, FunctionError> {
        let completion = Completion {
            respond,
            call: mark.call,
            mark: mark.take_over().map(Box::new),
        };
        let outcome = start(
            self,
            completion,
            |completion, future, context| completion.poll(future, context).map(Outcome::from),
            |completion, future, alarm| {
                let future = Parked::new(future, alarm);
                let call = Box::new(ParkedCall { future, completion });
                Outcome::new(Eventual::Awaited(Some(Awaited::Future(call))))
            },
        );
        Ok(Reached::Outcome(outcome))
    }

    fn once(hook: impl Fn(&Context<'_>) -> Self + Send + Sync + 'static) -> Callback {
        let once = Arc::new(Once::new(hook));
        Box::new(move |context, _, mark| {
            let run = run_once(Arc::clone(&once), context.to_owned());
            run.complete(mark, |()| Ok(Response::new(Status::OK)))
        })
    }

    fn into_made(self) -> Made<T> {
        Box::pin(self)
    }

    fn wait(self) -> Result<T, FunctionError> {
        let _guard = loop_thread::enter(Runner::of_waiter(Limits::new().timers_max));
        let returned = Rc::new(Cell::new(None));
        let slot = Rc::clone(&returned);
        let outcome = Outcome::future(async move {
            slot.set(Some(self.await));
            Status::OK
        });
        drop(finish_parked(outcome, || Interest::Kept));
        returned.take().unwrap_or_else(|| {
            Err(FunctionError::new("the function's future panicked").error_type("Panic"))
        })
    }
}

async fn run_once<T, F>(
    once: Arc<Once<impl Fn(&Context<'_>) -> F>>,
    context: OwnedContext,
) -> Result<(), FunctionError>
where
    F: Future<Output = Result<T, FunctionError>>,
{
    if let Some(turn) = once.turn().await {
        (turn.hook())(&context.as_context()).await?;
        turn.succeed();
    }
    Ok(())
}

/// A call that goes on in a future.
struct ParkedCall<F, R> {
    // Dropped in this order: the call ends after its future.
    future: Parked<Option<F>>,
    completion: Completion<R>,
}

impl<T, F, R> PollParked for ParkedCall<F, R>
where
    F: Future<Output = Result<T, FunctionError>>,
    R: Fn(T) -> Result<Response, FunctionError>,
{
    fn attach(&mut self, notify: Notify) -> bool {
        self.future.attach(notify)
    }

    fn poll(&mut self, polls_left: &mut usize, _: Option<Wire<'_>>) -> Polled<Pending> {
        let completion = &mut self.completion;
        let polled = self
            .future
            .poll(polls_left, |future, context| match future.as_pin_mut() {
                Some(future) => completion.poll(future, context),
                None => Poll::Pending,
            });
        match polled {
            Polled::Filled(response) => Polled::Filled(Pending::Response(response)),
            Polled::Pending => Polled::Pending,
            Polled::Broken => Polled::Broken,
        }
    }

    /// The mark that this call has taken over is its end.
    fn at_end(&mut self, _: fn(&CurrentRequest, Ending)) {}
}

/// Makes the response of what a future yields.
struct Completion<R> {
    respond: R,
    call: Call,
    /// `None` without marker lines.
    mark: Option<Box<Mark<CurrentRequest>>>,
}

impl<R> Completion<R> {
    fn poll<T, F>(&mut self, future: Pin<&mut F>, context: &mut task::Context<'_>) -> Poll<Response>
    where
        F: Future<Output = Result<T, FunctionError>>,
        R: Fn(T) -> Result<Response, FunctionError>,
    {
        let respond = &self.respond;
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let polled = future.poll(context);
            polled.map(|returned| returned.and_then(respond))
        }));
        let returned = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(returned)) => returned.inspect_err(|error| {
                let current = CurrentRequest::current();
                let name = self.call.name();
                record::write(
                    "ERROR",
                    current.name(),
                    &format_args!("{name} failed: {error}"),
                );
            }),
            Err(panic) => Err(FunctionError::from_panic(&*panic)),
        };
        Poll::Ready(match returned {
            Ok(response) => response.header(STATUS_FIELD, "200"),
            Err(error) => {
                if let Some(mark) = &mut self.mark {
                    mark.outcome = CallEnd::Failure;
                }
                error.response()
            }
        })
    }
}
