//! Idle connections to the instance. As the platform's router does, they are reused without checking that they are alive.

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

/// A connection for one request, and whether it was used before.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) wire: Wire,
    pub(crate) age: Age,
}

/// The server may have closed a used connection in the meantime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    Fresh,
    Used,
}

impl Pool {
    /// The most recently used connection, or a new one.
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
            wire: instance.dial(CONNECT_TIMEOUT)?,
            age: Age::Fresh,
        })
    }

    /// Keeps a connection after a complete response, unless unexpected bytes follow it.
    pub(crate) fn give_back(&self, mut wire: Wire) {
        wire.detach_caller();
        if wire.unread().is_empty() {
            self.lock().push(wire);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Wire>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
