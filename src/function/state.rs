//! A value that the initializer makes, for the code of all calls.

use core::fmt;
use std::sync::{Arc, OnceLock, PoisonError};

use crate::handler::outcome::{Async, Value};
use crate::message::response::{Response, Status};
use crate::sync::Mutex;

use super::calls::{Callback, Reached};
use super::failure::FunctionError;
use super::once::Once;
use super::returned::{Complete as _, IntoFunctionResult, Made};

/// A value that is made once, by the initializer or else by the first call that needs it, such as a pool of connections.
///
/// [`Function::initializer_state`](super::Function::initializer_state) makes it on `POST /initialize`. The platform calls that only
/// if it is configured to, so [`get`](Self::get) makes the value itself where it is missing. A failure goes to the call that met it,
/// and the next call tries again ([contract §4](crate::contract#4-keep-alive-freeze-end-of-life)).
///
/// The code that makes the value returns a `Result`, or a future of one; then `get` is async too, and `Kind` is
/// [`Async`]. Clones share one value.
///
/// ```
/// use coldstart::function::{FunctionError, State};
/// use coldstart::{Function, Router, TestRequest};
///
/// let words = State::new(|| Ok(vec![String::from("one"), String::from("two")]));
/// let function = Function::new()
///     .initializer_state(&words)
///     .http_handler(Router::new().with_state(words).get("/count", |_, words| {
///         Ok::<_, FunctionError>(words.get()?.len().to_string())
///     }));
/// assert_eq!(TestRequest::get("/count").run_handler(&mut function.handler()).text(), "2");
/// ```
///
/// An async one:
///
/// ```
/// use coldstart::function::State;
/// use coldstart::{Function, TestRequest};
///
/// let greeting = State::new(|| async { Ok(String::from("hello")) });
/// let function = Function::new().initializer_state(&greeting).event(move |_, _| {
///     let greeting = greeting.clone();
///     async move { Ok(greeting.get().await?.clone()) }
/// });
/// assert_eq!(TestRequest::post("/invoke").run_handler(&mut function.handler()).text(), "hello");
/// ```
pub struct State<T, Kind: StateKind<T> = Value> {
    shared: Arc<Shared<T, Kind::Maker>>,
}

struct Shared<T, M> {
    value: OnceLock<T>,
    maker: M,
}

impl<T, M> Shared<T, M> {
    fn made(&self) -> Result<&T, FunctionError> {
        self.value
            .get()
            .ok_or_else(|| FunctionError::new("the state was not made"))
    }
}

/// How a [`State`] is made: by code that returns a value, or a future. This crate alone implements the trait.
#[expect(private_interfaces, reason = "it is sealed by what it mentions")]
pub trait StateKind<T>: Sized {
    #[doc(hidden)]
    type Maker;

    /// The maker, of code that returns this kind.
    #[doc(hidden)]
    fn maker<R: IntoFunctionResult<T, Self>>(
        make: impl Fn() -> R + Send + Sync + 'static,
    ) -> Self::Maker;

    /// The initializer that makes the value.
    #[doc(hidden)]
    fn initializer(state: State<T, Self>) -> Callback;
}

type Make<R> = Box<dyn Fn() -> R + Send + Sync>;

/// Makes a value on the thread that needs it; others wait meanwhile.
#[expect(
    unnameable_types,
    missing_debug_implementations,
    reason = "users cannot meet it"
)]
pub struct Now<T> {
    turn: Mutex<()>,
    make: Make<Result<T, FunctionError>>,
}

/// Makes a value in the future that needs it; others wait meanwhile.
#[expect(
    unnameable_types,
    missing_debug_implementations,
    reason = "users cannot meet it"
)]
pub struct Later<T>(Once<Make<Made<T>>>);

#[expect(private_interfaces, reason = "as in the trait")]
impl<T: Send + Sync + 'static> StateKind<T> for Value {
    type Maker = Now<T>;

    fn maker<R: IntoFunctionResult<T, Self>>(
        make: impl Fn() -> R + Send + Sync + 'static,
    ) -> Now<T> {
        Now {
            turn: Mutex::new(()),
            make: Box::new(move || make().wait()),
        }
    }

    fn initializer(state: State<T>) -> Callback {
        Box::new(move |_, _, _| {
            state.get()?;
            Ok(Reached::Response(Response::new(Status::OK)))
        })
    }
}

#[expect(private_interfaces, reason = "as in the trait")]
impl<T: Send + Sync + 'static> StateKind<T> for Async {
    type Maker = Later<T>;

    fn maker<R: IntoFunctionResult<T, Self>>(
        make: impl Fn() -> R + Send + Sync + 'static,
    ) -> Later<T> {
        Later(Once::new(Box::new(move || make().into_made())))
    }

    fn initializer(state: State<T, Self>) -> Callback {
        Box::new(move |_, _, mark| {
            let state = state.clone();
            let made = async move { state.get().await.map(drop) };
            made.complete(mark, |()| Ok(Response::new(Status::OK)))
        })
    }
}

impl<T, Kind: StateKind<T>> State<T, Kind> {
    /// A value that `make` makes, once. It is called again only after it has failed or panicked, or after the call that awaited
    /// its future has lost its peer. It must not use the state itself.
    pub fn new<R: IntoFunctionResult<T, Kind>>(
        make: impl Fn() -> R + Send + Sync + 'static,
    ) -> Self {
        let shared = Shared {
            value: OnceLock::new(),
            maker: Kind::maker(make),
        };
        Self {
            shared: Arc::new(shared),
        }
    }
}

impl<T: Send + Sync + 'static> State<T> {
    /// The value, which is made first if it is not there yet. While another thread makes it, this one waits.
    ///
    /// # Errors
    ///
    /// The code that makes it failed. As a response that is 500 with `x-fc-status: 404`, and the reason is in the log.
    pub fn get(&self) -> Result<&T, FunctionError> {
        let Shared { value, maker } = &*self.shared;
        if let Some(value) = value.get() {
            return Ok(value);
        }
        // Poisoned by a panic of the code, which therefore has made nothing.
        let _turn = maker.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if value.get().is_none() {
            // This thread has the only turn, so none is there.
            drop(value.set((maker.make)()?));
        }
        self.shared.made()
    }
}

impl<T: Send + Sync + 'static> State<T, Async> {
    /// The value, which is made first if it is not there yet. While another call makes it, this one waits.
    ///
    /// # Errors
    ///
    /// The code that makes it failed. As a response that is 500 with `x-fc-status: 404`, and the reason is in the log.
    pub async fn get(&self) -> Result<&T, FunctionError> {
        let Shared { value, maker } = &*self.shared;
        if let Some(value) = value.get() {
            return Ok(value);
        }
        if let Some(turn) = maker.0.turn().await {
            // This call has the only turn, so none is there.
            drop(value.set((turn.hook())().await?));
            turn.succeed();
        }
        self.shared.made()
    }
}

impl<T, Kind: StateKind<T>> Clone for State<T, Kind> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T, Kind: StateKind<T>> fmt::Debug for State<T, Kind> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_made = self.shared.value.get().is_some();
        let mut state = formatter.debug_struct("State");
        state.field("is_made", &is_made).finish_non_exhaustive()
    }
}
