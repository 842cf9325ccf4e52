//! H: the platform's own requests.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use super::observation::{Break, Cause, Observation};
use super::subject::{Subject, dial};
use crate::caller_error::{CallerError, LogTail};
use crate::instance::{Instance, hooks};
use crate::shortage;

const LOAD_THREADS: u32 = 8;
const LOAD_TIME: Duration = Duration::from_millis(800);

/// H1: the start has sent the first `/initialize`; this is the second.
pub(crate) fn initializer(subject: &Subject, instance: &Instance) -> Observation {
    let Some(timeout) = subject.project.settings.hooks.initializer else {
        return Observation::Unseen("no initializer is configured".to_owned());
    };
    match hooks::initialize(instance, &subject.project.settings, timeout) {
        Ok(reply) => Observation::Held(format!(
            "2xx twice, the second in {} ms",
            reply.whole.as_millis()
        )),
        Err(why) => Break::new(format!("the second time: {why}"))
            .caller(CallerError::InitializerFailed {
                why,
                logs: LogTail::default(),
            })
            .fix("make a second /initialize do no harm")
            .into(),
    }
}

/// H2: pre-stop while a request is in flight.
pub(crate) fn pre_stop(subject: &Subject, instance: &Instance) -> Observation {
    let Some(timeout) = subject.project.settings.hooks.pre_stop else {
        return Observation::Unseen("no pre-stop hook is configured".to_owned());
    };
    let (stopped, in_flight) = thread::scope(|scope| {
        let call = subject.plain(instance);
        let in_flight = shortage::spawn_scoped(scope, move || subject.ask_once(instance, &call));
        let stopped = hooks::pre_stop(instance, &subject.project.settings, timeout);
        (stopped, in_flight.map(ScopedJoinHandle::join))
    });
    match (stopped, in_flight) {
        (Err(why), _) => Break::new(why)
            .fix("respond to GET /pre-stop with a 2xx within its time-out")
            .into(),
        (Ok(_), Ok(Ok(Err(fault)))) => subject
            .broken_by("the request in flight", &fault)
            .fix("let requests that have begun finish during /pre-stop")
            .into(),
        (Ok(reply), _) => Observation::Held(format!("2xx in {} ms", reply.whole.as_millis())),
    }
}

/// H4: the health path while the server is busy.
pub(crate) fn health(subject: &Subject, instance: &Instance) -> Observation {
    let Some(health) = &subject.project.settings.hooks.health else {
        return Observation::Unseen("no health check is configured".to_owned());
    };
    // Full load would be the whole concurrency: the health check is one request more.
    let threads = subject.project.settings.concurrency_max().min(LOAD_THREADS);
    let until = Instant::now() + LOAD_TIME;
    let is_over = AtomicBool::new(false);
    let worst = thread::scope(|scope| {
        for _ in 0..threads {
            shortage::spawn_scoped(scope, || load(subject, instance, &is_over)).ok();
        }
        let mut worst = Some(200);
        let mut failures = 0;
        // As the platform counts: one late response does not end an instance.
        while failures < health.failures_max && (failures > 0 || Instant::now() < until) {
            let status = hooks::health_status(instance, health);
            if status.is_some_and(|status| (200..400).contains(&status)) {
                failures = 0;
                worst = Some(200);
            } else {
                failures += 1;
                worst = status;
            }
        }
        is_over.store(true, Ordering::Relaxed);
        worst
    });
    match worst {
        Some(status) if (200..400).contains(&status) => {
            Observation::Held(format!("{status} under load"))
        }
        status => Break::new(format!(
            "GET {} under load: {}",
            health.path,
            status.map_or_else(
                || "no response in time".to_owned(),
                |status| status.to_string()
            )
        ))
        .caller(CallerError::Unhealthy {
            status,
            logs: LogTail::default(),
        })
        .fix("respond on the health path without other work")
        .follows(if status.is_none() {
            &[Cause::NoResponse, Cause::OneWorker, Cause::Serial]
        } else {
            &[]
        })
        .into(),
    }
}

fn load(subject: &Subject, instance: &Instance, is_over: &AtomicBool) {
    let Ok(mut wire) = dial(instance) else { return };
    while !is_over.load(Ordering::Relaxed)
        && subject.ask(&mut wire, &subject.plain(instance)).is_ok()
    {}
}
