//! The gateway's single instance: started when a call needs it, frozen when idle, replaced when it has died.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::launching::{Launching, Starter};
use super::outcome::Reporter;
use super::pool::Pool;
use crate::arguments::Switch;
use crate::caller_error::{CallerError, Style};
use crate::instance::command::Circumstances;
use crate::instance::launch::{self, NotStarted, Witness as _};
use crate::instance::phase::Step;
use crate::instance::timeline::Timeline;
use crate::instance::{Instance, hooks};
use crate::project::Project;
use crate::watch::blame::Written;

/// How long a held call waits for the new instance: longer than a build and a slow start, shorter than a caller's patience.
const HOLD_MAX: Duration = Duration::from_secs(120);
/// How many calls are held at a time; each occupies a thread and a connection.
const HELD_MAX: u32 = 512;
/// How long a replaced instance may take to finish its calls.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// The same when only streams of unknown length are left: an event stream may never end by itself.
const STREAM_DRAIN_MAX: Duration = Duration::from_secs(1);

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
    /// Admitted calls.
    active: u32,
    /// The same, since the beginning.
    admitted: u64,
    /// Those of them whose response is a stream of unknown length.
    streams: u32,
    /// Live [`Hold`]s.
    holds: u32,
    /// Calls that wait for the holds to end, or for a free place after them.
    held: u32,
    launching: Launching,
    starts: Starts,
}

/// The finished start attempts, so that a call gets the error of the attempt that it waited for.
#[derive(Debug, Default)]
struct Starts {
    count: u64,
    /// Why the last one failed, if it did.
    failure: Option<CallerError>,
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
    launching: Launching,
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
    is_stream: bool,
}

impl Admission<'_> {
    /// The response is a stream of unknown length, which a replacement does not wait for as long.
    pub(crate) fn becomes_stream(&mut self) {
        if !self.is_stream {
            self.is_stream = true;
            self.fleet.lock().streams += 1;
            self.fleet.changed.notify_all();
        }
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        let mut slot = self.fleet.lock();
        self.resident.instance.on(Step::CallEnded);
        slot.streams -= u32::from(self.is_stream);
        self.fleet.release(&mut slot);
    }
}

/// Holds new calls at the gateway until it is dropped, so that a restart drops none:
///
/// ```text
/// let hold = fleet.hold();      // new calls wait from here on
/// fleet.replace(project);       // calls in progress end, within bounds; then the old instance is stopped
/// fleet.warm_up(timeline)?;     // the new one starts
/// drop(hold);                   // the held calls are served by it
/// ```
///
/// Take it before a build to hold calls during the build as well, or after it to let the old code serve meanwhile. A
/// call is held for `HOLD_MAX` at most, then it gets 503; calls over `HELD_MAX` get 429. If the start under
/// the hold fails, the held calls get its error.
#[derive(Debug)]
#[must_use = "calls are held only while this lives"]
pub(crate) struct Hold<'a> {
    fleet: &'a Fleet,
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.fleet.lock().holds -= 1;
        self.fleet.changed.notify_all();
    }
}

impl Slot {
    const fn is_holding(&self) -> bool {
        self.holds > 0 && !matches!(self.resident, Place::Closed)
    }

    /// The error of a start that has failed since then, if it was the last one.
    fn failure_since(&self, starts_before: u64) -> Option<CallerError> {
        (self.starts.count > starts_before)
            .then(|| self.starts.failure.clone())
            .flatten()
    }
}

impl Fleet {
    /// Creates a fleet without an instance.
    pub(crate) fn new(project: Project, reporter: Reporter, style: Style, freeze: Switch) -> Self {
        let slot = Slot {
            project: Arc::new(project),
            resident: Place::Empty,
            active: 0,
            admitted: 0,
            streams: 0,
            holds: 0,
            held: 0,
            launching: Launching::default(),
            starts: Starts::default(),
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
        let starts_before = slot.starts.count;
        let limit = slot.project.settings.concurrency_max();
        if slot.is_holding() {
            slot = self.wait_for_hold(slot)?;
        } else if slot.active >= limit {
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
                    slot.admitted += 1;
                    return Ok(Admission {
                        resident,
                        fleet: self,
                        is_stream: false,
                    });
                }
                Place::Starting => slot = self.wait(slot),
                Place::Up(_) | Place::Empty if slot.is_holding() => {
                    // The start that it waited for was called off for a new version.
                    self.release(&mut slot);
                    slot = self.wait_for_hold(slot)?;
                    slot.active += 1;
                }
                Place::Up(_) | Place::Empty => {
                    if let Some(error) = slot.failure_since(starts_before) {
                        self.release(&mut slot);
                        return Err(error);
                    }
                    slot = self.start(slot, Timeline::begin()).0;
                }
                Place::Closed => {
                    self.release(&mut slot);
                    return Err(CallerError::ProcessExited);
                }
            }
        }
    }

    /// The processes of the instance, while it starts as well.
    pub(crate) fn processes(&self) -> Vec<i32> {
        self.launching()
            .map_or_else(Vec::new, |launching| launching.processes())
    }

    /// What the instance has written since it was launched, except for its output. `None` if that is not known.
    pub(crate) fn written(&self) -> Option<Written> {
        self.launching()?.written()
    }

    /// Calls off the start in progress, if there is one. Calls that wait for it cause the next one.
    pub(crate) fn call_off_start(&self) {
        let slot = self.lock();
        let launching = matches!(slot.resident, Place::Starting).then(|| slot.launching.clone());
        drop(slot);
        if let Some(launching) = launching {
            launching.call_off();
        }
    }

    fn launching(&self) -> Option<Launching> {
        let slot = self.lock();
        match &slot.resident {
            Place::Up(resident) => Some(resident.launching.clone()),
            Place::Starting => Some(slot.launching.clone()),
            Place::Empty | Place::Closed => None,
        }
    }

    /// How many calls were admitted since the beginning, and how many of them are in progress.
    pub(crate) fn traffic(&self) -> (u64, u32) {
        let slot = self.lock();
        (slot.admitted, slot.active)
    }

    /// Holds new calls until the guard is dropped.
    pub(crate) fn hold(&self) -> Hold<'_> {
        self.lock().holds += 1;
        Hold { fleet: self }
    }

    /// Replaces the function: lets the calls in progress end, within bounds, and stops the instance. The next call or
    /// [`Self::warm_up`] starts the new one.
    pub(crate) fn replace(&self, project: Project) {
        let hold = self.hold();
        let mut slot = self.drain(self.lock());
        slot.project = Arc::new(project);
        let old = match &slot.resident {
            Place::Up(_) => std::mem::replace(&mut slot.resident, Place::Empty),
            Place::Empty | Place::Starting | Place::Closed => Place::Empty,
        };
        drop(slot);
        // Under the hold: no call may start the new instance while the old one has the port.
        stop(old);
        drop(hold);
    }

    /// Whether [`Self::close`] was called.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.lock().resident, Place::Closed)
    }

    /// Stops the instance for good, after its pre-stop hook. A start in progress is called off.
    pub(crate) fn close(&self) {
        let mut slot = self.lock();
        let old = std::mem::replace(&mut slot.resident, Place::Closed);
        let launching = slot.launching.clone();
        drop(slot);
        self.changed.notify_all();
        launching.call_off();
        stop(old);
    }

    /// Starts an instance without holding the lock. Other calls wait for this start, or are refused by the limit.
    fn start<'a>(
        &'a self,
        mut slot: MutexGuard<'a, Slot>,
        timeline: Timeline,
    ) -> (MutexGuard<'a, Slot>, Result<Arc<Resident>, NotStarted>) {
        let project = Arc::clone(&slot.project);
        let launching = Launching::default();
        if let Place::Closed = slot.resident {
            launching.call_off();
        } else {
            slot.resident = Place::Starting;
        }
        slot.launching = launching.clone();
        drop(slot);
        let starter = Starter {
            reporter: self.reporter.clone(),
            launching: launching.clone(),
        };
        let started = launch::start(
            &project,
            &project.settings,
            Circumstances::default(),
            &starter,
            timeline,
        );
        let mut slot = self.lock();
        let started = started.map(|instance| {
            let reporter = self.reporter.clone();
            let tell = move |remark: String| reporter.on_remark(&remark);
            if instance.guard(project.settings.memory_mb, tell).is_err() {
                self.reporter
                    .on_remark("the memory limit is not enforced: no thread could be started");
            }
            Arc::new(Resident {
                instance,
                pool: Pool::default(),
                project,
                launching: launching.clone(),
                has_responded: AtomicBool::new(false),
            })
        });
        // Calls that waited for a start that was called off wait for the next one.
        if !launching.is_called_off() {
            slot.starts.count += 1;
            slot.starts.failure = started.as_ref().err().map(|failed| failed.error.clone());
        }
        slot.launching = Launching::default();
        match (&slot.resident, &started) {
            (Place::Closed, Ok(resident)) => resident.instance.kill(),
            (Place::Closed, Err(_)) => {}
            // Replaced during the start.
            (Place::Empty | Place::Starting | Place::Up(_), Ok(resident))
                if !Arc::ptr_eq(&slot.project, &resident.project) =>
            {
                resident.instance.kill();
                slot.resident = Place::Empty;
            }
            (Place::Empty | Place::Starting | Place::Up(_), Ok(resident)) => {
                slot.resident = Place::Up(Arc::clone(resident));
            }
            (Place::Empty | Place::Starting | Place::Up(_), Err(_)) => slot.resident = Place::Empty,
        }
        self.changed.notify_all();
        (slot, started)
    }

    /// Waits until no hold is left and the concurrency limit allows the call.
    fn wait_for_hold<'a>(
        &'a self,
        mut slot: MutexGuard<'a, Slot>,
    ) -> Result<MutexGuard<'a, Slot>, CallerError> {
        if slot.held >= HELD_MAX {
            return Err(CallerError::ResourceExhausted { limit: HELD_MAX });
        }
        slot.held += 1;
        // The limit holds for the new configuration. The calls arrived together because of the hold, so they queue.
        let is_waiting = |slot: &mut Slot| {
            slot.is_holding() || slot.active >= slot.project.settings.concurrency_max()
        };
        let waited = self.changed.wait_timeout_while(slot, HOLD_MAX, is_waiting);
        let (mut slot, outcome) = waited.unwrap_or_else(PoisonError::into_inner);
        slot.held -= 1;
        if !outcome.timed_out() {
            return Ok(slot);
        }
        Err(if slot.is_holding() {
            CallerError::HeldTooLong { waited: HOLD_MAX }
        } else {
            let limit = slot.project.settings.concurrency_max();
            CallerError::ResourceExhausted { limit }
        })
    }

    /// Waits until the calls in progress have ended, or have taken too long.
    fn drain<'a>(&'a self, mut slot: MutexGuard<'a, Slot>) -> MutexGuard<'a, Slot> {
        // A start of the old code is of no use, and its process has the port.
        while matches!(slot.resident, Place::Starting) {
            let launching = slot.launching.clone();
            drop(slot);
            launching.call_off();
            slot = self.lock();
            if matches!(slot.resident, Place::Starting) {
                slot = self.wait(slot);
            }
        }
        let began = Instant::now();
        while slot.active > 0 {
            let patience = if slot.active == slot.streams {
                STREAM_DRAIN_MAX
            } else {
                DRAIN_MAX
            };
            let left = patience.saturating_sub(began.elapsed());
            if left.is_zero() {
                self.reporter.on_remark(&format!(
                    "{} calls in progress are cut off by the restart",
                    slot.active
                ));
                break;
            }
            let waited = self.changed.wait_timeout(slot, left);
            slot = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        slot
    }

    fn wait<'a>(&'a self, slot: MutexGuard<'a, Slot>) -> MutexGuard<'a, Slot> {
        self.changed
            .wait(slot)
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn release(&self, slot: &mut Slot) {
        slot.active -= 1;
        if slot.holds > 0 || slot.held > 0 {
            self.changed.notify_all();
        }
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
