//! `coldstart`: the platform's side of the custom-runtime contract, on a developer's machine.

mod arguments;
mod bench;
mod build;
mod caller_error;
mod check;
mod clock;
mod console;
mod deployment;
mod edit_loop;
mod engines;
mod environment;
mod exit;
mod fix;
mod gateway;
mod git;
mod headers;
mod image;
mod instance;
mod interrupt;
mod invoke;
mod isolation;
mod kind;
mod listeners;
mod manual;
mod pack;
mod package;
mod project;
mod remains;
mod report_file;
mod run;
mod sandbox;
mod settings;
mod shortage;
mod starting;
mod system;
mod template;
mod watch;
mod wire;

use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, Command};
use exit::{Failure, Status};
use interrupt::{Interrupt, Manner};

fn main() -> ExitCode {
    if let Some(code) = system::stage() {
        return code;
    }
    let arguments = Arguments::parse();
    remains::adopt_orphans();
    // A panic of our own must not leave the function running.
    let result = std::panic::catch_unwind(|| carry_out(&arguments.command));
    interrupt::yield_to_signal();
    remains::sweep();
    match result.unwrap_or_else(|_| {
        Err(Failure::machine(
            "a bug in coldstart; the panic message is above",
        ))
    }) {
        Ok(status) => status.into(),
        Err(failure) => {
            console::say(format!("{} {failure}", console::Tone::Bad.paint("error:")));
            failure.status().into()
        }
    }
}

fn carry_out(command: &Command) -> Result<Status, Failure> {
    match command {
        Command::Run(arguments) => run::run(arguments, &Interrupt::listen(Manner::Orderly)?),
        Command::Invoke(arguments) => {
            invoke::invoke(arguments, &Interrupt::listen(Manner::Orderly)?)
        }
        Command::Check(arguments) => {
            Interrupt::listen(Manner::AtOnce)?;
            check::check(arguments)
        }
        Command::Pack(arguments) => {
            Interrupt::listen(Manner::AtOnce)?;
            pack::pack(arguments)
        }
        Command::New(arguments) => template::new(arguments),
        Command::Completions(arguments) => Ok(manual::completions(arguments)),
        Command::Man(arguments) => manual::man(arguments),
        Command::Bench(arguments) => {
            Interrupt::listen(Manner::AtOnce)?;
            bench::bench(arguments)
        }
    }
}
