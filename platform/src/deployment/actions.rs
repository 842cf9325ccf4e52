//! The commands that the deployment tool runs before it deploys.

use std::fmt;

use super::placeholder::Scope;
use super::tree::{Node, Value};

/// One command, and the folder that it runs in, relative to the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Action {
    pub(crate) run: String,
    pub(crate) folder: String,
}

impl fmt::Display for Action {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "`{}` in {}", self.run, self.folder)
    }
}

/// How the note about actions begins; where they are run after all, it is left out.
pub(crate) const NOT_RUN: &str = "not run here: pre-deploy";

/// Says that the actions are not run.
pub(crate) fn note(actions: &[Action]) -> Option<String> {
    let shown = listed(actions);
    (!actions.is_empty()).then(|| format!("{NOT_RUN} {shown}"))
}

/// The actions in their order, for a message.
pub(super) fn listed(actions: &[Action]) -> String {
    let shown: Vec<String> = actions.iter().map(Action::to_string).collect();
    shown.join(", then ")
}

/// The actions before a deployment: those of the whole file, then those of the resource.
pub(super) fn before_deploy(scope: &Scope<'_>, document: &Node, resource: &Node) -> Vec<Action> {
    let mut found = Vec::new();
    for owner in [document, resource] {
        let Some(actions) = owner.get("actions") else {
            continue;
        };
        for (key, list) in actions
            .fields()
            .iter()
            .filter(|(key, _)| is_before_deploy(key))
        {
            let Value::List(items) = &list.value else {
                continue;
            };
            let text = |item: &Node, name: &str| {
                let resolved = item.get(name).map(|node| scope.resolve(node, key));
                let resolved = resolved.and_then(Result::ok);
                resolved.and_then(|node| node.value.scalar_text())
            };
            found.extend(items.iter().filter_map(|item| {
                Some(Action {
                    run: text(item, "run")?.trim().to_owned(),
                    folder: text(item, "path").unwrap_or_else(|| ".".to_owned()),
                })
            }));
        }
    }
    found
}

/// `pre-deploy`, or a pattern that covers it: `pre-${regex('deploy|local')}`.
fn is_before_deploy(key: &str) -> bool {
    let Some(command) = key.strip_prefix("pre-") else {
        return false;
    };
    command == "deploy" || (command.starts_with("${regex(") && command.contains("deploy"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::tree::parse;
    use super::*;

    #[test]
    fn actions_before_a_deployment_are_found() {
        let text = "
vars: {tool: npm}
actions: {pre-deploy: [{run: first}], success-deploy: [{run: no}]}
resource:
  actions:
    pre-${regex('deploy|local')}:
      - {run: '${vars.tool} install', path: ./code}
      - {plugin: website}
    post-deploy: [{run: no}]
    pre-build: [{run: no}]
";
        let document = parse(text, "s.yaml").unwrap();
        let resource = document.get("resource").unwrap();
        let scope = Scope::new(&document, ("x", resource), Path::new("."), &|_| None);
        let found = before_deploy(&scope, &document, resource);
        let shown: Vec<String> = found.iter().map(Action::to_string).collect();
        assert_eq!(shown, ["`first` in .", "`npm install` in ./code"]);
    }
}
