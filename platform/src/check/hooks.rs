//! H: the platform's own requests.

use std::thread;
use std::time::{Duration, Instant};

use super::observation::{Break, Observation};
use super::subject::{Subject, dial};
use crate::caller_error::{CallerError, LogTail};
use crate::instance::{Instance, hooks};

const LOAD_THREADS: usize = 8;
const LOAD_TIME: Duration = Duration::from_millis(800);

/// H1: the start has sent the first; here comes a second.
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
            .fix("make /initialize harmless when it comes again")
            .into(),
    }
}

/// H2: pre-stop while a request is in flight.
pub(crate) fn pre_stop(subject: &Subject, instance: &Instance) -> Observation {
    let Some(timeout) = subject.project.settings.hooks.pre_stop else {
        return Observation::Unseen("no pre-stop hook is configured".to_owned());
    };
    let (answer, in_flight) = thread::scope(|scope| {
        let call = subject.http(instance, "GET", "/");
        let in_flight = scope.spawn(move || subject.ask_once(instance, &call));
        let answer = hooks::pre_stop(instance, &subject.project.settings, timeout);
        (answer, in_flight.join())
    });
    match (answer, in_flight) {
        (Err(why), _) => Break::new(why)
            .fix("answer GET /pre-stop with a 2xx within its time-out")
            .into(),
        (Ok(_), Ok(Err(fault))) => Break::fault("the request in flight", &fault)
            .fix("let requests that have begun finish during /pre-stop")
            .into(),
        (Ok(reply), _) => Observation::Held(format!("2xx in {} ms", reply.whole.as_millis())),
    }
}

/// H4: the health path while the server works.
pub(crate) fn health(subject: &Subject, instance: &Instance) -> Observation {
    let Some(health) = &subject.project.settings.hooks.health else {
        return Observation::Unseen("no health check is configured".to_owned());
    };
    let until = Instant::now() + LOAD_TIME;
    let worst = thread::scope(|scope| {
        for _ in 0..LOAD_THREADS {
            scope.spawn(|| load(subject, instance, until));
        }
        let mut worst = Some(200);
        while Instant::now() < until {
            let status = hooks::health_status(instance, health);
            if !status.is_some_and(|status| (200..400).contains(&status)) {
                worst = status;
                break;
            }
        }
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
                || "no answer in time".to_owned(),
                |status| status.to_string()
            )
        ))
        .caller(CallerError::Unhealthy {
            status,
            logs: LogTail::default(),
        })
        .fix("answer the health path without work of its own")
        .into(),
    }
}

fn load(subject: &Subject, instance: &Instance, until: Instant) {
    let Ok(mut wire) = dial(instance) else { return };
    while Instant::now() < until
        && subject
            .ask(&mut wire, &subject.http(instance, "GET", "/"))
            .is_ok()
    {}
}
