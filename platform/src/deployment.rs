//! Reads `s.yaml` (component fc3): the keys that an instance needs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::exit::Failure;

/// Larger files are refused before they are parsed.
const DOCUMENT_LEN_MAX: u64 = 1024 * 1024;

/// One function of a deployment file, and the folder that its paths are relative to.
#[derive(Debug)]
pub(crate) struct Deployment {
    /// The resource's properties.
    pub(crate) props: Props,
    /// The folder that holds the file.
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Document {
    #[serde(default)]
    resources: BTreeMap<String, Resource>,
}

#[derive(Debug, Deserialize)]
struct Resource {
    #[serde(default)]
    component: String,
    #[serde(default)]
    props: Props,
}

/// The function's properties. Every key is optional.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Props {
    pub(crate) region: Option<String>,
    pub(crate) function_name: Option<String>,
    pub(crate) runtime: Option<String>,
    pub(crate) handler: Option<String>,
    pub(crate) code: Option<Value>,
    pub(crate) memory_size: Option<u64>,
    pub(crate) timeout: Option<u64>,
    pub(crate) instance_concurrency: Option<u32>,
    pub(crate) environment_variables: BTreeMap<String, Value>,
    pub(crate) custom_runtime_config: RuntimeConfig,
    pub(crate) instance_lifecycle_config: LifecycleConfig,
    /// The port, as 2.0 spelled it.
    pub(crate) ca_port: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RuntimeConfig {
    pub(crate) command: Vec<String>,
    pub(crate) args: Vec<String>,
    pub(crate) port: Option<Value>,
    pub(crate) health_check_config: Option<HealthCheckConfig>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct HealthCheckConfig {
    pub(crate) http_get_url: Option<String>,
    pub(crate) initial_delay_seconds: Option<u64>,
    pub(crate) period_seconds: Option<u64>,
    pub(crate) timeout_seconds: Option<u64>,
    pub(crate) failure_threshold: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct LifecycleConfig {
    pub(crate) initializer: Option<HookConfig>,
    pub(crate) pre_stop: Option<HookConfig>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct HookConfig {
    pub(crate) timeout: Option<u64>,
}

impl Deployment {
    /// Reads a file and selects a function: the only one, or the one named `resource`.
    pub(crate) fn read(path: &Path, resource: Option<&str>) -> Result<Self, Failure> {
        let length = path
            .metadata()
            .map_err(|error| unreadable(path, &error))?
            .len();
        if length > DOCUMENT_LEN_MAX {
            return Err(Failure::input(format!(
                "{} is too large for a deployment file: {length} bytes",
                path.display()
            )));
        }
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
        let props = parse(&text, resource)
            .map_err(|reason| Failure::input(format!("{}: {reason}", path.display())))?;
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        Ok(Self {
            props,
            folder: folder.unwrap_or_else(|| Path::new(".")).to_owned(),
        })
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::input(format!("cannot read {}: {error}", path.display()))
}

fn parse(text: &str, resource: Option<&str>) -> Result<Props, String> {
    let mut tree: Value =
        serde_saphyr::from_str(text).map_err(|error| format!("malformed YAML: {error}"))?;
    let vars = tree.get("vars").cloned().unwrap_or(Value::Null);
    substitute(&mut tree, &vars);
    let document: Document =
        serde_json::from_value(tree).map_err(|error| format!("not a valid fc3 file: {error}"))?;
    let names = || {
        document
            .resources
            .keys()
            .cloned()
            .collect::<Vec<_>>()
            .join(", ")
    };
    let wanted = match resource {
        Some(name) => name.to_owned(),
        None if document.resources.len() == 1 => names(),
        None if document.resources.is_empty() => {
            return Err("no function under `resources`; coldstart reads component fc3".to_owned());
        }
        None => {
            return Err(format!(
                "several functions ({}); select one with --resource",
                names()
            ));
        }
    };
    let known = names();
    let mut resources = document.resources;
    let found = resources.remove(&wanted);
    let chosen = found.ok_or_else(|| format!("no resource `{wanted}`; the file has: {known}"))?;
    if !matches!(chosen.component.as_str(), "fc3" | "fc" | "") {
        return Err(format!(
            "resource `{wanted}` has component `{}`; only fc3 is supported",
            chosen.component
        ));
    }
    Ok(chosen.props)
}

/// Replaces `${vars.name}` in every string. Other placeholders stay as they are.
fn substitute(tree: &mut Value, vars: &Value) {
    match tree {
        Value::String(text) => {
            while let Some((before, name, after)) = placeholder(text) {
                let Some(value) = vars.get(name) else { return };
                *text = format!("{before}{}{after}", scalar_text(value));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| substitute(item, vars)),
        Value::Object(fields) => fields
            .values_mut()
            .for_each(|field| substitute(field, vars)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("${vars.")?;
    let (name, after) = rest.split_once('}')?;
    // A variable that refers to itself would grow without end.
    Some((before, name, after)).filter(|_| text.len() < 64 * 1024)
}

/// A scalar as text. Environment variables may be written as numbers.
pub(crate) fn scalar_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
edition: 3.0.0
name: demo
vars:
  region: cn-hangzhou
resources:
  hello:
    component: fc3
    props:
      region: ${vars.region}
      runtime: custom.debian12
      environmentVariables: {DEPTH: 3, NAME: x}
      customRuntimeConfig:
        command: [python]
        args: [server.py]
        port: 8080
      instanceLifecycleConfig:
        initializer: {timeout: 5}
";

    #[test]
    fn reads_the_keys_and_substitutes_vars() {
        let props = parse(FILE, None).unwrap();
        assert_eq!(props.region.as_deref(), Some("cn-hangzhou"));
        assert_eq!(props.custom_runtime_config.command, ["python"]);
        assert_eq!(props.custom_runtime_config.port, Some(Value::from(8080)));
        assert_eq!(
            props.instance_lifecycle_config.initializer.unwrap().timeout,
            Some(5)
        );
        assert_eq!(scalar_text(&props.environment_variables["DEPTH"]), "3");
    }

    #[test]
    fn errors_name_the_problem() {
        assert!(
            parse("a: [", None)
                .unwrap_err()
                .starts_with("malformed YAML"),
            "syntax"
        );
        assert!(
            parse("a: 1", None)
                .unwrap_err()
                .contains("no function under"),
            "empty"
        );
        assert!(
            parse(FILE, Some("other"))
                .unwrap_err()
                .contains("the file has: hello"),
            "name"
        );
    }

    #[test]
    fn a_variable_that_refers_to_itself_terminates() {
        let text =
            "vars: {a: '${vars.a}${vars.a}'}\nresources: {x: {props: {region: '${vars.a}'}}}";
        assert!(parse(text, None).is_ok(), "bounded");
    }
}
