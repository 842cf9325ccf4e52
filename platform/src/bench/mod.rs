//! `coldstart bench`: cold starts and warm latency of several commands, interleaved so that noise hits all of them.
//!
//! A start is timed from just before the process is created. The probe connects without a pause, from a processor that
//! the server does not run on, so what it measures is off by one connect at most: about 10 µs.

mod chart;
mod machine;
mod page;
mod plot;
mod results;
mod statistics;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::arguments::BenchArguments;
use crate::clock;
use crate::console::give;
use crate::exit::{Failure, Status};

use crate::headers::{HTTP_INVOKE, of_platform};
use crate::instance::Instance;
use crate::instance::command::Circumstances;
use crate::instance::cores::Cores;
use crate::instance::launch::{self, NotStarted, Witness};
use crate::instance::timeline::Timeline;
use crate::interrupt::yield_to_signal;
use crate::project::Project;
use crate::report_file::ReportFile;
use crate::run::ensure_port_free;
use crate::settings::Settings;
use crate::wire::exchange::Call;
use crate::wire::{Fault, Wire};
use machine::Machine;
use results::{Measured, Report};

const PATIENCE: Duration = Duration::from_secs(10);
/// Warm requests are sent in this many rounds, interleaved like the starts.
const ROUNDS: u32 = 5;
const WARM_UP: u32 = 50;

#[derive(Clone, Copy, Debug)]
struct Silent;

impl Witness for Silent {
    fn on_line(&self, _: &str) {}
    fn on_remark(&self, _: &str) {}
}

/// Sends the first request as soon as the port accepts, before anything else is done about the start.
#[derive(Clone, Debug)]
struct FirstCall {
    settings: Arc<Settings>,
    path: String,
    /// From the creation of the process to the first byte of the response.
    took: Arc<Mutex<Option<Result<Duration, Fault>>>>,
}

impl FirstCall {
    fn new(project: &Project, path: &str) -> Self {
        Self {
            settings: Arc::new(project.settings.clone()),
            path: path.to_owned(),
            took: Arc::default(),
        }
    }

    fn send(&self, instance: &Instance) -> Result<Duration, Fault> {
        let mut wire = dial(instance)?;
        wire.send(&call(&self.settings, instance, &self.path).to_bytes())?;
        let sent = instance.process.began.elapsed();
        let reply = wire.read_reply("GET", PATIENCE)?;
        Ok(sent + reply.first_byte)
    }
}

impl Witness for FirstCall {
    fn on_open(&self, instance: &Instance) {
        let took = self.send(instance);
        *self.took.lock().unwrap_or_else(PoisonError::into_inner) = Some(took);
    }
    fn on_line(&self, _: &str) {}
    fn on_remark(&self, _: &str) {}
}

/// Measures all commands and prints the result.
pub(crate) fn bench(arguments: &BenchArguments) -> Result<Status, Failure> {
    let projects = projects(arguments)?;
    let page = arguments.html.as_deref().map(ReportFile::at).transpose()?;
    let report = measure(arguments, &projects)?;
    yield_to_signal();
    if let Some(file) = page {
        file.write(&page::page(&report))?;
    }
    if arguments.json.is_on() {
        give(page::json(&report));
    } else {
        chart::show(&report);
    }
    Ok(Status::Done)
}

fn measure(arguments: &BenchArguments, projects: &[Project]) -> Result<Report, Failure> {
    let machine = Machine::of_now();
    let cores = Cores::split();
    let mut all: Vec<Measured> = projects
        .iter()
        .zip(&arguments.commands)
        .map(|(project, command)| Measured::new(command, machine::version(project)))
        .collect();
    // After the versions, which start processes that need not be pinned.
    cores.enter_probe();
    let steps = projects.len() as u64 * (u64::from(arguments.starts) + u64::from(ROUNDS));
    let progress = ProgressBar::new(steps);
    let style = ProgressStyle::with_template("{bar:24.green} {pos}/{len} {elapsed} {msg}");
    progress.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    for _ in 0..arguments.starts {
        for (project, measured) in projects.iter().zip(&mut all) {
            progress.set_message(format!("cold start: {}", measured.command));
            measured.start(project, cores, &arguments.path)?;
            progress.inc(1);
        }
    }
    let requests = arguments.requests.div_ceil(ROUNDS);
    for _ in 0..ROUNDS {
        for (project, measured) in projects.iter().zip(&mut all) {
            progress.set_message(format!("warm requests: {}", measured.command));
            measured.serve(project, cores, &arguments.path, requests)?;
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    Ok(Report {
        machine,
        cores,
        all,
    })
}

fn projects(arguments: &BenchArguments) -> Result<Vec<Project>, Failure> {
    let folder: &Path = &arguments.directory;
    if !folder.is_dir() {
        return Err(Failure::input(format!(
            "{} is not a directory",
            folder.display()
        )));
    }
    let project = |command: &String| {
        let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        if words.is_empty() {
            return Err(Failure::input("--command is empty")
                .fix("name a program, such as --command 'node server.js'"));
        }
        let mut project = Project::of_command(folder, words)?;
        project.settings.port = arguments.port.unwrap_or(project.settings.port);
        project.settings.start_timeout = arguments.start_timeout;
        Ok(project)
    };
    arguments.commands.iter().map(project).collect()
}

impl Measured {
    /// Measures one cold start and its first request.
    fn start(
        &mut self,
        project: &Project,
        cores: &'static Cores,
        path: &str,
    ) -> Result<(), Failure> {
        let first = FirstCall::new(project, path);
        let instance = self.launch(project, cores, &first)?;
        let took = first.took.lock().unwrap_or_else(PoisonError::into_inner);
        match &*took {
            Some(Ok(took)) => self.first_byte.push(*took),
            Some(Err(fault)) => return Err(self.failed(fault)),
            None => return Err(self.failed(&Fault::Closed)),
        }
        let probes = instance.probes;
        self.listen.push(probes.took);
        self.probing.gap.push(probes.gap);
        self.probing
            .connect
            .push(probes.spent / probes.count.max(1));
        Ok(())
    }

    /// Measures requests on one connection to a warm instance.
    fn serve(
        &mut self,
        project: &Project,
        cores: &'static Cores,
        path: &str,
        requests: u32,
    ) -> Result<(), Failure> {
        let instance = self.launch(project, cores, &Silent)?;
        let call = call(&project.settings, &instance, path);
        let mut wire = dial(&instance).map_err(|fault| self.failed(&fault))?;
        for number in 0..WARM_UP + requests {
            let began = Instant::now();
            let reply = wire
                .call(&call, PATIENCE)
                .map_err(|fault| self.failed(&fault))?;
            if number >= WARM_UP {
                self.warm.push(began.elapsed());
            }
            if !reply.head.keeps_alive() {
                wire = dial(&instance).map_err(|fault| self.failed(&fault))?;
            }
        }
        self.memory_kb = self.memory_kb.max(instance.memory_kb());
        Ok(())
    }

    fn launch(
        &self,
        project: &Project,
        cores: &'static Cores,
        witness: &impl Witness,
    ) -> Result<Instance, Failure> {
        // Before every start: a process that the last one left on the port would accept in this one's place.
        ensure_port_free(project)?;
        let circumstances = Circumstances {
            cores: Some(cores),
            ..Circumstances::default()
        };
        let started = launch::start(
            project,
            &project.settings,
            circumstances,
            witness,
            Timeline::begin(),
        );
        started.map_err(|NotStarted { seen, fixes, .. }| {
            Failure::new(
                Status::NotStarted,
                format!("`{}` did not start: {}", self.command, seen.join("; ")),
            )
            .fix(fixes.join("; "))
        })
    }

    fn failed(&self, fault: &Fault) -> Failure {
        Failure::new(
            Status::NotStarted,
            format!("`{}` started but did not respond: {fault}", self.command),
        )
    }
}

fn call(settings: &Settings, instance: &Instance, path: &str) -> Call {
    let fields = of_platform(
        &clock::request_id(),
        HTTP_INVOKE,
        settings,
        &instance.identity,
    );
    Call::new("GET", path).fields(fields)
}

fn dial(instance: &Instance) -> Result<Wire, Fault> {
    instance.dial(PATIENCE)
}
