//! Timers and tasks: what a handler, its future or another task may wait for, and what runs beside them on the loop.
//!
//! | to | use |
//! | --- | --- |
//! | wait for some time | [`sleep`] |
//! | wait for something, but not for ever | [`timeout`] |
//! | do something again and again | [`interval`] |
//! | do something beside the response, or after it | [`spawn`] |
//! | give way in a long computation | [`yield_now`] |
//! | end when the server stops | [`draining`], [`before_drain`] |
//!
//! They belong to the loop of the thread that uses them, and end with it. No runtime is started, and no thread. While a timer waits,
//! the loop sleeps until it fires; with none, until something happens.
//!
//! They work wherever the server polls a future: on a loop, for handlers, bodies and tasks; on a thread of a pool, though without
//! tasks; and in a test that runs a [`TestRequest`](crate::TestRequest). In a test, tasks run while it waits for a response or a
//! piece of its body, and are dropped when the thread ends.
//!
//! What a wait does when the server stops: a request's future is dropped with its connection, a task with its loop, both not before
//! [`Timeouts::drain`](crate::server::Timeouts::drain) has passed. A task that never ends, such as one that does something each
//! minute, makes each stop take that long, unless it waits with [`before_drain`]. So does an endless stream; if it waits with
//! `before_drain`, its peer sees an end and not a cut.

mod drain;
mod hook;
mod interval;
mod local;
mod notice;
pub(crate) mod parked;
pub(crate) mod places;
mod sleep;
mod slots;
pub(crate) mod spare;
mod spawn;
mod timeout;
mod timers;
mod yielding;

pub use drain::{Draining, before_drain, draining};
pub(crate) use hook::{Turn, hook, turn_of_waiter};
pub use interval::{Interval, interval};
#[cfg(feature = "_sim")]
pub(crate) use local::count_timers;
pub(crate) use local::enter_stage;
pub(crate) use notice::ServerStage;
pub use sleep::{Sleep, sleep};
pub use spawn::{JoinError, JoinHandle, SpawnError, spawn};
pub use timeout::{Elapsed, Timeout, timeout};
pub use yielding::{YieldNow, yield_now};
