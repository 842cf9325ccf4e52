//! The function's configuration: the platform's defaults, what `s.yaml` sets, and what the command line sets.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::arguments::SourceArguments;
use crate::deployment::function::{Function, HealthConfig, Hook};
use crate::exit::Failure;
use crate::package::inspect::Debian;

/// The platform's documented defaults.
const PORT: u16 = 9000;
const START_TIMEOUT: Duration = Duration::from_secs(120);
const TIMEOUT: Duration = Duration::from_secs(60);
const HOOK_TIMEOUT: Duration = Duration::from_secs(30);
const MEMORY_MB: u64 = 512;
const CONCURRENCY: u32 = 20;

/// The function's configuration.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) port: u16,
    pub(crate) region: String,
    pub(crate) function_name: String,
    pub(crate) handler: String,
    pub(crate) memory_mb: u64,
    pub(crate) timeout: Duration,
    pub(crate) start_timeout: Duration,
    /// The configured number of concurrent requests.
    pub(crate) concurrency: Option<u32>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) hooks: Hooks,
    pub(crate) debian: Debian,
    pub(crate) debian_origin: Origin,
}

/// Where a setting comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    Configured,
}

/// The requests that the platform sends besides calls. Only configured ones are sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hooks {
    pub(crate) initializer: Option<Duration>,
    pub(crate) pre_stop: Option<Duration>,
    pub(crate) health: Option<Health>,
}

/// The custom health check.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    pub(crate) path: String,
    pub(crate) initial_delay: Duration,
    pub(crate) period: Duration,
    pub(crate) timeout: Duration,
    pub(crate) failures_max: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            port: PORT,
            region: "cn-hangzhou".to_owned(),
            function_name: "local".to_owned(),
            handler: "index.handler".to_owned(),
            memory_mb: MEMORY_MB,
            timeout: TIMEOUT,
            start_timeout: START_TIMEOUT,
            concurrency: None,
            environment: BTreeMap::new(),
            hooks: Hooks::default(),
            debian: Debian::default(),
            debian_origin: Origin::Default,
        }
    }
}

impl Settings {
    /// How many concurrent requests the gateway sends to an instance.
    pub(crate) fn concurrency_max(&self) -> u32 {
        self.concurrency.unwrap_or(CONCURRENCY)
    }

    /// What `s.yaml` sets, and the defaults for the rest.
    pub(crate) fn of_function(function: &Function) -> Self {
        let mut settings = Self {
            debian: function.debian,
            debian_origin: Origin::Configured,
            concurrency: function.limits.concurrency,
            environment: function.environment.clone(),
            ..Self::default()
        };
        if let Some(port) = function.port {
            settings.port = port;
        }
        let text = |field: &Option<String>, default: &str| {
            let filled = field.as_ref().filter(|text| !text.is_empty());
            filled.cloned().unwrap_or_else(|| default.to_owned())
        };
        settings.region = text(&function.region, &settings.region);
        settings.function_name = text(&function.name, &settings.function_name);
        settings.handler = text(&function.handler, &settings.handler);
        let limits = &function.limits;
        settings.memory_mb = limits.memory_mb.map_or(settings.memory_mb, u64::from);
        settings.timeout = seconds(limits.timeout, settings.timeout);
        let timeout = |hook: &Hook| seconds(hook.timeout, HOOK_TIMEOUT);
        settings.hooks = Hooks {
            initializer: function.hooks.initializer.as_ref().map(timeout),
            pre_stop: function.hooks.pre_stop.as_ref().map(timeout),
            health: function.health.as_ref().map(Health::of_config),
        };
        settings
    }

    /// Takes over what the command line sets.
    pub(crate) fn take(&mut self, arguments: &SourceArguments) -> Result<(), Failure> {
        if let Some(runtime) = &arguments.runtime {
            self.debian = debian_of(runtime).map_err(Failure::input)?;
            self.debian_origin = Origin::Configured;
        }
        if let Some(port) = arguments.port {
            self.port = port;
        }
        self.start_timeout = arguments.start_timeout.unwrap_or(self.start_timeout);
        self.environment
            .extend(arguments.environment.iter().cloned());
        if arguments.initializer.is_on() {
            self.hooks.initializer.get_or_insert(HOOK_TIMEOUT);
        }
        if arguments.pre_stop.is_on() {
            self.hooks.pre_stop.get_or_insert(HOOK_TIMEOUT);
        }
        if let Some(path) = &arguments.health {
            self.hooks.health = Some(Health::at(path.clone()));
        }
        Ok(())
    }
}

fn debian_of(runtime: &str) -> Result<Debian, String> {
    Debian::of_runtime(runtime).ok_or_else(|| {
        format!("`{runtime}` is not a custom runtime; the newest is custom.debian12")
    })
}

impl Health {
    /// A health check with the documented defaults.
    fn at(path: String) -> Self {
        Self {
            path,
            initial_delay: Duration::ZERO,
            period: Duration::from_secs(3),
            timeout: Duration::from_secs(1),
            failures_max: 3,
        }
    }

    fn of_config(config: &HealthConfig) -> Self {
        let default = Self::at(config.path.clone());
        Self {
            initial_delay: seconds(config.initial_delay, default.initial_delay),
            period: seconds(config.period, default.period),
            timeout: seconds(config.timeout, default.timeout),
            failures_max: config.failures_max.unwrap_or(default.failures_max).max(1),
            path: default.path,
        }
    }
}

fn seconds(configured: Option<u32>, default: Duration) -> Duration {
    configured.map_or(default, |seconds| Duration::from_secs(seconds.into()))
}
