//! What a shell completes, and the man pages: both made from the command line that `arguments.rs` describes.

use clap::CommandFactory as _;

use crate::arguments::{Arguments, CompletionsArguments, ManArguments};
use crate::console::give_bytes;
use crate::exit::{Failure, Status};

/// Prints the script that a shell reads.
pub(crate) fn completions(arguments: &CompletionsArguments) -> Status {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut Arguments::command(),
        "coldstart",
        &mut script,
    );
    give_bytes(&script);
    Status::Done
}

/// Writes a page for each command.
pub(crate) fn man(arguments: &ManArguments) -> Result<Status, Failure> {
    let folder = &arguments.directory;
    let written = clap_mangen::generate_to(Arguments::command(), folder);
    written.map_err(|error| {
        Failure::file("write into", folder, &error).fix("name a directory that exists")
    })?;
    Ok(Status::Done)
}
