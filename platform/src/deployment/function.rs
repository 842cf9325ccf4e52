//! One function of a deployment file: what its keys say, typed and checked.

use std::collections::BTreeMap;

use super::schema;
use super::section::Section;
use super::tree::{Node, Problem, Value};
use crate::package::inspect::Debian;

const MEMORY_MB: std::ops::RangeInclusive<u32> = 128..=32_768;
const TIMEOUT_SECONDS: std::ops::RangeInclusive<u32> = 1..=86_400;
/// What component fc3 deploys if the file says nothing.
const TIMEOUT_DEFAULT: u32 = 3;
const CONCURRENCY: std::ops::RangeInclusive<u32> = 1..=200;
const PORT: std::ops::RangeInclusive<u32> = 1..=65_535;
const INITIALIZER_SECONDS: std::ops::RangeInclusive<u32> = 1..=300;
const PRE_STOP_SECONDS: std::ops::RangeInclusive<u32> = 1..=90;
const HEALTH_SECONDS: std::ops::RangeInclusive<u32> = 0..=120;

/// What a function's keys say. Absent keys are `None` or empty.
#[derive(Debug, Default)]
pub(crate) struct Function {
    pub(crate) region: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) handler: Option<String>,
    pub(crate) debian: Debian,
    pub(crate) code: Option<Code>,
    pub(crate) limits: LimitConfig,
    pub(crate) environment: BTreeMap<String, String>,
    /// `command` followed by `args`.
    pub(crate) command: Vec<String>,
    pub(crate) port: Option<u16>,
    pub(crate) hooks: HookConfig,
    pub(crate) health: Option<HealthConfig>,
}

/// The code: a directory, a ZIP, a JAR or an executable.
#[derive(Debug)]
pub(crate) struct Code {
    /// The path, relative to the file.
    pub(crate) path: String,
    /// The file, line and key that name it, for messages.
    pub(crate) place: String,
}

/// Memory in MB, time in seconds, and concurrent requests.
#[derive(Debug, Default)]
pub(crate) struct LimitConfig {
    pub(crate) memory_mb: Option<u32>,
    pub(crate) timeout: Option<u32>,
    pub(crate) concurrency: Option<u32>,
}

/// The configured hooks.
#[derive(Debug, Default)]
pub(crate) struct HookConfig {
    pub(crate) initializer: Option<Hook>,
    pub(crate) pre_stop: Option<Hook>,
}

/// A hook, with its time-out in seconds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Hook {
    pub(crate) timeout: Option<u32>,
}

/// The custom health check.
#[derive(Debug, Default)]
pub(crate) struct HealthConfig {
    pub(crate) path: String,
    pub(crate) initial_delay: Option<u32>,
    pub(crate) period: Option<u32>,
    pub(crate) timeout: Option<u32>,
    pub(crate) failures_max: Option<u32>,
}

/// The component's generation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Generation {
    Two,
    Three,
}

/// Reads the properties of a resource, in the form of fc3 or of 2.0.
pub(crate) fn read(props: &Section<'_>) -> Result<Function, Problem> {
    match props.section("function")? {
        Some(inner) => read_2(props, &inner),
        None => read_3(props),
    }
}

fn read_3(props: &Section<'_>) -> Result<Function, Problem> {
    let mut function = Function {
        name: props.text("functionName")?,
        // 2.0's key, which some files keep.
        port: port(props, "caPort")?,
        ..both_forms(props)?
    };
    function.region = props.text("region")?;
    function.code = code(props, "code")?;
    if function.limits.timeout.is_none() {
        let seconds = TIMEOUT_DEFAULT;
        props.note(format!(
            "timeout is not set, so it is {seconds} s, as component fc3 deploys it"
        ));
        function.limits.timeout = Some(seconds);
    }
    let config = props.section("customRuntimeConfig")?;
    if let Some(config) = &config {
        function.port = port(config, "port")?.or(function.port);
        function.health = health(config, "healthCheckConfig")?;
    }
    report_keys(props, Generation::Three);
    Ok(function)
}

/// Component fc: the function is a map of its own, beside its service.
fn read_2(props: &Section<'_>, inner: &Section<'_>) -> Result<Function, Problem> {
    let outer_port = port(props, "caPort")?;
    let mut function = Function {
        name: inner.text("name")?,
        port: port(inner, "caPort")?.or(outer_port),
        ..both_forms(inner)?
    };
    function.region = props.text("region")?;
    let codes = [code(inner, "codeUri")?, code(inner, "code")?];
    function.code = codes.into_iter().flatten().next();
    if let Some(config) = inner.section("customRuntimeConfig")? {
        function.port = port(&config, "port")?.or(function.port);
    }
    function.health = health(inner, "customHealthCheckConfig")?;
    // 2.0 gives the initializer as a handler of its own.
    if inner
        .text("initializer")?
        .is_some_and(|handler| !handler.is_empty())
    {
        let timeout = inner.number("initializationTimeout", INITIALIZER_SECONDS)?;
        function.hooks.initializer = Some(Hook { timeout });
    }
    report_keys(inner, Generation::Two);
    Ok(function)
}

/// The keys that both forms have.
fn both_forms(section: &Section<'_>) -> Result<Function, Problem> {
    let debian = runtime(section)?;
    let mut command = Vec::new();
    if let Some(config) = section.section("customRuntimeConfig")? {
        command = config.texts("command")?;
        command.extend(config.texts("args")?);
    }
    Ok(Function {
        handler: section.text("handler")?,
        debian,
        limits: LimitConfig {
            memory_mb: section.number("memorySize", MEMORY_MB)?,
            timeout: section.number("timeout", TIMEOUT_SECONDS)?,
            concurrency: section.number("instanceConcurrency", CONCURRENCY)?,
        },
        environment: section.text_map("environmentVariables")?,
        command,
        hooks: hooks(section)?,
        ..Function::default()
    })
}

fn port(section: &Section<'_>, key: &str) -> Result<Option<u16>, Problem> {
    let port = section.number(key, PORT)?;
    Ok(port.and_then(|port| u16::try_from(port).ok()))
}

fn runtime(section: &Section<'_>) -> Result<Debian, Problem> {
    let name = section.text("runtime")?;
    let name = name.unwrap_or_else(|| "custom".to_owned());
    if let Some(debian) = Debian::of_runtime(&name) {
        return Ok(debian);
    }
    let message = if matches!(name.as_str(), "custom-container" | "micro-sandbox") {
        let container = section.section("customContainerConfig").ok().flatten();
        let image = container.and_then(|container| container.text("image").ok().flatten());
        let image = image.map_or_else(String::new, |image| format!(" {image}"));
        format!("runtime {name} starts from an image{image}; coldstart runs code packages only")
    } else {
        format!("`{name}` is not a custom runtime; the newest is custom.debian12")
    };
    Err(section.problem("runtime", message))
}

/// The code is a path, as a text or as `src` of a map.
fn code(section: &Section<'_>, key: &str) -> Result<Option<Code>, Problem> {
    let Some(node) = section.value(key)? else {
        return Ok(None);
    };
    let path = match &node.value {
        Value::Map(_) => match section.section(key)? {
            Some(map) => {
                let path = map.text("src")?;
                let in_bucket = map.text("ossBucketName")?.is_some();
                if path.is_none() && in_bucket {
                    return Err(section.problem(
                        key,
                        "the code is in an OSS bucket; coldstart runs local code, so give its path: src: ./code",
                    ));
                }
                path
            }
            None => None,
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
            section.text(key)?
        }
    };
    let is_url = |path: &String| {
        ["http://", "https://", "oss://"]
            .iter()
            .any(|scheme| path.starts_with(scheme))
    };
    if let Some(url) = path.as_ref().filter(|path| is_url(path)) {
        return Err(section.problem(
            key,
            format!("{url} is a URL, which is not supported; download it and name the file"),
        ));
    }
    let path = path.filter(|path| !path.is_empty());
    Ok(path.map(|path| Code {
        path,
        place: section.place(key),
    }))
}

fn hooks(section: &Section<'_>) -> Result<HookConfig, Problem> {
    let Some(config) = section.section("instanceLifecycleConfig")? else {
        return Ok(HookConfig::default());
    };
    Ok(HookConfig {
        initializer: hook(&config, "initializer", INITIALIZER_SECONDS)?,
        pre_stop: hook(&config, "preStop", PRE_STOP_SECONDS)?,
    })
}

/// The platform sends a hook only if it has a handler; for a custom runtime any text will do.
fn hook(
    config: &Section<'_>,
    key: &str,
    bounds: std::ops::RangeInclusive<u32>,
) -> Result<Option<Hook>, Problem> {
    let Some(hook) = config.section(key)? else {
        return Ok(None);
    };
    let timeout = hook.number("timeout", bounds)?;
    if hook
        .text("handler")?
        .is_some_and(|handler| !handler.is_empty())
    {
        return Ok(Some(Hook { timeout }));
    }
    if !hook.texts("command")?.is_empty() {
        config.note(format!(
            "instanceLifecycleConfig.{key}.command is not run here"
        ));
    } else if timeout.is_some() {
        config.note(format!(
            "instanceLifecycleConfig.{key} has no handler, so there is no hook"
        ));
    }
    Ok(None)
}

fn health(section: &Section<'_>, key: &str) -> Result<Option<HealthConfig>, Problem> {
    let Some(config) = section.section(key)? else {
        return Ok(None);
    };
    let Some(path) = config.text("httpGetUrl")?.filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    if !path.starts_with('/') {
        return Err(config.problem(
            "httpGetUrl",
            format!("expected a path such as /healthz, found `{path}`"),
        ));
    }
    Ok(Some(HealthConfig {
        path,
        initial_delay: config.number("initialDelaySeconds", HEALTH_SECONDS)?,
        period: config.number("periodSeconds", HEALTH_SECONDS)?,
        timeout: config.number("timeoutSeconds", HEALTH_SECONDS)?,
        failures_max: config.number("failureThreshold", HEALTH_SECONDS)?,
    }))
}

/// Says once what a local run cannot honor, and which keys the component does not have.
fn report_keys(props: &Section<'_>, generation: Generation) {
    let honored: &[&str] = match generation {
        Generation::Two => &schema::HONORED_2,
        Generation::Three => &schema::HONORED,
    };
    let is_open = |key: &str, node: &Node| !honored.contains(&key) && !is_empty(node);
    let mut idle = Vec::new();
    for (key, node) in props.keys().filter(|(key, node)| is_open(key, node)) {
        if let Some((_, why)) = schema::MISSED.iter().find(|(known, _)| *known == key) {
            props.note(format!(
                "{key} {} missing: {why}{}",
                verb(key),
                listed(node)
            ));
        } else if generation == Generation::Two || schema::WITHOUT_EFFECT.contains(&key) {
            idle.push(key.to_owned());
        } else {
            props.note(format!(
                "line {}: `{key}` is not a key of a function",
                node.place.line
            ));
        }
    }
    for (path, known) in schema::NESTED {
        let mut section = Some(props.clone());
        for key in path.split('.') {
            section = section.and_then(|section| section.section(key).ok().flatten());
        }
        let unknown = section.iter().flat_map(|section| {
            let keys = section
                .keys()
                .filter(|(key, node)| !known.contains(key) && !is_empty(node));
            keys.map(|(key, _)| format!("{path}.{key}"))
                .collect::<Vec<_>>()
        });
        idle.extend(unknown);
    }
    if !idle.is_empty() {
        props.note(format!("no effect here: {}", idle.join(", ")));
    }
}

fn verb(key: &str) -> &'static str {
    if key.ends_with('s') { "are" } else { "is" }
}

/// The texts of a list, for a message.
fn listed(node: &Node) -> String {
    match &node.value {
        Value::List(items) => {
            let names: Vec<&str> = items.iter().filter_map(Node::text).collect();
            if names.is_empty() {
                String::new()
            } else {
                format!(": {}", names.join(", "))
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Map(_) => {
            String::new()
        }
    }
}

fn is_empty(node: &Node) -> bool {
    match &node.value {
        Value::Null => true,
        Value::List(items) => items.is_empty(),
        Value::Map(fields) => fields.is_empty(),
        Value::Text(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
