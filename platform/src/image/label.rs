//! The labels of an image that say which source it was made from.

use std::path::Path;

use super::documents::Labels;
use crate::git::git;

/// In front of the names that the image specification lists.
const PREFIX: &str = "org.opencontainers.image.";

/// What the manifest of a package says about it. Empty where it says nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    pub(crate) title: String,
    pub(crate) version: String,
    pub(crate) source: String,
    pub(crate) description: String,
    pub(crate) licenses: String,
}

/// The labels of a package, with the commit that is checked out in its folder.
pub(crate) fn labels(about: &About, folder: &Path) -> Labels {
    let revision = revision(folder).unwrap_or_default();
    let all = [
        ("title", &about.title),
        ("version", &about.version),
        ("source", &about.source),
        ("description", &about.description),
        ("licenses", &about.licenses),
        ("revision", &revision),
    ];
    let known = all.into_iter().filter(|(_, value)| !value.is_empty());
    known
        .map(|(name, value)| (format!("{PREFIX}{name}"), value.clone()))
        .collect()
}

/// The commit, with `-dirty` if files that git knows differ from it. None outside of a repository, or without git.
fn revision(folder: &Path) -> Option<String> {
    let commit = git(folder, &["rev-parse", "--verify", "HEAD"])?;
    let changes = git(folder, &["status", "--porcelain", "--untracked-files=no"])?;
    let mark = if changes.is_empty() { "" } else { "-dirty" };
    Some(format!("{commit}{mark}"))
}
