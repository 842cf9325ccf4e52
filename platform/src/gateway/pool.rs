//! Kept connections to the instance, as the router keeps them: used again without a look whether they still live.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::instance::Instance;
use crate::wire::{Fault, Wire};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The idle connections of one instance.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: Mutex<Vec<Wire>>,
}

/// A connection to send a request on, and whether it has served before.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) wire: Wire,
    pub(crate) age: Age,
}

/// A used connection may have been closed by the server meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    Fresh,
    Used,
}

impl Pool {
    /// The connection that was used last, or a new one.
    pub(crate) fn take(&self, instance: &Instance) -> Result<Lease, Fault> {
        let kept = self.lock().pop();
        kept.map_or_else(
            || Self::dial(instance),
            |wire| {
                Ok(Lease {
                    wire,
                    age: Age::Used,
                })
            },
        )
    }

    /// A new connection.
    pub(crate) fn dial(instance: &Instance) -> Result<Lease, Fault> {
        Ok(Lease {
            wire: Wire::dial(instance.address(), CONNECT_TIMEOUT)?,
            age: Age::Fresh,
        })
    }

    /// Keeps a connection after a whole answer. Bytes that nobody asked for make it useless.
    pub(crate) fn give_back(&self, mut wire: Wire) {
        wire.read_for_nobody();
        if wire.unread().is_empty() {
            self.lock().push(wire);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Wire>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
