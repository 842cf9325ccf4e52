//! Reads deployment files (`s.yaml`): components fc3 and fc (2.0).

pub(crate) mod actions;
mod dotenv;
pub(crate) mod function;
mod placeholder;
mod schema;
mod section;
mod tree;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use actions::Action;
use dotenv::Variables;
use function::Function;
use placeholder::Scope;
use section::Section;
use tree::{Node, Problem, Value};

use crate::environment;
use crate::exit::Failure;
use crate::package::inspect::Debian;

/// Larger files are refused before they are parsed.
const DOCUMENT_LEN_MAX: u64 = 1024 * 1024;

/// One function of a deployment file, and the folder that its paths are relative to.
#[derive(Debug)]
pub(crate) struct Deployment {
    /// What the function's keys say.
    pub(crate) function: Function,
    /// The folder that holds the file.
    pub(crate) folder: PathBuf,
    /// What the deployment tool runs first, and `coldstart` only when asked to.
    pub(crate) actions: Vec<Action>,
    /// The variables of `.env` that this program's environment does not have: the actions get them as well.
    pub(crate) variables: BTreeMap<String, String>,
    /// What a user should know: keys without effect, missing layers, made-up values.
    pub(crate) notes: Vec<String>,
}

impl Deployment {
    /// Reads a file and selects a function: the only one, or the one named `resource`.
    pub(crate) fn read(path: &Path, resource: Option<&str>) -> Result<Self, Failure> {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or_else(|| Path::new("."))
            .to_owned();
        let document = read_document(path, &folder)?;
        let shown = path.display();
        let refused = |problem: Problem| Failure::input(problem.to_string());
        let variables = Variables::beside(&folder)?;
        let environment = |name: &str| variables.get(name, &environment::own);
        let document = with_templates(&document, &folder, &environment).map_err(refused)?;
        let chosen = select(&document, resource, &folder, &environment)
            .map_err(|reason| Failure::input(format!("{shown}: {reason}")))?;
        let scope = Scope::new(
            &document,
            (&chosen.name, chosen.resource),
            &folder,
            &environment,
        );
        let props = Section::new(&scope, chosen.resource, &chosen.path);
        let props = props.section("props").map_err(refused)?;
        let function = props
            .map(|props| function::read(&props))
            .transpose()
            .map_err(refused)?
            .unwrap_or_default();
        let actions = actions::before_deploy(&scope, &document, chosen.resource);
        let mut notes = chosen.notes;
        notes.extend(actions::note(&actions));
        notes.extend(scope.into_notes());
        Ok(Self {
            function,
            folder,
            actions,
            variables: variables.all(&environment::own),
            notes: notes
                .into_iter()
                .map(|note| format!("{shown}: {note}"))
                .collect(),
        })
    }
}

impl Deployment {
    /// The code's path. Without the key it is the folder of the file.
    pub(crate) fn code(&self) -> Result<PathBuf, Failure> {
        let Some(code) = &self.function.code else {
            return Ok(self.folder.clone());
        };
        let path: PathBuf = self.folder.join(&code.path).components().collect();
        if path.exists() {
            return Ok(path);
        }
        let message = format!("{}: {} does not exist", code.place, path.display());
        Err(Failure::input(message).fix(if self.actions.is_empty() {
            "build it first (Rust: coldstart pack)".to_owned()
        } else {
            format!("build it first: {}", actions::listed(&self.actions))
        }))
    }

    /// Whether the code is a file that stays one: an executable, or a JAR that `java -jar` starts. A ZIP, a WAR and
    /// any other JAR are unpacked.
    pub(crate) fn keeps_file(&self, code: &Path, command: &[String]) -> bool {
        let end = code.extension().unwrap_or_default().to_ascii_lowercase();
        if end == "jar" {
            return command.join(" ").contains("java -jar");
        }
        code.is_file() && end != "zip" && end != "war"
    }
}

/// The file, laid over the one that it extends.
fn read_document(path: &Path, folder: &Path) -> Result<Node, Failure> {
    let document = read_file(path)?;
    let Some(base) = document.get("extend").and_then(Node::text) else {
        return Ok(document);
    };
    let base = read_file(&folder.join(base))?;
    Ok(base.merged(&document))
}

fn read_file(path: &Path) -> Result<Node, Failure> {
    let shown = path.display().to_string();
    let unreadable =
        |error: &dyn std::fmt::Display| Failure::input(format!("cannot read {shown}: {error}"));
    let length = path.metadata().map_err(|error| unreadable(&error))?.len();
    if length > DOCUMENT_LEN_MAX {
        return Err(Failure::input(format!(
            "{shown} is too large for a deployment file: {length} bytes"
        )));
    }
    let bytes = std::fs::read(path).map_err(|error| unreadable(&error))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| unreadable(&"it is not UTF-8; save it in that encoding"))?;
    tree::parse(&text, &shown).map_err(|problem| Failure::input(problem.to_string()))
}

/// Lays the properties of each resource over the template that it extends.
fn with_templates(
    document: &Node,
    folder: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Node, Problem> {
    let Some(resources) = document.get("resources") else {
        return Ok(document.clone());
    };
    let mut all = Vec::new();
    for (name, resource) in resources.fields() {
        let key = format!("resources.{name}.extend");
        let extend = resource.get("extend");
        let Some(wanted) = extend.and_then(|extend| extend.get("name")) else {
            all.push((name.clone(), resource.clone()));
            continue;
        };
        let scope = Scope::new(document, (name, resource), folder, environment);
        let wanted = scope.resolve(wanted, &key)?;
        let templates = document.get("template");
        let template = wanted
            .text()
            .and_then(|wanted| templates.and_then(|templates| templates.get(wanted)));
        let template = template.ok_or_else(|| {
            let kind = wanted.value.kind();
            Problem::new(
                &wanted,
                &key,
                format!("there is no template with {kind} as its name"),
            )
        })?;
        let ignored = extend.and_then(|extend| extend.get("ignore"));
        // As the deployment tool does: the template's placeholders first, then the merge.
        let base = resolved(&without(template, ignored), &scope)?;
        let props = resource.get("props");
        let merged = props.map_or_else(|| base.clone(), |props| base.merged(props));
        let patch = resource.with(Value::Map(vec![("props".to_owned(), merged)]));
        all.push((name.clone(), resource.merged(&patch)));
    }
    let resources = resources.with(Value::Map(all));
    let patch = document.with(Value::Map(vec![("resources".to_owned(), resources)]));
    Ok(document.merged(&patch))
}

/// A template with its placeholders replaced. In a key without effect one may be unknown.
fn resolved(template: &Node, scope: &Scope<'_>) -> Result<Node, Problem> {
    let mut fields = Vec::new();
    for (name, field) in template.fields() {
        let value = match scope.resolve(field, &format!("template.{name}")) {
            Ok(value) => value,
            Err(_) if schema::WITHOUT_EFFECT.contains(&name.as_str()) => field.clone(),
            Err(problem) => return Err(problem),
        };
        if value.value != Value::Null {
            fields.push((name.clone(), value));
        }
    }
    Ok(template.with(Value::Map(fields)))
}

/// A template without the keys that `extend.ignore` lists.
fn without(template: &Node, ignored: Option<&Node>) -> Node {
    let names: Vec<&str> = match ignored.map(|node| &node.value) {
        Some(Value::List(items)) => items.iter().filter_map(Node::text).collect(),
        Some(Value::Text(name)) => vec![name],
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Map(_)) | None => Vec::new(),
    };
    let kept = template.fields().iter();
    let kept = kept.filter(|(name, _)| !names.contains(&name.as_str()));
    template.with(Value::Map(kept.cloned().collect()))
}

/// A resource that is a function.
struct Candidate<'a> {
    name: String,
    /// Where it stands, such as `resources.web`.
    path: String,
    resource: &'a Node,
    runtime: Option<String>,
    notes: Vec<String>,
}

impl Candidate<'_> {
    fn is_custom(&self) -> bool {
        let runtime = self.runtime.as_deref();
        runtime.is_none_or(|runtime| Debian::of_runtime(runtime).is_some())
    }

    fn shown(&self) -> String {
        let runtime = self.runtime.as_deref().filter(|_| !self.is_custom());
        runtime.map_or_else(
            || self.name.clone(),
            |runtime| format!("{} ({runtime})", self.name),
        )
    }
}

fn select<'a>(
    document: &'a Node,
    wanted: Option<&str>,
    folder: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Candidate<'a>, String> {
    let (mut functions, others) = candidates(document, folder, environment);
    let shown = |all: &[Candidate<'_>]| {
        let names: Vec<String> = all.iter().map(Candidate::shown).collect();
        names.join(", ")
    };
    if let Some(wanted) = wanted {
        if let Some(index) = functions.iter().position(|one| one.name == wanted) {
            return Ok(functions.swap_remove(index));
        }
        if let Some((name, component)) = others.iter().find(|(name, _)| name == wanted) {
            return Err(format!(
                "resource `{name}` has component `{component}`, which is not a function; only fc3 and fc are"
            ));
        }
        return Err(format!(
            "no resource `{wanted}`; the file has: {}",
            shown(&functions)
        ));
    }
    let custom = functions.iter().filter(|one| one.is_custom()).count();
    if custom == 1 && functions.len() > 1 {
        let index = functions
            .iter()
            .position(Candidate::is_custom)
            .unwrap_or_default();
        let mut chosen = functions.swap_remove(index);
        chosen.notes.push(format!(
            "{} is the only function with a custom runtime; the others are {}",
            chosen.name,
            shown(&functions)
        ));
        return Ok(chosen);
    }
    match functions.len() {
        0 if others.is_empty() => {
            Err("no function under `resources`; coldstart reads components fc3 and fc".to_owned())
        }
        0 => {
            let names = others
                .iter()
                .map(|(name, component)| format!("{name} ({component})"));
            let names: Vec<String> = names.collect();
            Err(format!(
                "no function under `resources`, only {}; coldstart reads components fc3 and fc",
                names.join(", ")
            ))
        }
        1 => Ok(functions.swap_remove(0)),
        _ => Err(format!(
            "several functions ({}); select one with --resource",
            shown(&functions)
        )),
    }
}

/// The functions of a document, and the names and components of everything else.
fn candidates<'a>(
    document: &'a Node,
    folder: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
) -> (Vec<Candidate<'a>>, Vec<(String, String)>) {
    let mut functions = Vec::new();
    let mut others = Vec::new();
    for list in ["resources", "services"] {
        let Some(resources) = document.get(list) else {
            continue;
        };
        for (name, resource) in resources.fields() {
            let scope = Scope::new(document, (name, resource), folder, environment);
            let path = format!("{list}.{name}");
            // A component that cannot be resolved is often a path on another machine.
            let text = |node: Option<&Node>| {
                let resolved = node.and_then(|node| scope.resolve(node, &path).ok());
                resolved.and_then(|node| node.value.scalar_text())
            };
            let component = text(resource.get("component"));
            let props = resource.get("props");
            let inner = props.and_then(|props| props.get("function"));
            let runtime = [props, inner]
                .into_iter()
                .flatten()
                .find_map(|node| node.get("runtime"));
            let is_function = match component.as_deref() {
                Some(component) if is_path(component) => runtime.is_some(),
                Some(component) => is_function(component),
                None => true,
            };
            if is_function {
                functions.push(Candidate {
                    name: name.clone(),
                    path: path.clone(),
                    resource,
                    runtime: text(runtime),
                    notes: Vec::new(),
                });
            } else {
                others.push((name.clone(), component.unwrap_or_default()));
            }
        }
    }
    (functions, others)
}

/// fc3 or fc, with or without a source such as `devsapp/` and a version such as `@0.1.0`.
fn is_function(component: &str) -> bool {
    let name = component.split('@').next().unwrap_or_default();
    let name = name.rsplit('/').next().unwrap_or_default().trim();
    matches!(name, "fc3" | "fc" | "")
}

/// A component under development is given as a path.
fn is_path(component: &str) -> bool {
    component.starts_with(['.', '/', '~'])
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Reads a file with this text.
    fn read(text: &str, resource: Option<&str>) -> Result<Deployment, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.yaml");
        fs::write(&path, text).unwrap();
        let shown = folder.path().display().to_string();
        Deployment::read(&path, resource)
            .map_err(|failure| failure.to_string().replace(&format!("{shown}/"), ""))
    }

    /// Reads the properties of the only resource.
    fn props(text: &str) -> Result<Deployment, String> {
        let indented = text.replace('\n', "\n      ");
        read(
            &format!("resources:\n  web:\n    component: fc3\n    props:\n      {indented}\n"),
            None,
        )
    }

    /// Each property is refused with this message, after the file, the line and the path.
    fn assert_errors(cases: &[(&str, &str)]) {
        for (text, expected) in cases {
            let why = props(text)
                .err()
                .unwrap_or_else(|| panic!("accepted: {text}"));
            let expected = format!("s.yaml:5: resources.web.props.{expected}");
            assert!(why.starts_with(&expected), "{text}: {why}");
        }
    }

    #[test]
    fn unknown_placeholders_in_keys_without_effect_do_no_harm() {
        let triggers = "triggers: [{triggerName: t, triggerConfig: {source: '${vars.none}'}}]";
        let found = props(&format!("{triggers}\nmemorySize: 256")).unwrap();
        assert_eq!(found.function.limits.memory_mb, Some(256));
        assert!(found.notes.iter().any(|note| note.contains("triggers")));
        assert_errors(&[(
            "memorySize: ${vars.none}",
            "memorySize: `${vars.none}` is not",
        )]);
        let text = |key: &str| {
            let resource = "{component: fc3, extend: {name: base}, props: {memorySize: 256}}";
            format!("template: {{base: {{{key}}}}}\nresources: {{web: {resource}}}\n")
        };
        let found = read(&text(triggers), None).unwrap();
        assert_eq!(found.function.limits.memory_mb, Some(256));
        let why = read(&text("timeout: '${vars.none}'"), None).unwrap_err();
        assert!(why.contains("template.timeout: `${vars.none}`"), "{why}");
    }

    #[test]
    fn reads_the_keys_of_fc3() {
        let text = "
vars: {region: cn-hangzhou, size: 1024, common: {STAGE: test, DEPTH: 3}}
resources:
  hello:
    component: fc3
    props:
      region: ${vars.region}
      functionName: hello-${vars.region}
      runtime: custom.debian12
      memorySize: ${vars.size}
      timeout: '30'
      instanceConcurrency: 5
      environmentVariables: ${vars.common}
      code: {src: ./code}
      customRuntimeConfig:
        command: [python]
        args: [server.py, 9000, 3.10]
        port: 8080
        healthCheckConfig: {httpGetUrl: /healthz, periodSeconds: 5, successThreshold: 1}
      instanceLifecycleConfig:
        initializer: {handler: any, timeout: 5}
        preStop: {handler: '', timeout: 3}
      layers: [acs:fc:cn:official:layers/Nodejs20/versions/1]
      cpu: 0.35
      triggers: []
      memroySize: 5
";
        let deployment = read(text, None).unwrap();
        let function = deployment.function;
        assert_eq!(function.region.as_deref(), Some("cn-hangzhou"));
        assert_eq!(function.name.as_deref(), Some("hello-cn-hangzhou"));
        assert_eq!(function.debian.number(), 12);
        assert_eq!(function.limits.memory_mb, Some(1024));
        assert_eq!(function.limits.timeout, Some(30));
        assert_eq!(function.limits.concurrency, Some(5));
        assert_eq!(function.environment["DEPTH"], "3");
        assert_eq!(function.code.unwrap().path, "./code");
        assert_eq!(function.command, ["python", "server.py", "9000", "3.1"]);
        assert_eq!(function.port, Some(8080));
        assert_eq!(function.health.unwrap().period, Some(5));
        assert_eq!(function.hooks.initializer.unwrap().timeout, Some(5));
        assert_eq!(function.hooks.pre_stop, None);
        let notes = deployment.notes.join("\n");
        for expected in [
            "layers are missing: their files are not in /opt: acs:fc:cn",
            "no effect here: cpu, customRuntimeConfig.healthCheckConfig.successThreshold",
            "`memroySize` is not a key of a function",
            "instanceLifecycleConfig.preStop has no handler, so there is no hook",
        ] {
            assert!(notes.contains(expected), "{expected} in {notes}");
        }
        assert!(
            !notes.contains("triggers"),
            "an empty key says nothing: {notes}"
        );
    }

    #[test]
    fn reads_component_fc() {
        let text = "
edition: 1.0.0
vars: {name: svc}
services:
  fn:
    component: devsapp/fc@0.1.57
    props:
      region: cn-hangzhou
      service: {name: '${vars.name}', logConfig: auto}
      function:
        name: ${fn.props.service.name}-two
        runtime: custom
        codeUri: ./code
        caPort: 8081
        initializer: main.init
        initializationTimeout: 7
        customHealthCheckConfig: {httpGetUrl: /}
        customRuntimeConfig: {command: [python3, srv.py]}
        environmentVariables: {X: '${env(UNSET_HERE, none)}'}
  site: {component: devsapp/website, props: {}}
";
        let function = read(text, None).unwrap().function;
        assert_eq!(function.name.as_deref(), Some("svc-two"));
        assert_eq!(function.region.as_deref(), Some("cn-hangzhou"));
        assert_eq!(function.debian.number(), 9);
        assert_eq!(function.code.unwrap().path, "./code");
        assert_eq!(function.port, Some(8081));
        assert_eq!(function.hooks.initializer.unwrap().timeout, Some(7));
        assert_eq!(function.command, ["python3", "srv.py"]);
        assert_eq!(function.environment["X"], "none");
        assert!(function.health.is_some());
    }

    #[test]
    fn null_sections_count_as_absent() {
        for key in [
            "environmentVariables:",
            "customRuntimeConfig:",
            "customRuntimeConfig: {command: , args: , port: , healthCheckConfig: }",
            "instanceLifecycleConfig: {initializer: , preStop: {}}",
            "code:",
            "memorySize: ~",
            "triggers:",
        ] {
            let read = props(key);
            assert!(read.is_ok(), "{key}: {:?}", read.err());
        }
        assert!(read("resources: {web: {component: fc3, props: }}", None).is_ok());
    }

    #[test]
    fn only_fc_and_fc3_are_functions() {
        for component in ["fc3", "fc3@0.1.5", "devsapp/fc3", "devsapp/fc@dev", "fc"] {
            assert!(is_function(component), "{component}");
        }
        for component in [
            "fc3-domain",
            "fc-domain",
            "devsapp/website-fc",
            "oss",
            "fc30",
        ] {
            assert!(!is_function(component), "{component}");
        }
        let text = "resources:\n  one: {component: fc3, props: {functionName: one}}\n  \
                    dom: {component: fc3-domain, props: {domainName: auto}}\n";
        assert!(read(text, None).is_ok());
        let why = read(text, Some("dom")).unwrap_err();
        assert!(
            why.contains("component `fc3-domain`, which is not a function"),
            "{why}"
        );
        let why = read(text, Some("none")).unwrap_err();
        assert!(why.ends_with("the file has: one"), "{why}");
        let why = read("resources: {d: {component: fc3-domain}}", None).unwrap_err();
        assert!(why.contains("only d (fc3-domain)"), "{why}");
        assert!(
            read("a: 1", None)
                .unwrap_err()
                .contains("no function under")
        );
        assert!(read("", None).unwrap_err().contains("no function under"));
    }

    #[test]
    fn the_only_custom_runtime_is_selected() {
        let resources = |second: &str| {
            format!(
                "resources:\n  a: {{component: fc3, props: {{functionName: a, runtime: custom}}}}\n  \
                 b: {{component: \"${{env('NO_SUCH', path('../none'))}}\", props: {{runtime: {second}}}}}\n"
            )
        };
        let deployment = read(&resources("nodejs20"), None).unwrap();
        assert_eq!(deployment.function.name.as_deref(), Some("a"));
        assert!(
            deployment
                .notes
                .concat()
                .contains("the others are b (nodejs20)")
        );
        let why = read(&resources("custom"), None).unwrap_err();
        assert!(
            why.contains("several functions (a, b); select one with --resource"),
            "{why}"
        );
        let why = read(&resources("nodejs20"), Some("b")).unwrap_err();
        assert!(
            why.contains("s.yaml:3: resources.b.props.runtime: `nodejs20` is not a custom runtime"),
            "{why}"
        );
    }

    #[test]
    fn resources_extend_templates() {
        let text = "
template:
  base:
    runtime: custom.debian12
    timeout: 9
    environmentVariables: {A: '1', B: '2'}
    customRuntimeConfig: {command: [a, b], port: 8080}
resources:
  web:
    component: fc3
    extend: {name: base, ignore: [timeout]}
    props:
      functionName: ${this.props.customRuntimeConfig.port}
      environmentVariables: {B: '3'}
      customRuntimeConfig: {command: [c]}
";
        let function = read(text, None).unwrap().function;
        assert_eq!(function.debian.number(), 12);
        assert_eq!(function.limits.timeout, Some(3), "ignored");
        assert_eq!(function.environment["A"], "1");
        assert_eq!(function.environment["B"], "3");
        assert_eq!(function.command, ["c"], "lists are replaced");
        assert_eq!(function.port, Some(8080));
        assert_eq!(function.name.as_deref(), Some("8080"));
        let missing = text.replace("name: base", "name: other");
        let why = read(&missing, None).unwrap_err();
        assert!(
            why.contains("resources.web.extend: there is no template"),
            "{why}"
        );
    }

    #[test]
    fn errors_name_file_line_and_key() {
        assert_errors(&[
            (
                "memorySize: big",
                "memorySize: expected a number, found the text `big`",
            ),
            (
                "memorySize: 64",
                "memorySize: expected a whole number from 128 to 32768, found the number 64",
            ),
            (
                "timeout: 1.5",
                "timeout: expected a whole number from 1 to 86400",
            ),
            ("timeout: [1]", "timeout: expected a number, found a list"),
            (
                "functionName: {a: 1}",
                "functionName: expected a text, found a map",
            ),
            (
                "environmentVariables: [A=1]",
                "environmentVariables: expected a map, found a list",
            ),
            (
                "environmentVariables: {A: {b: c}}",
                "environmentVariables.A: expected a text, found a map",
            ),
            (
                "customRuntimeConfig: {command: node index.js}",
                "customRuntimeConfig.command: expected a list, found the text `node index.js`; write command: [node, index.js]",
            ),
            (
                "customRuntimeConfig: {args: [[x]]}",
                "customRuntimeConfig.args[0]: expected a text, found a list",
            ),
            (
                "customRuntimeConfig: {port: 70000}",
                "customRuntimeConfig.port: expected a whole number from 1 to 65535",
            ),
            (
                "customRuntimeConfig: python",
                "customRuntimeConfig: expected a map, found the text `python`",
            ),
        ]);
    }

    #[test]
    fn what_cannot_run_here_is_refused_by_name() {
        assert_errors(&[
            (
                "code: https://example.com/x.zip",
                "code: https://example.com/x.zip is a URL, which is not supported",
            ),
            (
                "code: {ossBucketName: b, ossObjectName: o}",
                "code: the code is in an OSS bucket",
            ),
            (
                "runtime: python3.10",
                "runtime: `python3.10` is not a custom runtime",
            ),
            (
                "{runtime: custom-container, customContainerConfig: {image: reg/x:1}}",
                "runtime: runtime custom-container starts from an image reg/x:1",
            ),
            (
                "region: ${vars.none}",
                "region: `${vars.none}` is not defined",
            ),
            (
                "{region: \"${env('NO_SUCH_VARIABLE')}\"}",
                "region: the environment variable NO_SUCH_VARIABLE is not set",
            ),
        ]);
    }

    #[test]
    fn a_file_extends_another() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write(
            "base.yaml",
            "resources: {web: {component: fc3, props: {timeout: 5, region: a}}}",
        );
        write(
            "s.yaml",
            "extend: ./base.yaml\nresources: {web: {props: {region: b}}}",
        );
        let function = Deployment::read(&folder.path().join("s.yaml"), None)
            .unwrap()
            .function;
        assert_eq!(
            (function.limits.timeout, function.region.as_deref()),
            (Some(5), Some("b"))
        );
    }

    #[test]
    fn variables_of_the_environment_may_stand_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write(
            "s.yaml",
            "resources: {web: {component: fc3, props: {region: \"${env('CS_REGION', 'other')}\"}}}",
        );
        let region = || {
            let deployment = Deployment::read(&folder.path().join("s.yaml"), None).unwrap();
            deployment.function.region.unwrap()
        };
        assert_eq!(region(), "other");
        write(".env", "CS_ZONE=shanghai\nCS_REGION=cn-$CS_ZONE\n");
        assert_eq!(region(), "cn-shanghai");
    }

    #[test]
    fn a_file_in_another_encoding_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.yaml");
        fs::write(&path, b"\xff\xfea\0:\0").unwrap();
        let why = Deployment::read(&path, None).unwrap_err().to_string();
        assert!(why.contains("it is not UTF-8"), "{why}");
    }

    #[test]
    fn jars_stay_files_for_java_jar() {
        let deployment = props("code: x.jar").unwrap();
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let jar = Path::new("target/x.jar");
        assert!(deployment.keeps_file(jar, &words("java -jar x.jar")));
        assert!(!deployment.keeps_file(jar, &words("java org.example.Launcher")));
        assert!(!deployment.keeps_file(Path::new("x.zip"), &words("./x")));
    }
}
