//! The platform's side, with real servers: what starts, what does not and why, what passes the gateway, what the checks
//! find, what is packed.

mod checks;
mod gateway;
mod packages;
mod page;
mod start;
mod support;
