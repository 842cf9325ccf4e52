//! The start command as the function's processes get it: words, variables and directory, with the code where it is
//! mounted.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::cores::Cores;
use crate::environment::{self, Completeness, Identity};
use crate::project::{Project, Start};
use crate::sandbox::{self, CODE, Isolation, Room, Spec};
use crate::settings::Settings;

/// Hidden in a sandbox, which has its own.
const TEMPORARY: &str = "/tmp";

/// How a start differs from the usual one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Circumstances {
    pub(crate) completeness: Completeness,
    /// A user without privileges, if this program may choose one.
    pub(crate) user: Option<u32>,
    /// Processors for a measurement, in which the start is probed without pauses.
    pub(crate) cores: Option<&'static Cores>,
    /// Another start was given this port. If this one listens there instead of on its own, the port is built in.
    pub(crate) former_port: Option<u16>,
}

/// Describes what is started.
pub(crate) fn spec(
    project: &Project,
    settings: &Settings,
    identity: &Identity,
    circumstances: Circumstances,
) -> Spec {
    let here = sandbox::absolute(&project.code);
    let place = match project.isolation {
        Isolation::Direct | Isolation::Supervised => Place::Here(here),
        Isolation::Sandboxed(_) => Place::Mounted(here),
    };
    let code = place.code();
    let mut environment =
        environment::variables(settings, identity, code, circumstances.completeness);
    if let Place::Mounted(_) = place {
        // It names a directory of this machine, and /tmp is the sandbox's own.
        environment.remove("TMPDIR");
    }
    for value in environment.values_mut() {
        let elements = value.split(':').map(|element| place.moved(element));
        *value = elements.collect::<Vec<_>>().join(":");
    }
    let words: Vec<String> = match &project.start {
        Start::File(name) => vec![code.join(name).to_string_lossy().into_owned()],
        Start::Command(words) => words.iter().map(|word| place.moved(word)).collect(),
    };
    let room = match project.isolation {
        Isolation::Direct | Isolation::Supervised => None,
        Isolation::Sandboxed(network) => Some(Room {
            code: sandbox::absolute(&project.code).into(),
            network,
            kept: kept(&words, &environment),
        }),
    };
    Spec {
        words: words.into_iter().map(OsString::from).collect(),
        environment,
        directory: code.into(),
        user: circumstances.user,
        room,
    }
}

/// Where the function finds its code.
enum Place {
    /// Where it is on this machine.
    Here(PathBuf),
    /// At the platform's place; on this machine it is here.
    Mounted(PathBuf),
}

impl Place {
    fn code(&self) -> &Path {
        match self {
            Self::Here(code) => code,
            Self::Mounted(_) => Path::new(CODE),
        }
    }

    /// Translates a path below the code directory, and leaves everything else as it is.
    fn moved(&self, text: &str) -> String {
        let (from, to) = match self {
            // If this machine has a `/code`, the path means that one.
            Self::Here(_) if Path::new(CODE).exists() => return text.to_owned(),
            Self::Here(code) => (Path::new(CODE), code.as_path()),
            Self::Mounted(code) => (code.as_path(), Path::new(CODE)),
        };
        match Path::new(text).strip_prefix(from) {
            Ok(rest) if rest.as_os_str().is_empty() => to.to_string_lossy().into_owned(),
            Ok(rest) => to.join(rest).to_string_lossy().into_owned(),
            Err(_) => text.to_owned(),
        }
    }
}

/// Directories below this machine's `/tmp` that the start command names, as an example in a scratch directory does.
fn kept(words: &[String], environment: &BTreeMap<String, String>) -> Vec<OsString> {
    let variable = |name: &str| environment.get(name).map_or("", String::as_str);
    let programs = words.iter().map(|word| Path::new(word).parent());
    let searched = variable("PATH").split(':').chain([variable("HOME")]);
    let named = programs.flatten().chain(searched.map(Path::new));
    let is_hidden = |path: &&Path| {
        path.starts_with(TEMPORARY) && *path != Path::new(TEMPORARY) && path.is_dir()
    };
    let mut kept: Vec<OsString> = named.filter(is_hidden).map(OsString::from).collect();
    // A directory comes before what is in it.
    kept.sort();
    kept.dedup();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_below_the_code_directory_move_with_it() {
        let mounted = Place::Mounted(PathBuf::from("/srv/me/demo"));
        assert_eq!(mounted.moved("/srv/me/demo/server.py"), "/code/server.py");
        assert_eq!(mounted.moved("/srv/me/demo"), "/code");
        assert_eq!(mounted.moved("/srv/me/demo2/x"), "/srv/me/demo2/x");
        assert_eq!(
            mounted.moved("cd /code && ./server"),
            "cd /code && ./server"
        );
    }

    #[test]
    fn without_a_mount_the_platforms_paths_are_translated() {
        let here = Place::Here(PathBuf::from("/srv/me/demo"));
        if !Path::new(CODE).exists() {
            assert_eq!(here.moved("/code/server.py"), "/srv/me/demo/server.py");
            assert_eq!(here.moved("/codes/server.py"), "/codes/server.py");
        }
    }

    #[test]
    fn what_the_command_names_below_tmp_stays_visible() {
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let script = folder.path().join("server.py");
        let words = [
            "python3",
            &script.to_string_lossy(),
            "/tmp/none/x",
            "/tmp/x",
        ];
        let found = kept(&words.map(str::to_owned), &BTreeMap::new());
        assert_eq!(found, [folder.path().as_os_str()]);
    }
}
