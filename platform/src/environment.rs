//! The function's environment: the documented variables, and the few from this machine that interpreters need.
//! The only file that reads this program's own environment.
#![expect(
    clippy::disallowed_methods,
    reason = "the one file that reads the environment"
)]

use std::collections::BTreeMap;
use std::path::Path;

use crate::clock;
use crate::settings::Settings;

/// Where the platform puts the code.
const CODE: &str = "/code";

/// Variables without which an interpreter on a developer's machine is not found or does not start.
const PASSED_ON: [&str; 6] = ["PATH", "HOME", "LANG", "TMPDIR", "JAVA_HOME", "SYSTEMROOT"];

/// The documented variables.
pub(crate) const DOCUMENTED: [&str; 14] = [
    "FC_FUNC_CODE_PATH",
    "FC_CUSTOM_LISTEN_PORT",
    "FC_SERVER_PORT",
    "FC_ACCOUNT_ID",
    "FC_REGION",
    "FC_FUNCTION_NAME",
    "FC_FUNCTION_HANDLER",
    "FC_FUNCTION_MEMORY_SIZE",
    "FC_INSTANCE_ID",
    "FC_SERVICE_NAME",
    "ALIBABA_CLOUD_ACCESS_KEY_ID",
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
    "ALIBABA_CLOUD_SECURITY_TOKEN",
    "TZ",
];

/// How much of the documented environment a function gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Completeness {
    #[default]
    Full,
    /// Only the port, which a function cannot guess.
    PortOnly,
    /// Every documented variable is set, and all but the port are empty.
    Empty,
}

/// The identity and credentials that a function gets: invented for each run and valid nowhere.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) account: String,
    pub(crate) instance: String,
    pub(crate) access_key_id: String,
    pub(crate) access_key_secret: String,
    pub(crate) security_token: String,
}

impl Identity {
    /// Invents a new identity.
    pub(crate) fn invent() -> Self {
        Self {
            account: "1234567890123456".to_owned(),
            instance: format!("c-{:08x}-{:016x}", clock::random() >> 32, clock::random()),
            access_key_id: format!("STS.local{:012x}", clock::random() >> 16),
            access_key_secret: format!("secret-{:016x}", clock::random()),
            security_token: format!("token-{:016x}{:016x}", clock::random(), clock::random()),
        }
    }

    /// Returns the values that must never appear in a log.
    pub(crate) fn secrets(&self) -> [&str; 2] {
        [&self.access_key_secret, &self.security_token]
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Identity")
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}

/// Returns a variable of this program's own environment, for `${env()}` in deployment files.
pub(crate) fn own(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Returns the whole environment of an instance.
pub(crate) fn variables(
    settings: &Settings,
    identity: &Identity,
    code: &Path,
    completeness: Completeness,
) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for name in PASSED_ON {
        if let Ok(value) = std::env::var(name) {
            all.insert(name.to_owned(), value);
        }
    }
    let documented = documented(settings, identity, code);
    for (name, value) in DOCUMENTED.into_iter().zip(documented) {
        let is_port = name == "FC_CUSTOM_LISTEN_PORT";
        match completeness {
            Completeness::Empty if !is_port => all.insert(name.to_owned(), String::new()),
            Completeness::PortOnly if !is_port => None,
            Completeness::Full | Completeness::Empty | Completeness::PortOnly => {
                all.insert(name.to_owned(), value)
            }
        };
    }
    let configured = settings.environment.iter();
    all.extend(configured.map(|(name, value)| (name.clone(), local_value(value, code))));
    all
}

/// Replaces `/code` in a list of paths such as `PATH`: here the code is somewhere else.
fn local_value(value: &str, code: &Path) -> String {
    if Path::new(CODE).exists() {
        return value.to_owned();
    }
    let local = |part: &str| match part.strip_prefix(CODE) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            format!("{}{rest}", code.display())
        }
        Some(_) | None => part.to_owned(),
    };
    value.split(':').map(local).collect::<Vec<_>>().join(":")
}

fn documented(settings: &Settings, identity: &Identity, code: &Path) -> [String; 14] {
    [
        code.to_string_lossy().into_owned(),
        settings.port.to_string(),
        settings.port.to_string(),
        identity.account.clone(),
        settings.region.clone(),
        settings.function_name.clone(),
        settings.handler.clone(),
        settings.memory_mb.to_string(),
        identity.instance.clone(),
        String::new(),
        identity.access_key_id.clone(),
        identity.access_key_secret.clone(),
        identity.security_token.clone(),
        "UTC".to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_in_path_lists_is_the_local_folder() {
        let local = |value| local_value(value, Path::new("/here"));
        if Path::new(CODE).exists() {
            return;
        }
        assert_eq!(
            local("/code/bin:/usr/bin:/code"),
            "/here/bin:/usr/bin:/here"
        );
        assert_eq!(local("/codex:x/code/y"), "/codex:x/code/y");
        assert_eq!(local("http://host/code"), "http://host/code");
    }
}
