//! The engines that `coldstart new` writes a file for, and what each asks of a function's name and kind.

use clap::ValueEnum;

use crate::exit::Failure;
use crate::kind::Kind;

/// Where the image is looked for until the user says where it is pushed.
pub(crate) const IMAGE: &str = "registry.example/team/{{name}}:0.1.0";
/// The longest label of a DNS name (RFC 1123), which Kubernetes takes for a name.
const LABEL_LEN_MAX: usize = 63;
/// The longest name of a Cloud Run service.
const CLOUD_RUN_LEN_MAX: usize = 49;

/// What a function is deployed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// Function Compute, with a ZIP: s.yaml, which `run` and `check` read as well
    Fc,
    /// Function Compute, with an image: s-image.yaml
    FcImage,
    /// Knative Serving: knative.yaml
    Knative,
    /// Cloud Run: cloud-run.yaml
    CloudRun,
    /// Kubernetes, without an engine for functions: kubernetes.yaml
    Kubernetes,
}

impl Engine {
    /// The file beside `s.yaml`, which is always written, and its template.
    pub(crate) const fn file(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Fc => None,
            Self::FcImage => Some((
                "s-image.yaml",
                include_str!("../templates/s-image.yaml.txt"),
            )),
            Self::Knative => Some((
                "knative.yaml",
                include_str!("../templates/knative.yaml.txt"),
            )),
            Self::CloudRun => Some((
                "cloud-run.yaml",
                include_str!("../templates/cloud-run.yaml.txt"),
            )),
            Self::Kubernetes => Some((
                "kubernetes.yaml",
                include_str!("../templates/kubernetes.yaml.txt"),
            )),
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Fc => "Function Compute",
            Self::FcImage => "Function Compute, with an image",
            Self::Knative => "Knative",
            Self::CloudRun => "Cloud Run",
            Self::Kubernetes => "Kubernetes",
        }
    }

    /// What deploys the file, once the image is in a registry.
    const fn command(self) -> &'static str {
        match self {
            Self::Fc => "s deploy",
            Self::FcImage => "s deploy -t s-image.yaml",
            Self::Knative => "kubectl apply -f knative.yaml",
            Self::CloudRun => "gcloud run services replace cloud-run.yaml --region REGION",
            Self::Kubernetes => "kubectl apply -f kubernetes.yaml",
        }
    }

    /// What keeps a function of this name from being deployed there.
    fn objection(self, name: &str) -> Option<String> {
        let longest = match self {
            Self::Fc | Self::FcImage => return None,
            Self::Knative | Self::Kubernetes => LABEL_LEN_MAX,
            Self::CloudRun => CLOUD_RUN_LEN_MAX,
        };
        let title = self.title();
        if name.contains('_') {
            Some(format!("{title} takes no _ in names"))
        } else if name.ends_with('-') {
            Some(format!("{title} takes no name that ends with -"))
        } else if name.len() > longest {
            Some(format!(
                "{title} takes no name of more than {longest} bytes"
            ))
        } else {
            None
        }
    }

    /// A similar name that every engine takes.
    fn suggestion(name: &str) -> String {
        let name: String = name.replace('_', "-");
        let kept = name.get(..CLOUD_RUN_LEN_MAX).unwrap_or(&name);
        kept.trim_end_matches('-').to_owned()
    }

    const fn calls_events(self) -> bool {
        match self {
            Self::Fc | Self::FcImage => true,
            Self::Knative | Self::CloudRun | Self::Kubernetes => false,
        }
    }
}

/// Refuses what one of the engines would refuse later, or would never call.
pub(crate) fn accept(engines: &[Engine], kind: Kind, name: &str) -> Result<(), Failure> {
    for engine in engines {
        if let Some(why) = engine.objection(name) {
            return Err(
                Failure::input(format!("`{name}` cannot be the function's name: {why}")).fix(
                    format!("choose another, such as {}", Engine::suggestion(name)),
                ),
            );
        }
        if kind == Kind::Event && !engine.calls_events() {
            return Err(Failure::input(format!(
                "{} sends no events to /invoke, which is all that a function of kind event responds to",
                engine.title()
            ))
            .fix("choose another kind, such as http, and respond to POST / with what the engine sends"));
        }
    }
    Ok(())
}

/// The README's section about deploying.
pub(crate) fn section(engines: &[Engine]) -> String {
    let mut text = "`s deploy` deploys the function with the settings of `s.yaml`.\n".to_owned();
    let others = || engines.iter().filter(|engine| engine.file().is_some());
    if others().next().is_none() {
        return text;
    }
    text.push_str(&format!(
        "\nOther engines take an image. Replace `registry.example/team` in the files with your registry, then:\n\n\
         ```sh\n\
         coldstart pack --image {{{{name}}}}.tar\n\
         skopeo copy --all oci-archive:{{{{name}}}}.tar docker://{IMAGE}\n"
    ));
    for engine in others() {
        text.push_str(&format!("{}  # {}\n", engine.command(), engine.title()));
    }
    text.push_str("```\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Engine; 5] = [
        Engine::Fc,
        Engine::FcImage,
        Engine::Knative,
        Engine::CloudRun,
        Engine::Kubernetes,
    ];

    #[test]
    fn names_that_are_no_label_are_refused_with_one_that_is() {
        let long = "a".repeat(64);
        for (name, objecting) in [
            ("a_b", 3),
            ("a-", 3),
            (&long, 3),
            (&long[..63], 1),
            (&long[..49], 0),
            ("a-b9", 0),
        ] {
            let refused = ALL.iter().filter(|engine| engine.objection(name).is_some());
            assert_eq!(refused.count(), objecting, "{name}");
            let suggested = Engine::suggestion(name);
            assert!(accept(&ALL, Kind::Http, &suggested).is_ok(), "{suggested}");
        }
        let why = accept(&ALL, Kind::Http, "a_b").unwrap_err().to_string();
        assert!(why.contains("Knative takes no _"), "{why}");
    }

    #[test]
    fn events_are_for_the_engine_that_sends_them() {
        for engine in ALL {
            let is_accepted = accept(&[engine], Kind::Event, "a").is_ok();
            assert_eq!(is_accepted, engine.calls_events(), "{engine:?}");
        }
    }
}
