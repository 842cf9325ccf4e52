//! Requests that the platform itself sends to an instance: `/initialize`, the health check, `/pre-stop`.

use std::thread;
use std::time::{Duration, Instant};

use super::Instance;
use super::phase::Step;
use crate::clock;
use crate::headers;
use crate::settings::{Health, Settings};
use crate::wire::exchange::{Call, Reply};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Each hook's path doubles as its control path.
pub(crate) const INITIALIZE: &str = "/initialize";
pub(crate) const PRE_STOP: &str = "/pre-stop";

/// Sends `POST /initialize`. The error says what came instead of a 2xx.
pub(crate) fn initialize(
    instance: &Instance,
    settings: &Settings,
    timeout: Duration,
) -> Result<Reply, String> {
    send(instance, settings, "POST", INITIALIZE, timeout)
}

/// Sends `GET /pre-stop`. The platform ends the instance whatever the response.
pub(crate) fn pre_stop(
    instance: &Instance,
    settings: &Settings,
    timeout: Duration,
) -> Result<Reply, String> {
    instance.on(Step::StopAsked);
    send(instance, settings, "GET", PRE_STOP, timeout)
}

/// Runs the first health check, with as many tries as the threshold allows. The error is the last status, if any.
pub(crate) fn first_health(instance: &Instance, health: &Health) -> Result<(), Option<u16>> {
    thread::sleep(health.initial_delay);
    let mut last = None;
    for attempt in 0..health.failures_max {
        if attempt > 0 {
            // Also returns when the process ends.
            instance.process.wait(health.period);
        }
        match health_status(instance, health) {
            Some(status) if (200..400).contains(&status) => return Ok(()),
            status => last = status,
        }
    }
    Err(last)
}

/// Runs one health check. Returns `None` if no response came in time.
pub(crate) fn health_status(instance: &Instance, health: &Health) -> Option<u16> {
    let began = Instant::now();
    let mut wire = instance.dial(health.timeout).ok()?;
    let left = health.timeout.saturating_sub(began.elapsed());
    wire.call(&Call::new("GET", &health.path), left)
        .ok()
        .map(|reply| reply.head.status)
}

fn send(
    instance: &Instance,
    settings: &Settings,
    method: &str,
    path: &str,
    timeout: Duration,
) -> Result<Reply, String> {
    let call = Call::new(method, path).fields(headers::of_platform(
        &clock::hook_id(),
        path,
        settings,
        &instance.identity,
    ));
    let mut wire = instance
        .dial(CONNECT_TIMEOUT)
        .map_err(|fault| fault.to_string())?;
    let reply = wire
        .call(&call, timeout)
        .map_err(|fault| fault.to_string())?;
    if (200..300).contains(&reply.head.status) {
        Ok(reply)
    } else {
        Err(format!(
            "{method} {path}: {} {}",
            reply.head.status,
            reply.text().trim()
        ))
    }
}
