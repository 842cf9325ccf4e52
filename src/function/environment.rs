//! The platform's variables in the environment.
#![expect(
    clippy::disallowed_methods,
    reason = "this is the edge where the environment is read"
)]

use core::ffi::CStr;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use crate::h1;
use crate::os::{memory_limit, number, read_variable};
use crate::server::DEFAULT_PORT;
use crate::server::start_error::StartError;

/// The variables that may name the port; the first that is set and not empty counts: the platform's own
/// ([contract §2](crate::contract#2-start)), then its neighbors' ([contract §8](crate::contract#8-neighbors)). The general
/// one comes last, because it may be meant for another program.
pub(super) const PORT_VARIABLES: [&CStr; 5] = [
    c"FC_CUSTOM_LISTEN_PORT",
    c"FC_SERVER_PORT",
    c"_FAAS_RUNTIME_PORT",
    c"AWS_LWA_PORT",
    c"PORT",
];

/// Replaces a value that is not UTF-8 and therefore not a port.
const NO_TEXT: &str = "\u{fffd}";

/// The port that the platform wants the server to listen on: `FC_CUSTOM_LISTEN_PORT`, else `FC_SERVER_PORT`, else that of
/// a neighbouring platform, `_FAAS_RUNTIME_PORT`, `AWS_LWA_PORT` or `PORT`, else 9000. An empty variable counts as absent.
///
/// ```no_run
/// use coldstart::Server;
/// use coldstart::function::port_from_environment;
///
/// # fn main() -> Result<(), coldstart::server::StartError> {
/// // As `serve`, but for callers on this machine alone.
/// let port = port_from_environment()?;
/// Server::new().address(([127, 0, 0, 1], port).into()).run(|_| "hello\n")
/// # }
/// ```
///
/// # Errors
///
/// [`StartError::InvalidPort`]: a variable is set to something that is not a port. It is not ignored, since the platform
/// waits for the server on the port that the variable was to name.
pub fn port_from_environment() -> Result<u16, StartError> {
    port_from(read_variable)
}

/// `read` passes a variable's value to a closure, if it is set.
pub(super) fn port_from(read: impl Fn(&CStr, &mut dyn FnMut(&OsStr))) -> Result<u16, StartError> {
    for name in PORT_VARIABLES {
        let mut port = None;
        read(name, &mut |value| {
            if !value.is_empty() {
                let value = value.to_str().unwrap_or(NO_TEXT);
                port = Some(parse_port(name.to_str().unwrap_or(NO_TEXT), value));
            }
        });
        if let Some(port) = port {
            return port;
        }
    }
    Ok(DEFAULT_PORT)
}

/// The memory of the instance in bytes: the platform's variable, which counts in MB, or what the kernel allows if that is
/// less.
pub(super) fn memory_of_instance() -> Option<u64> {
    let mut named = None;
    read_variable(c"FC_FUNCTION_MEMORY_SIZE", &mut |value| {
        named = bytes_of(value);
    });
    match (named, memory_limit()) {
        (Some(named), Some(limit)) => Some(named.min(limit)),
        (named, limit) => named.or(limit),
    }
}

fn bytes_of(megabytes: &OsStr) -> Option<u64> {
    number(megabytes.as_bytes())?.checked_mul(1024 * 1024)
}

/// A variable; one that is empty or not text counts as absent.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).and_then(text)
}

pub(super) fn text(value: OsString) -> Option<String> {
    value.into_string().ok().filter(|value| !value.is_empty())
}

/// A port in decimal digits; `source` is named in the error.
pub(crate) fn parse_port(source: &str, value: &str) -> Result<u16, StartError> {
    h1::parse_port(value.as_bytes()).ok_or_else(|| invalid_port(source, value))
}

#[cold]
fn invalid_port(source: &str, value: &str) -> StartError {
    StartError::InvalidPort {
        source: source.to_owned(),
        value: value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{bytes_of, port_from};

    #[test]
    fn the_memory_of_the_instance_is_in_megabytes() {
        assert_eq!(bytes_of("128".as_ref()), Some(128 << 20));
        assert_eq!(bytes_of("128MB".as_ref()), None);
        assert_eq!(bytes_of("18446744073709551615".as_ref()), None);
    }

    fn port(variables: &[(&str, &str)]) -> Result<u16, String> {
        port_from(|name, read| {
            let found = variables
                .iter()
                .find(|(key, _)| key.as_bytes() == name.to_bytes());
            if let Some((_, value)) = found {
                read(value.as_ref());
            }
        })
        .map_err(|error| error.to_string())
    }

    #[test]
    fn the_port_is_taken_from_the_first_variable_that_says_one() {
        assert_eq!(port(&[]), Ok(9000));
        assert_eq!(
            port(&[
                ("PORT", "1"),
                ("FC_SERVER_PORT", "2"),
                ("FC_CUSTOM_LISTEN_PORT", "3")
            ]),
            Ok(3)
        );
        assert_eq!(
            port(&[
                ("PORT", "1"),
                ("FC_SERVER_PORT", "2"),
                ("FC_CUSTOM_LISTEN_PORT", "")
            ]),
            Ok(2)
        );
        assert_eq!(port(&[("PORT", "65535")]), Ok(65535));
        assert_eq!(
            port(&[
                ("PORT", "1"),
                ("AWS_LWA_PORT", "2"),
                ("_FAAS_RUNTIME_PORT", "3")
            ]),
            Ok(3)
        );
        assert_eq!(port(&[("PORT", "1"), ("AWS_LWA_PORT", "2")]), Ok(2));
    }

    #[test]
    fn what_is_no_port_is_an_error_that_names_it() {
        for value in ["0", "65536", "-1", "+9000", "80 ", "http", "0x50"] {
            let error = port(&[("FC_CUSTOM_LISTEN_PORT", value)]).expect_err(value);
            assert!(
                error.contains("FC_CUSTOM_LISTEN_PORT") && error.contains(value),
                "{error}"
            );
        }
    }
}
