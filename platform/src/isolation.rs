//! How far a function is separated from this machine: as asked, and as far as the kernel allows.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::OnceLock;

use crate::arguments::SourceArguments;
use crate::console::{Tone, say};
use crate::exit::Failure;
use crate::sandbox::{Isolation, Network, Refusal};
use crate::system;

/// Said where the router can dial nothing but an address on which each server accepts.
const UNSEEN_BINDS: &str = "; a server that listens on 127.0.0.1 only looks right, unless the machine has another \
                            address of loopback: sudo ifconfig lo0 alias 127.0.0.2";

/// Chooses the isolation, and announces one that differs from the usual. Without a sandbox, a function starts anyway,
/// unless its network was asked for.
pub(crate) fn choose(arguments: &SourceArguments, code: &Path) -> Result<Isolation, Failure> {
    if let Some(blindness) = system::blindness() {
        if arguments.network == Some(Network::Own) {
            return Err(Failure::machine(format!(
                "--network own needs a sandbox, and {blindness} there is none"
            )));
        }
        announce(&format!(
            "{blindness} there is no sandbox, and it is not seen which processes belong to the function, how much memory \
             they use, and where they listen{}",
            if sees_binds() { "" } else { UNSEEN_BINDS }
        ));
        return Ok(Isolation::Direct);
    }
    if arguments.no_sandbox.is_on() {
        return Ok(Isolation::Supervised);
    }
    let network = arguments.network.unwrap_or(Network::Host);
    match allows(network, code) {
        Ok(()) => Ok(Isolation::Sandboxed(network)),
        Err(refusal) if network == Network::Own => Err(Failure::machine(format!(
            "--network own needs a sandbox, and this machine refuses it: {refusal}"
        ))),
        Err(refusal) => {
            announce(&format!(
                "no sandbox: {refusal}. The code is at {}, and /tmp is this machine's",
                code.display()
            ));
            Ok(Isolation::Supervised)
        }
    }
}

/// Returns whether a server that listens on loopback only can be told from one that the router reaches.
pub(crate) fn sees_binds() -> bool {
    system::router_address(Network::Host) != Ipv4Addr::LOCALHOST
}

/// Tries a sandbox out, once for each network.
pub(crate) fn allows(network: Network, code: &Path) -> Result<(), Refusal> {
    static HOST: OnceLock<Result<(), Refusal>> = OnceLock::new();
    static OWN: OnceLock<Result<(), Refusal>> = OnceLock::new();
    let tried = match network {
        Network::Host => &HOST,
        Network::Own => &OWN,
    };
    tried
        .get_or_init(|| system::rehearse(code, network))
        .clone()
}

/// Says it once, not at each restart.
fn announce(line: &str) {
    static ANNOUNCED: OnceLock<()> = OnceLock::new();
    ANNOUNCED.get_or_init(|| say(Tone::Caution.paint(line)));
}
