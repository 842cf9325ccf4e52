//! Container images as the OCI image specification has them, made without a container engine and reproducibly.

pub(crate) mod documents;
pub(crate) mod label;
pub(crate) mod layer;
pub(crate) mod layout;
pub(crate) mod place;
pub(crate) mod reference;

use sha2::{Digest as _, Sha256};

/// Where the code is in an image: where the platform extracts a package to.
pub(crate) const CODE: &str = "code";
/// The start file.
pub(crate) const START: &str = "/code/bootstrap";
/// The user and group that the start command runs as. Numbers, because the image has no `/etc/passwd`.
pub(crate) const USER: &str = "65534:65534";

/// What an image runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Architecture {
    Amd64,
    Arm64,
}

impl Architecture {
    /// Its name in image documents: Go's `GOARCH`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

/// `sha256:` and the hash in hexadecimal.
fn digest(hash: Sha256) -> String {
    let hash = hash.finalize();
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
