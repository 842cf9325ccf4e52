//! An upload of any size, which is read as it arrives and never held: its length and its SHA-256.
//!
//! ```console
//! $ cargo run --example upload
//! $ curl -T Cargo.lock localhost:9000/sums/
//! Cargo.lock: … bytes, sha256 …
//! $ printf abc | curl -T - localhost:9000/sums/abc
//! abc: 3 bytes, sha256 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad
//! ```

use std::fmt::Write as _;
use std::process::ExitCode;

use coldstart::message::{Head, Incoming, IncomingError};
use coldstart::{Function, Router};
use sha2::{Digest as _, Sha256};

/// The code runs on the loop, while other requests are served: each chunk is small. What takes long belongs on threads, as in
/// `examples/files`.
fn sum(
    head: &Head<'_>,
    mut body: Incoming,
) -> impl Future<Output = Result<String, IncomingError>> + use<> {
    // What is needed of the head is read before the first await.
    let name = head.parameter("name").unwrap_or_default().into_owned();
    async move {
        let (mut hash, mut length) = (Sha256::new(), 0_u64);
        // An upload that is cut ends here, with an error.
        while let Some(chunk) = body.chunk().await? {
            hash.update(&chunk);
            length += chunk.len() as u64;
        }
        let mut hex = String::new();
        for byte in hash.finalize() {
            // Writing to a string never fails.
            write!(hex, "{byte:02x}").ok();
        }
        Ok(format!("{name}: {length} bytes, sha256 {hex}\n"))
    }
}

fn main() -> ExitCode {
    let router = Router::new().put_incoming("/sums/{name}", sum);
    Function::new().http_handler(router).run()
}
