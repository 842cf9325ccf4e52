//! The code package: extraction, inspection and creation.

pub(crate) mod collect;
pub(crate) mod elf;
pub(crate) mod extract;
pub(crate) mod inspect;
pub(crate) mod write;
