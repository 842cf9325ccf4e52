//! The gateway's single instance: started when a call needs it, frozen when idle, replaced when it has died.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::outcome::Reporter;
use super::pool::Pool;
use crate::arguments::Switch;
use crate::caller_error::{CallerError, Style};
use crate::instance::launch::{self, Circumstances, NotStarted, Witness};
use crate::instance::phase::Step;
use crate::instance::timeline::Timeline;
use crate::instance::{Instance, hooks};
use crate::project::Project;

/// What the gateway serves, and how.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) reporter: Reporter,
    pub(crate) style: Style,
    freeze: Switch,
    slot: Mutex<Slot>,
    changed: Condvar,
}

#[derive(Debug)]
struct Slot {
    project: Arc<Project>,
    resident: Place,
    active: u32,
}

#[derive(Debug)]
enum Place {
    Empty,
    Starting,
    Up(Arc<Resident>),
    /// The gateway is shutting down: no instance will be started.
    Closed,
}

/// A running instance with the connections to it.
#[derive(Debug)]
pub(crate) struct Resident {
    pub(crate) instance: Instance,
    pub(crate) pool: Pool,
    pub(crate) project: Arc<Project>,
    has_responded: AtomicBool,
}

impl Resident {
    /// True once: for the first response of the instance.
    pub(crate) fn is_first_response(&self) -> bool {
        !self.has_responded.swap(true, Ordering::Relaxed)
    }
}

/// Permission for one request, returned on drop.
#[derive(Debug)]
pub(crate) struct Admission<'a> {
    pub(crate) resident: Arc<Resident>,
    fleet: &'a Fleet,
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        let mut slot = self.fleet.lock();
        self.resident.instance.on(Step::CallEnded);
        self.fleet.release(&mut slot);
    }
}

impl Fleet {
    /// Creates a fleet without an instance.
    pub(crate) fn new(project: Project, reporter: Reporter, style: Style, freeze: Switch) -> Self {
        let slot = Slot {
            project: Arc::new(project),
            resident: Place::Empty,
            active: 0,
        };
        Self {
            reporter,
            style,
            freeze,
            slot: Mutex::new(slot),
            changed: Condvar::new(),
        }
    }

    /// The function's current configuration.
    pub(crate) fn project(&self) -> Arc<Project> {
        Arc::clone(&self.lock().project)
    }

    /// Starts the instance before the first call.
    pub(crate) fn warm_up(&self, timeline: Timeline) -> Result<Arc<Resident>, NotStarted> {
        let mut slot = self.lock();
        slot.active += 1;
        let (slot, started) = self.start(slot, timeline);
        let mut slot = slot;
        self.release(&mut slot);
        started
    }

    /// Admits a call if the concurrency limit allows it. The instance is started or thawed first if needed.
    pub(crate) fn admit(&self) -> Result<Admission<'_>, CallerError> {
        let mut slot = self.lock();
        let limit = slot.project.settings.concurrency_max();
        if slot.active >= limit {
            return Err(CallerError::ResourceExhausted { limit });
        }
        slot.active += 1;
        loop {
            match &slot.resident {
                Place::Up(resident) if resident.instance.process.ended().is_none() => {
                    let resident = Arc::clone(resident);
                    if slot.active == 1 && self.freeze.is_on() {
                        resident.instance.thaw();
                    }
                    resident.instance.on(Step::CallBegan);
                    return Ok(Admission {
                        resident,
                        fleet: self,
                    });
                }
                Place::Starting => {
                    slot = self
                        .changed
                        .wait(slot)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                Place::Up(_) | Place::Empty => {
                    let (again, started) = self.start(slot, Timeline::begin());
                    slot = again;
                    if let Err(not_started) = started {
                        self.release(&mut slot);
                        return Err(not_started.error);
                    }
                }
                Place::Closed => {
                    self.release(&mut slot);
                    return Err(CallerError::ProcessExited);
                }
            }
        }
    }

    /// Replaces the function: stops the running instance; the next call starts the new one.
    pub(crate) fn replace(&self, project: Project) {
        let mut slot = self.lock();
        slot.project = Arc::new(project);
        let old = std::mem::replace(&mut slot.resident, Place::Empty);
        drop(slot);
        stop(old);
    }

    /// Stops the instance for good, after its pre-stop hook.
    pub(crate) fn close(&self) {
        let mut slot = self.lock();
        let old = std::mem::replace(&mut slot.resident, Place::Closed);
        drop(slot);
        self.changed.notify_all();
        stop(old);
    }

    /// Starts an instance without holding the lock. Other calls wait for this start, or are refused by the limit.
    fn start<'a>(
        &'a self,
        mut slot: MutexGuard<'a, Slot>,
        timeline: Timeline,
    ) -> (MutexGuard<'a, Slot>, Result<Arc<Resident>, NotStarted>) {
        let project = Arc::clone(&slot.project);
        slot.resident = Place::Starting;
        drop(slot);
        let started = launch::start(
            &project,
            &project.settings,
            Circumstances::default(),
            &self.reporter,
            timeline,
        );
        let mut slot = self.lock();
        let started = started.map(|instance| {
            let reporter = self.reporter.clone();
            let tell = move |remark: String| reporter.on_remark(&remark);
            if instance
                .guard_memory(project.settings.memory_mb, tell)
                .is_err()
            {
                self.reporter
                    .on_remark("the memory limit is not enforced: no thread could be started");
            }
            Arc::new(Resident {
                instance,
                pool: Pool::default(),
                project,
                has_responded: AtomicBool::new(false),
            })
        });
        match (&slot.resident, &started) {
            (Place::Closed, Ok(resident)) => resident.instance.kill(),
            (Place::Closed, Err(_)) => {}
            (Place::Empty | Place::Starting | Place::Up(_), Ok(resident)) => {
                slot.resident = Place::Up(Arc::clone(resident));
            }
            (Place::Empty | Place::Starting | Place::Up(_), Err(_)) => slot.resident = Place::Empty,
        }
        self.changed.notify_all();
        (slot, started)
    }

    fn release(&self, slot: &mut Slot) {
        slot.active -= 1;
        if slot.active == 0
            && self.freeze.is_on()
            && let Place::Up(resident) = &slot.resident
        {
            resident.instance.freeze();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stop(place: Place) {
    let Place::Up(resident) = place else { return };
    let instance = &resident.instance;
    instance.thaw();
    let settings = &resident.project.settings;
    if let Some(timeout) = settings.hooks.pre_stop {
        let reply = hooks::pre_stop(instance, settings, timeout);
        let remark = reply.map_or_else(
            |why| format!("pre-stop: {why}"),
            |_| "pre-stop: done".to_owned(),
        );
        crate::console::say(remark);
    }
    instance.kill();
}
