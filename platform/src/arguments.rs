//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::caller_error::Style;
use crate::engines::Engine;
use crate::exit::STATUSES;
use crate::image::reference::Reference;
use crate::kind::Kind;
use crate::sandbox::Network;

/// The platform on your own machine: run, call, check, measure and pack a custom-runtime function.
#[derive(Debug, Parser)]
#[command(name = "coldstart", version = env!("COLDSTART_VERSION"), after_help = STATUSES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a function as the platform does, and route calls to it
    #[command(after_help = STATUSES)]
    Run(RunArguments),
    /// Call a function once with an event: a running one, or one that is started for the call
    #[command(after_help = STATUSES)]
    Invoke(InvokeArguments),
    /// Check a function's server against the platform's contract
    #[command(after_help = STATUSES)]
    Check(CheckArguments),
    /// Measure cold starts and warm latency of one or more commands
    #[command(after_help = STATUSES)]
    Bench(BenchArguments),
    /// Build the ZIP or the container image to deploy; the same input gives the same bytes
    #[command(after_help = STATUSES)]
    Pack(PackArguments),
    /// Create a Rust project for a function
    #[command(after_help = STATUSES)]
    New(NewArguments),
    /// Print the completions of a shell
    #[command(hide = true)]
    Completions(CompletionsArguments),
    /// Write the man pages
    #[command(hide = true)]
    Man(ManArguments),
}

/// Whether a flag was given. An enum, because `clippy` and `tests/tidy.rs` allow a struct one bool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Switch {
    #[default]
    Off,
    On,
}

impl Switch {
    pub(crate) fn is_on(self) -> bool {
        self == Self::On
    }
}

/// What to start, and settings that override those of an s.yaml.
#[derive(Clone, Debug, Args)]
pub(crate) struct SourceArguments {
    /// A directory, a ZIP, an s.yaml or an executable [default: the current directory]
    pub(crate) source: Option<PathBuf>,
    /// The resource to use, if the s.yaml has several functions
    #[arg(long, value_name = "NAME")]
    pub(crate) resource: Option<String>,
    /// The port that the function listens on [default: 9000]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// The runtime; its Debian release decides what the executable may need [default: custom.debian10]
    #[arg(long, value_name = "NAME")]
    pub(crate) runtime: Option<String>,
    /// Set an environment variable of the function; may be repeated
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) environment: Vec<(String, String)>,
    /// How long the server may take to listen, in seconds [default: 120]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) start_timeout: Option<Duration>,
    /// Send POST /initialize before the first call
    #[arg(
        long,
        action = ArgAction::SetTrue, value_parser = switch
    )]
    pub(crate) initializer: Switch,
    /// Send GET /pre-stop before stopping
    #[arg(
        long,
        action = ArgAction::SetTrue, value_parser = switch
    )]
    pub(crate) pre_stop: Switch,
    /// The path of the health check
    #[arg(long, value_name = "PATH")]
    pub(crate) health: Option<String>,
    /// Start the function without namespaces: its code stays where it is, and it shares /tmp with this machine
    #[arg(
        long,
        action = ArgAction::SetTrue, value_parser = switch
    )]
    pub(crate) no_sandbox: Switch,
    /// Which network the function sees [default: host; check: own, unless the server needs the outside]
    #[arg(long, value_enum, conflicts_with = "no_sandbox")]
    pub(crate) network: Option<Network>,
    /// The start command, instead of bootstrap
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// What is built before the start. A Rust project is, as `coldstart pack` does it.
#[derive(Clone, Debug, Args)]
pub(crate) struct BuildArguments {
    /// Build with the commands of actions.pre-deploy in s.yaml
    #[arg(
        long,
        action = ArgAction::SetTrue, value_parser = switch,
        conflicts_with = "no_build"
    )]
    pub(crate) build: Switch,
    /// Do not build a Rust project
    #[arg(
        long,
        action = ArgAction::SetTrue, value_parser = switch
    )]
    pub(crate) no_build: Switch,
}

#[derive(Debug, Args)]
pub(crate) struct InvokeArguments {
    #[command(flatten)]
    pub(crate) source: SourceArguments,
    #[command(flatten)]
    pub(crate) build: BuildArguments,
    /// The gateway of a running function; without one, the function is started for the call
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) gateway: SocketAddr,
    /// The event, - for standard input [default: {}]
    #[arg(long, value_name = "FILE")]
    pub(crate) event: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) source: SourceArguments,
    #[command(flatten)]
    pub(crate) build: BuildArguments,
    /// The address that the gateway listens on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) gateway: SocketAddr,
    /// The generation of the platform whose error texts callers get
    #[arg(long, value_enum, default_value_t)]
    pub(crate) errors: Style,
    /// Concurrent requests per instance [default: 20]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) concurrency: Option<u32>,
    /// How long one request may take, in seconds [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
    /// The function's memory, in MB [default: 512]
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u64).range(128..=32768))]
    pub(crate) memory: Option<u64>,
    /// Stop the process between requests, as the platform freezes an idle instance
    #[arg(
        long,
        action = ArgAction::SetTrue, value_parser = switch
    )]
    pub(crate) freeze: Switch,
    /// Restart the function when its files change
    #[arg(
        long,
        action = ArgAction::SetTrue, value_parser = switch
    )]
    pub(crate) watch: Switch,
    /// Keep running when the start fails: callers get the error, and each call tries again
    #[arg(
        long,
        action = ArgAction::SetTrue, value_parser = switch
    )]
    pub(crate) stay: Switch,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    pub(crate) source: SourceArguments,
    /// Hold idle connections for up to 131 s and freeze for 60 s: longer than every common default
    #[arg(
        long,
        action = ArgAction::SetTrue, value_parser = switch,
        conflicts_with = "full"
    )]
    pub(crate) idle: Switch,
    /// Hold idle connections for up to 16 minutes
    #[arg(
        long,
        action = ArgAction::SetTrue, value_parser = switch
    )]
    pub(crate) full: Switch,
    /// Run only these checks, such as K1,S3
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// A path whose handler fails or panics, for C2 and E1
    #[arg(long, value_name = "PATH")]
    pub(crate) fault_path: Option<String>,
    /// A path that responds, for all checks that need no other
    #[arg(long, value_name = "PATH", default_value = "/")]
    pub(crate) path: String,
    /// A path that streams its response, for P6 [default: that of --path]
    #[arg(long, value_name = "PATH")]
    pub(crate) stream_path: Option<String>,
    /// Print the report as JSON
    #[arg(
        long,
        action = ArgAction::SetTrue, value_parser = switch
    )]
    pub(crate) json: Switch,
    /// Also write the report as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Also write the report as a page, for a pull request
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    /// A command to measure; may be repeated, and the first is the baseline of the ratios
    #[arg(long = "command", value_name = "COMMAND", required = true)]
    pub(crate) commands: Vec<String>,
    /// The code directory
    #[arg(long, value_name = "DIRECTORY", default_value = ".")]
    pub(crate) directory: PathBuf,
    /// The port that the servers listen on [default: 9000]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// Cold starts per command
    #[arg(long, default_value_t = 11, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) starts: u32,
    /// Warm requests per command
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) requests: u32,
    /// The path to request
    #[arg(long, default_value = "/")]
    pub(crate) path: String,
    /// How long a server may take to listen, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "30")]
    pub(crate) start_timeout: Duration,
    /// Also write an HTML page with plots
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Print the numbers as JSON
    #[arg(
        long,
        action = ArgAction::SetTrue, value_parser = switch
    )]
    pub(crate) json: Switch,
}

#[derive(Debug, Args)]
pub(crate) struct PackArguments {
    /// A Rust project, a directory to pack, an s.yaml, or one executable [default: the current directory]. An image can be
    /// made of several, one for each architecture
    #[arg(value_name = "SOURCE")]
    pub(crate) sources: Vec<PathBuf>,
    /// The resource to use if s.yaml has several functions
    #[arg(long, value_name = "NAME")]
    pub(crate) resource: Option<String>,
    /// The ZIP to write [default: function.zip in the project or directory]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) image: ImageArguments,
    /// The runtime that the executable must run on [default: that of s.yaml, or custom.debian10]
    #[arg(long, value_name = "NAME")]
    pub(crate) runtime: Option<String>,
    /// The target that cargo builds for; an image may be built for several
    #[arg(
        long = "target",
        value_name = "TARGET",
        value_delimiter = ',',
        default_value = "x86_64-unknown-linux-musl"
    )]
    pub(crate) targets: Vec<String>,
    /// The directory is started with a command of the runtime's image and needs no bootstrap
    #[arg(
        long,
        action = ArgAction::SetTrue, value_parser = switch
    )]
    pub(crate) command: Switch,
}

/// What makes an image in place of the ZIP, and how it is named.
#[derive(Debug, Default, Args)]
pub(crate) struct ImageArguments {
    /// Write a container image: an OCI layout in a tar, which podman, docker and skopeo load
    #[arg(
        long,
        value_name = "FILE",
        group = "an_image",
        conflicts_with = "output"
    )]
    pub(crate) image: Option<PathBuf>,
    /// Write a container image as a directory, an OCI layout; an image that is there is replaced
    #[arg(
        long,
        value_name = "DIRECTORY",
        group = "an_image",
        conflicts_with = "output"
    )]
    pub(crate) image_dir: Option<PathBuf>,
    /// The image's name [default: that of the package or of the function in s.yaml, and latest]
    #[arg(long, value_name = "NAME[:TAG]", requires = "an_image", value_parser = Reference::parse)]
    pub(crate) tag: Option<Reference>,
    /// Set a label of the image; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE", requires = "an_image", value_parser = variable)]
    pub(crate) labels: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub(crate) struct NewArguments {
    /// The directory to create; its name becomes the function's name
    pub(crate) directory: PathBuf,
    /// What the function handles
    #[arg(long, value_enum, default_value_t)]
    pub(crate) kind: Kind,
    /// Also write the file of an engine; several are separated by commas
    #[arg(
        long,
        value_enum,
        value_name = "ENGINE",
        value_delimiter = ',',
        default_value = "fc"
    )]
    pub(crate) deploy: Vec<Engine>,
    /// Use the library in this checkout of the repository [default: the one that this program was built in]
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) library: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArguments {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArguments {
    /// The directory to write them into
    pub(crate) directory: PathBuf,
}

/// Maps the true and false of clap's `SetTrue`.
#[expect(clippy::unnecessary_wraps, reason = "clap's parsers may fail")]
fn switch(text: &str) -> Result<Switch, String> {
    Ok(if text == "true" {
        Switch::On
    } else {
        Switch::Off
    })
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("expected NAME=VALUE".to_owned()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text
        .parse()
        .map_err(|_| "expected a number of seconds".to_owned())?;
    let valid = (0.001..=86_400.0).contains(&number);
    valid
        .then(|| Duration::from_secs_f64(number))
        .ok_or_else(|| "expected 0.001 to 86400 seconds".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
