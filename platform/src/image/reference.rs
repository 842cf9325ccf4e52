//! The name of an image: `demo`, `demo:1.2`, `registry.example/team/demo:1.2`.

/// What a name may be long, all in all.
const LEN_MAX: usize = 255;
const TAG_LEN_MAX: usize = 128;
const TAG: &str = "latest";

/// A name and its tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    name: String,
    tag: String,
}

impl Reference {
    /// Parses a name with or without a tag. The error says what a name has to be.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        // A colon before a slash is that of the registry's port.
        let (name, tag) = match text.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, tag),
            Some(_) | None => (text, TAG),
        };
        let is_tag_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if tag.is_empty()
            || tag.len() > TAG_LEN_MAX
            || tag.starts_with(['.', '-'])
            || !tag.bytes().all(is_tag_byte)
        {
            return Err(
                "a tag has letters, digits, `_`, `.` and `-`, and begins with none of the last two",
            );
        }
        let (registry, path) = split(name);
        let is_registry_byte = |byte: u8| byte.is_ascii_alphanumeric() || b".-:".contains(&byte);
        let is_registry = registry.is_none_or(|registry| registry.bytes().all(is_registry_byte));
        if text.len() > LEN_MAX || !is_registry || !path.split('/').all(is_component) {
            return Err(
                "a name has lower-case letters and digits, with `.`, `_` and `-` between them",
            );
        }
        Ok(Self {
            name: name.to_owned(),
            tag: tag.to_owned(),
        })
    }

    /// The nearest name for a function or a package.
    pub(crate) fn of_name(name: &str) -> Self {
        let near = |letter: char| match letter.to_ascii_lowercase() {
            letter if letter.is_ascii_alphanumeric() => letter,
            _ => '-',
        };
        let name: String = name.chars().map(near).collect();
        let name = name.trim_matches('-');
        let parsed = Self::parse(name);
        parsed.unwrap_or_else(|_| Self {
            name: "function".to_owned(),
            tag: TAG.to_owned(),
        })
    }

    pub(crate) fn tag(&self) -> &str {
        &self.tag
    }

    /// As people write it.
    pub(crate) fn short(&self) -> String {
        format!("{}:{}", self.name, self.tag)
    }

    /// With the registry and the folder that `docker` takes if none is written.
    pub(crate) fn full(&self) -> String {
        let short = self.short();
        match split(&self.name) {
            (Some(_), _) => short,
            (None, path) if path.contains('/') => format!("docker.io/{short}"),
            (None, _) => format!("docker.io/library/{short}"),
        }
    }
}

/// The registry, which has a dot or a port, and the rest.
fn split(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
            (Some(first), rest)
        }
        Some(_) | None => (None, name),
    }
}

fn is_component(part: &str) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    bytes.first().is_some_and(is_word)
        && bytes.last().is_some_and(is_word)
        && bytes
            .iter()
            .all(|byte| is_word(byte) || b"._-".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_registries_take() {
        for (text, short, full) in [
            ("demo", "demo:latest", "docker.io/library/demo:latest"),
            ("team/demo:1.2", "team/demo:1.2", "docker.io/team/demo:1.2"),
            (
                "localhost:5000/demo",
                "localhost:5000/demo:latest",
                "localhost:5000/demo:latest",
            ),
            (
                "r.example/a/b_c:V-1",
                "r.example/a/b_c:V-1",
                "r.example/a/b_c:V-1",
            ),
        ] {
            let parsed = Reference::parse(text).unwrap();
            assert_eq!(
                (parsed.short().as_str(), parsed.full().as_str()),
                (short, full)
            );
        }
        for text in [
            "",
            "Demo",
            "a b",
            "demo:",
            "demo:-1",
            "a//b",
            "/a",
            "-a",
            "a:b:c",
            "a@sha256:0",
            "r.example/",
        ] {
            assert!(Reference::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_function_has_a_name_that_is_near_its_own() {
        for (name, expected) in [
            ("My_Func", "my-func:latest"),
            ("a-b", "a-b:latest"),
            ("\u{51fd}", "function:latest"),
        ] {
            assert_eq!(Reference::of_name(name).short(), expected);
        }
    }
}
