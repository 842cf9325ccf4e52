//! The code package: taken apart as the platform does, looked at, and put together.

pub(crate) mod elf;
pub(crate) mod extract;
pub(crate) mod inspect;
pub(crate) mod write;
