//! A tick a second, by a timer of tokio's.

use std::time::Duration;

use futures_util::stream::{Stream, unfold};
use tokio::time::{MissedTickBehavior, interval};

pub fn ticks() -> impl Stream<Item = ()> + Send {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    unfold(ticks, async |mut ticks| {
        ticks.tick().await;
        Some(((), ticks))
    })
}
