//! Why a server does not start: the message for the operator, and the exit status.

use core::fmt::{self, Write as _};
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;

use crate::os::address::DisplayAddress;
use crate::os::number::decimal;
use crate::os::{Fault, fault};

/// Why a server did not start, or could not continue. Each has its [`exit_code`](Self::exit_code).
///
/// ```
/// use coldstart::Server;
/// use coldstart::server::StartError;
///
/// # fn main() -> Result<(), StartError> {
/// let first = Server::new().port(0).bind()?;
/// let second = Server::new().port(first.local_address().port()).bind();
/// let error = second.expect_err("the port is in use");
/// assert!(matches!(error, StartError::AddressInUse(_)));
/// assert_eq!(error.exit_code(), 69);
/// assert!(error.to_string().ends_with("another process does; stop it or choose another port"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// Another process has the address. Exit status 69.
    AddressInUse(SocketAddr),
    /// Ports below 1024 are for privileged processes. Exit status 77.
    PermissionDenied(SocketAddr),
    /// No interface of this machine has the address. Exit status 68.
    AddressNotAvailable(SocketAddr),
    /// A setting is not a port. Exit status 78.
    InvalidPort {
        /// Where the value came from.
        source: String,
        /// The value.
        value: String,
    },
    /// One of several workers panicked outside of a request, which stopped the others. Exit status 70.
    WorkerPanicked,
    /// Any other error of the kernel. Exit status 71.
    Os(io::Error),
}

impl StartError {
    #[cold]
    pub(crate) fn from_bind(address: SocketAddr, error: io::Error) -> Self {
        let kind = error.kind();
        if kind == io::ErrorKind::AddrInUse {
            Self::AddressInUse(address)
        } else if kind == io::ErrorKind::PermissionDenied {
            Self::PermissionDenied(address)
        } else if kind == io::ErrorKind::AddrNotAvailable {
            Self::AddressNotAvailable(address)
        } else {
            Self::Os(error)
        }
    }

    pub(crate) const fn from_os(error: io::Error) -> Self {
        Self::Os(error)
    }

    pub(crate) fn from_fault(fault: Fault) -> Self {
        match fault {
            Fault::Other(number) if number != 0 => Self::Os(io::Error::from_raw_os_error(number)),
            Fault::Exhausted => Self::Os(io::ErrorKind::OutOfMemory.into()),
            Fault::Other(_) | Fault::Again | Fault::Gone => Self::Os(io::ErrorKind::Other.into()),
        }
    }

    /// Its exit status, after sysexits(3).
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::AddressNotAvailable(_) => 68,
            Self::AddressInUse(_) => 69,
            Self::WorkerPanicked => 70,
            Self::Os(_) => 71,
            Self::PermissionDenied(_) => 77,
            Self::InvalidPort { .. } => 78,
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressInUse(address) => write!(
                formatter,
                "cannot listen on {}: another process does; stop it or choose another port",
                DisplayAddress(address)
            ),
            Self::PermissionDenied(address) => write!(
                formatter,
                "cannot listen on {}: permission denied; choose a port from 1024 up, or grant CAP_NET_BIND_SERVICE",
                DisplayAddress(address)
            ),
            Self::AddressNotAvailable(address) => write!(
                formatter,
                "cannot listen on {}: this machine has no such address; use 0.0.0.0",
                DisplayAddress(address)
            ),
            Self::InvalidPort { source, value } => write!(
                formatter,
                "{source} is \"{}\", which is not a port; give a number from 1 to 65535",
                Printable(value)
            ),
            Self::WorkerPanicked => formatter
                .write_str("a worker panicked outside of a request; the others were stopped"),
            Self::Os(error) => write_os_error(formatter, error),
        }
    }
}

/// Not the error's own text, which would link libc's table of all error texts.
fn write_os_error(formatter: &mut fmt::Formatter<'_>, error: &io::Error) -> fmt::Result {
    formatter.write_str("the server cannot run: ")?;
    match fault(error) {
        Fault::Exhausted => {
            formatter.write_str("no descriptor or no memory is left; see `ulimit -n` and `-v`")?;
        }
        Fault::Again | Fault::Gone | Fault::Other(_) => write!(formatter, "{}", error.kind())?,
    }
    let number = error.raw_os_error();
    number.map_or(Ok(()), |number| {
        write!(formatter, " (os error {})", decimal(number))
    })
}

/// A text of the operator on one line: control characters are replaced. (Not `{:?}`: it links Unicode tables, and is empty in
/// a build without debug output.)
struct Printable<'a>(&'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| {
            let is_shown = !letter.is_control();
            formatter.write_char(if is_shown {
                letter
            } else {
                char::REPLACEMENT_CHARACTER
            })
        })
    }
}

impl core::error::Error for StartError {
    /// The kernel's own error, if the message does not say all of it.
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Os(error) => Some(error),
            Self::AddressInUse(_)
            | Self::PermissionDenied(_)
            | Self::AddressNotAvailable(_)
            | Self::InvalidPort { .. }
            | Self::WorkerPanicked => None,
        }
    }
}

impl From<&StartError> for ExitCode {
    fn from(error: &StartError) -> Self {
        Self::from(error.exit_code())
    }
}
