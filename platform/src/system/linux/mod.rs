//! Linux: `/proc`, namespaces, and system calls that no other system has.

mod connections;
mod listeners;
mod machine;
mod processes;
mod sandbox;

pub(crate) use connections::{ENDED, look};
pub(crate) use listeners::{holder, listeners, owner, sockets_of};
pub(crate) use machine::{
    FOREIGN, Punctual, acknowledge_at_once, load, pin, pinnable, processor, router_address,
    siblings, socket,
};
pub(crate) use processes::{
    adopt_orphans, blindness, children, descendants, handles_sigterm, is_ending, is_zombie,
    open_for_writing, program, usage, works, written,
};
pub(crate) use sandbox::{Supervision, rehearse, stage};
