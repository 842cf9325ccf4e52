//! What differs by operating system, in one interface. Linux can do all of it. On any other system nothing is seen of the
//! processes but their ends, there is no sandbox, and what depends on either says so.

#[cfg(on_linux)]
mod linux;
#[cfg(not(on_linux))]
mod other;
mod seen;

#[cfg(on_linux)]
use linux as here;
#[cfg(not(on_linux))]
use other as here;

pub(crate) use here::{
    ENDED, FOREIGN, Punctual, Supervision, acknowledge_at_once, adopt_orphans, blindness, children,
    descendants, handles_sigterm, holder, is_ending, is_zombie, listeners, load, look,
    open_for_writing, owner, pin, pinnable, processor, program, rehearse, router_address, siblings,
    socket, sockets_of, stage, usage, works, written,
};
pub(crate) use seen::{Caller, Listener, Usage, Work};
