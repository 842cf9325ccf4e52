//! `coldstart invoke`: calls the function once, and ends with the call's result as its exit status.

use std::fs;
use std::io::{self, Read as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::arguments::{InvokeArguments, Switch};
use crate::build::Recipe;
use crate::caller_error::Style;
use crate::console::{Tone, give_bytes, say};
use crate::exit::{Failure, Status};
use crate::gateway::fleet::Fleet;
use crate::gateway::listener;
use crate::gateway::outcome::Reporter;
use crate::instance::timeline::Timeline;
use crate::interrupt::Interrupt;
use crate::project::Project;
use crate::run::ensure_port_free;
use crate::starting::{Attempt, Started, warm_up};
use crate::wire::exchange::Call;
use crate::wire::{Fault, Wire};

const DIAL_PATIENCE: Duration = Duration::from_secs(1);
/// The longest time-out of a function; the gateway ends a call earlier by itself.
const CALL_PATIENCE: Duration = Duration::from_secs(86_400);
const EVENT_LEN_MAX: u64 = 32 * 1024 * 1024;
/// The gateway's status for a function that did not start.
const NOT_STARTED: u16 = 412;

/// Calls the function that a gateway serves, or starts one for the call.
pub(crate) fn invoke(
    arguments: &InvokeArguments,
    interrupt: &Interrupt,
) -> Result<Status, Failure> {
    let event = arguments
        .event
        .as_deref()
        .map_or_else(|| Ok(b"{}".to_vec()), read_event)?;
    let calling = || match dial(arguments.gateway) {
        Ok(gateway) => call(gateway, arguments.gateway, "function", event),
        Err(_) => call_started(arguments, event),
    };
    let result = interrupt.unless_raised(calling, || {})?;
    result.unwrap_or(Ok(Status::Interrupted))
}

fn read_event(path: &Path) -> Result<Vec<u8>, Failure> {
    let refused = |error: io::Error| {
        Failure::input(format!(
            "cannot read the event from {}: {error}",
            path.display()
        ))
    };
    let mut event = Vec::new();
    let limit = EVENT_LEN_MAX + 1;
    if path == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(&mut event)
    } else {
        fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut event))
    }
    .map_err(refused)?;
    if event.len() as u64 > EVENT_LEN_MAX {
        return Err(Failure::input("the event is larger than 32 MB")
            .fix("the platform does not accept it either; store it and pass its address"));
    }
    Ok(event)
}

fn call_started(arguments: &InvokeArguments, event: Vec<u8>) -> Result<Status, Failure> {
    let recipe = Recipe::of(&arguments.source, &arguments.build)?;
    recipe.carry_out()?;
    let mut source = arguments.source.clone();
    source.source = recipe.source().map(Path::to_owned).or(source.source);
    let project = Project::resolve(&source)?;
    project.say_notes();
    ensure_port_free(&project)?;
    let name = project.settings.function_name.clone();
    let fleet = Arc::new(Fleet::new(
        project,
        Reporter::beside_response(),
        Style::default(),
        Switch::Off,
    ));
    if warm_up(&fleet, Timeline::begin(), &Attempt::default()) == Started::Not {
        return Ok(Status::NotStarted);
    }
    let refused = |error: io::Error| Failure::machine(format!("cannot serve the call: {error}"));
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(refused)?;
    let address = socket.local_addr().map_err(refused)?;
    listener::spawn(socket, &fleet).map_err(refused)?;
    let gateway = dial(address).map_err(|fault| lost(address, &fault))?;
    let status = call(gateway, address, &name, event);
    fleet.close();
    status
}

fn call(
    mut gateway: Wire,
    address: SocketAddr,
    function: &str,
    event: Vec<u8>,
) -> Result<Status, Failure> {
    let target = format!("/2023-03-30/functions/{function}/invocations");
    let reply = gateway
        .call(&Call::new("POST", &target).body(event), CALL_PATIENCE)
        .map_err(|fault| lost(address, &fault))?;
    let fields = &reply.head.fields;
    if fields.first("x-fc-request-id").is_none() {
        return Err(Failure::input(format!(
            "what listens on {address} is not the gateway of coldstart run"
        ))
        .fix("name the gateway's address with --gateway"));
    }
    give_bytes(&reply.body);
    let kind = fields.text("x-fc-error-type");
    let status = match (reply.head.status, &kind) {
        (200..=299, None) => return Ok(Status::Done),
        (NOT_STARTED, _) => Status::NotStarted,
        _ => Status::Unmet,
    };
    say(format!(
        "{} {}",
        Tone::Bad.paint("failed:"),
        kind.unwrap_or_else(|| reply.head.status.to_string())
    ));
    Ok(status)
}

fn dial(address: SocketAddr) -> Result<Wire, Fault> {
    let stream = TcpStream::connect_timeout(&address, DIAL_PATIENCE).map_err(Fault::Refused)?;
    Ok(Wire::of(stream)?)
}

fn lost(address: SocketAddr, fault: &Fault) -> Failure {
    Failure::machine(format!("the gateway at {address} did not respond: {fault}"))
}
