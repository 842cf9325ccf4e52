//! What the platform calls a function for (contract §3).

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Http,
    Event,
    Initialize,
    PreStop,
    PreFreeze,
}

impl Call {
    /// Its name in marker lines.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Http | Self::Event => "Invoke",
            Self::Initialize => "Initialize",
            Self::PreStop => "PreStop",
            Self::PreFreeze => "PreFreeze",
        }
    }
}
