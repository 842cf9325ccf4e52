//! The starter: the last stage before the start command, which takes its place.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use rustix::process::{Signal, set_parent_process_death_signal};

use super::channel::Channel;
use super::room;
use crate::sandbox::{Refusal, Spec, Step};

/// Runs the stage. The supervisor reads the refusal, or the end of the channel once the start command runs.
pub(super) fn main() -> ExitCode {
    // Set before the first read: if the supervisor is gone already, that read finds the end.
    set_parent_process_death_signal(Some(Signal::KILL)).ok();
    let Ok(mut channel) = Channel::of_stdin() else {
        return ExitCode::FAILURE;
    };
    let Ok(Some(spec)) = channel.receive() else {
        return ExitCode::FAILURE;
    };
    match start(&spec) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            channel.send(&refusal).ok();
            ExitCode::FAILURE
        }
    }
}

/// Returns only if there is no start command, or if it cannot be executed.
fn start(spec: &Spec) -> Result<(), Refusal> {
    if let Some(room) = &spec.room {
        room::arrange(room)?;
    }
    let Some((program, words)) = spec.words.split_first() else {
        return Ok(());
    };
    let mut command = Command::new(program);
    command
        .args(words)
        .env_clear()
        .envs(&spec.environment)
        .current_dir(&spec.directory)
        .stdin(Stdio::null());
    if let Some(user) = spec.user {
        command.uid(user).gid(user);
    }
    let error: io::Error = command.exec();
    Err(Refusal::new(Step::Execute, &error))
}
