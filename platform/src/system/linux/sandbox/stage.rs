//! The stages: what each is called, and the command that starts it.

use std::os::unix::process::CommandExt;
use std::process::Command;

pub(super) const SUPERVISOR: &str = "coldstart-supervisor";
pub(super) const STARTER: &str = "coldstart-starter";
/// The kernel resolves it even after the file was replaced, as a rebuild does.
const SELF: &str = "/proc/self/exe";

/// This executable, as the stage of this name.
pub(super) fn stage_command(name: &str) -> Command {
    let mut command = Command::new(SELF);
    command.arg0(name).env_clear();
    command
}
