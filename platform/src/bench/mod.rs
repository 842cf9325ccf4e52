//! `coldstart bench`: cold starts and warm latency of several commands, interleaved so that noise hits all of them.

mod chart;
mod page;
mod statistics;

use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::arguments::BenchArguments;
use crate::clock;
use crate::console::give;
use crate::exit::{Failure, Status};
use crate::headers::{HTTP_INVOKE, of_platform};
use crate::instance::Instance;
use crate::instance::launch::{self, Circumstances, NotStarted, Witness};
use crate::instance::timeline::{Part, Timeline};
use crate::interrupt::yield_to_signal;
use crate::project::Project;
use crate::run::ensure_port_free;
use crate::wire::exchange::Call;
use crate::wire::{Fault, Wire};
use statistics::Sample;

const PATIENCE: Duration = Duration::from_secs(10);
/// Warm requests are sent in this many rounds, interleaved like the starts.
const ROUNDS: u32 = 5;
const WARM_UP: u32 = 50;

/// What was measured of one command.
#[derive(Debug)]
pub(crate) struct Measured {
    command: String,
    /// From the launch until the port accepts.
    listen: Sample,
    /// From the launch until the first byte of the first response.
    first_byte: Sample,
    /// One request on a kept-alive connection.
    warm: Sample,
    memory_kb: u64,
}

#[derive(Clone, Copy, Debug)]
struct Silent;

impl Witness for Silent {
    fn on_line(&self, _: &str) {}
    fn on_remark(&self, _: &str) {}
}

/// Measures all commands and prints the result.
pub(crate) fn bench(arguments: &BenchArguments) -> Result<Status, Failure> {
    let projects = projects(arguments)?;
    let port = projects.first().map_or(0, |project| project.settings.port);
    ensure_port_free(port)?;
    let mut all: Vec<Measured> = arguments
        .commands
        .iter()
        .map(|command| Measured::new(command))
        .collect();
    let steps = projects.len() as u64 * (u64::from(arguments.starts) + u64::from(ROUNDS));
    let progress = ProgressBar::new(steps);
    let style = ProgressStyle::with_template("{bar:24.green} {pos}/{len} {elapsed} {msg}");
    progress.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    for _ in 0..arguments.starts {
        for (project, measured) in projects.iter().zip(&mut all) {
            progress.set_message(format!("cold start: {}", measured.command));
            measured.start(project, &arguments.path)?;
            progress.inc(1);
        }
    }
    for _ in 0..ROUNDS {
        for (project, measured) in projects.iter().zip(&mut all) {
            progress.set_message(format!("warm requests: {}", measured.command));
            measured.serve(
                project,
                &arguments.path,
                arguments.requests.div_ceil(ROUNDS),
            )?;
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    yield_to_signal();
    if let Some(path) = &arguments.html {
        std::fs::write(path, page::page(&all))
            .map_err(|error| Failure::file("write", path, &error))?;
    }
    if arguments.json.is_on() {
        give(page::json(&all));
    } else {
        chart::show(&all);
    }
    Ok(Status::Done)
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
    fn new(command: &str) -> Self {
        let empty = Sample::default;
        Self {
            command: command.to_owned(),
            listen: empty(),
            first_byte: empty(),
            warm: empty(),
            memory_kb: 0,
        }
    }

    /// Measures one cold start and its first request.
    fn start(&mut self, project: &Project, path: &str) -> Result<(), Failure> {
        let began = Instant::now();
        let instance = self.launch(project)?;
        let call = call(project, &instance, path);
        let reply = dial(&instance).and_then(|mut wire| {
            let asked = began.elapsed();
            wire.call(&call, PATIENCE)
                .map(|reply| asked + reply.first_byte)
        });
        self.first_byte
            .push(reply.map_err(|fault| self.failed(&fault))?);
        let parts = [Part::Launch, Part::Listen];
        self.listen.push(
            parts
                .into_iter()
                .filter_map(|part| instance.timeline.of(part))
                .sum(),
        );
        Ok(())
    }

    /// Measures requests on one connection to a warm instance.
    fn serve(&mut self, project: &Project, path: &str, requests: u32) -> Result<(), Failure> {
        let instance = self.launch(project)?;
        let call = call(project, &instance, path);
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
        self.memory_kb = self.memory_kb.max(instance.process.usage().memory_kb);
        Ok(())
    }

    fn launch(&self, project: &Project) -> Result<Instance, Failure> {
        let started = launch::start(
            project,
            &project.settings,
            Circumstances::default(),
            &Silent,
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

fn call(project: &Project, instance: &Instance, path: &str) -> Call {
    let fields = of_platform(
        &clock::request_id(),
        HTTP_INVOKE,
        &project.settings,
        &instance.identity,
    );
    Call::new("GET", path).fields(fields)
}

fn dial(instance: &Instance) -> Result<Wire, Fault> {
    instance.dial(PATIENCE)
}
