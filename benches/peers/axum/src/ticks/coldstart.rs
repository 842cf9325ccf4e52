//! A tick a second, by a timer of coldstart's loop.

use std::time::Duration;

use coldstart::interval;
use futures_util::stream::{Stream, unfold};

pub fn ticks() -> impl Stream<Item = ()> + Send {
    unfold(interval(Duration::from_secs(1)), async |mut ticks| {
        ticks.tick().await;
        Some(((), ticks))
    })
}
