//! An HTTP/1.1 server for serverless functions.

mod h1;
#[cfg(feature = "sim")]
pub mod sim;
