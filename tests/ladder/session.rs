//! The console session in the header of an example, played as a reader would type it: programs that run, curl lines, and what
//! these print.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use tempfile::TempDir;

use crate::loopback::eventually;
use crate::loopback::process::{Process, example};

/// Where an example listens if nothing else is said.
const PORT: &str = "9000";
/// A folder of the session's own, as a shell makes it.
const FOLDER: &str = "$(mktemp -d)";
/// Stands for text that differs from run to run.
const ANY: char = '…';

/// A command and what it prints.
#[derive(Debug, Default)]
struct Step {
    command: String,
    printed: String,
}

/// Plays the session of an example, a path from the repository's root. `program` is another program of the same build.
pub(crate) fn play(root: &Path, path: &str, program: &Path) {
    let source = fs::read_to_string(root.join(path)).expect("an example");
    let steps = steps(&source);
    let folder = tempfile::tempdir().expect("a folder");
    let mut servers = Vec::new();
    let mut places = BTreeMap::new();
    let mut listening = None;
    for step in &steps {
        let command = moved(&step.command, &places, &folder);
        if command.contains("cargo run ") {
            let (port, server, address) = started(root, path, &command, program);
            places.insert(port, address);
            servers.push(server);
        } else if let Some(line) = command.strip_suffix('&') {
            listening = Some(Listening::begin(root, &quiet(line), &folder));
        } else {
            let said = said(root, &quiet(&command));
            // What a line in the background prints may come later.
            let mut printed = said.clone();
            let mut is_shown = || {
                let heard = listening.as_ref().map(Listening::heard);
                printed = said.clone() + &heard.unwrap_or_default();
                matches(&step.printed, &printed)
            };
            let is_shown = if listening.is_some() {
                eventually(&step.command, &mut is_shown);
                true
            } else {
                is_shown()
            };
            let Step {
                command,
                printed: shown,
            } = step;
            assert!(
                is_shown,
                "{path}: {command}\nprints:\n{printed}\nand its header shows:\n{shown}"
            );
        }
    }
    let has = |start: &str| steps.iter().any(|step| step.command.contains(start));
    assert!(has("cargo run ") && has("curl "), "{path}: {steps:?}");
    // What was started last uses what was started before.
    for server in servers.iter_mut().rev() {
        assert_eq!(server.stop(), Some(0), "{path}");
    }
}

/// A curl line in the background.
struct Listening {
    child: Child,
    output: PathBuf,
}

impl Listening {
    /// Starts it, and waits for the head of its response.
    fn begin(root: &Path, line: &str, folder: &TempDir) -> Self {
        let [output, head] = ["output", "head"].map(|name| folder.path().join(name));
        let file = File::create(&output).expect("a file");
        let line = format!("exec {line} --dump-header {}", head.display());
        let mut shell = Command::new("sh");
        let shell = shell.current_dir(root).args(["-c", &line]).stdout(file);
        let child = shell.spawn().expect("a shell");
        let has_head = || fs::metadata(&head).is_ok_and(|head| head.len() > 0);
        eventually("a head", has_head);
        Self { child, output }
    }

    fn heard(&self) -> String {
        fs::read_to_string(&self.output).expect("UTF-8")
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A curl line as a test runs it.
fn quiet(line: &str) -> String {
    let options = "curl --silent --show-error --max-time 30 --noproxy '*' ";
    assert!(
        line.contains("curl "),
        "neither `cargo run` nor curl: {line}"
    );
    line.replacen("curl ", options, 1)
}

/// The commands of the first console session in the comment at the top.
fn steps(source: &str) -> Vec<Step> {
    let comment = source.lines().map_while(|line| line.strip_prefix("//!"));
    let lines = comment.map(|line| line.strip_prefix(' ').unwrap_or(line));
    let session = lines.skip_while(|line| *line != "```console").skip(1);
    let mut steps: Vec<Step> = Vec::new();
    for line in session.take_while(|line| *line != "```") {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step {
                command: command.to_owned(),
                printed: String::new(),
            });
            continue;
        }
        let step = steps.last_mut().expect("a command comes first");
        match step.command.strip_suffix('\\') {
            Some(begun) => step.command = format!("{begun}{}", line.trim_start()),
            None => step.printed += &format!("{line}\n"),
        }
    }
    steps
}

/// The command with the places where the programs listen, and the session's folder, in place of those that the header names.
fn moved(command: &str, places: &BTreeMap<String, SocketAddr>, folder: &TempDir) -> String {
    let mut command = command.replace(FOLDER, &folder.path().to_string_lossy());
    for (port, address) in places {
        command = command.replace(&format!("localhost:{port}"), &address.to_string());
    }
    command
}

/// Starts what a line of `cargo run` names: its port as the header has it, the program, and where it listens.
fn started(
    root: &Path,
    path: &str,
    command: &str,
    program: &Path,
) -> (String, Process, SocketAddr) {
    let (before, after) = command
        .split_once("cargo run ")
        .expect("a line of `cargo run`");
    let port = before.trim().strip_prefix("PORT=").unwrap_or(PORT);
    let after = after.trim_end_matches('&');
    let (options, arguments) = after.split_once(" -- ").unwrap_or((after, ""));
    let options: Vec<&str> = options.split_whitespace().collect();
    let option = |name: &str| {
        let at = options.iter().position(|option| *option == name)?;
        options.get(at + 1).copied()
    };
    let name = option("--example").expect("the name of an example");
    let package = match option("-p") {
        None => "",
        Some(package) => package
            .strip_prefix("coldstart-")
            .expect("a package of ours"),
    };
    let manifest = fs::read_to_string(root.join(package).join("Cargo.toml")).expect("a manifest");
    let features = option("--features").unwrap_or_default();
    assert_eq!(features, needed(&manifest, name), "{path}: the features");
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    let (server, address) = Process::example(&example(program, name), &arguments);
    (port.to_owned(), server, address)
}

/// The features that an example needs, as the command line has them.
fn needed(manifest: &str, name: &str) -> String {
    let named = format!("name = \"{name}\"\n");
    let section = manifest
        .split("\n[")
        .find(|section| section.starts_with("[example]]") && section.contains(&named));
    let line = section.and_then(|section| {
        let mut lines = section.lines();
        lines.find_map(|line| line.strip_prefix("required-features = "))
    });
    let list = line.unwrap_or_default();
    list.replace(['[', ']', '"', ' '], "")
}

/// What a curl line prints.
fn said(root: &Path, line: &str) -> String {
    let mut shell = Command::new("sh");
    let output = shell.current_dir(root).args(["-c", line]).output();
    let output = output.expect("a shell");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {complaint}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Whether what is shown was printed. A terminal shows no difference between a last line with an end and one without, nor between
/// the line ends of a page and those of HTTP.
fn matches(shown: &str, printed: &str) -> bool {
    let printed = printed.replace("\r\n", "\n");
    let (shown, mut rest) = (shown.trim_end(), printed.trim_end());
    let pieces: Vec<&str> = shown.split(ANY).collect();
    let last = pieces.len() - 1;
    for (number, piece) in pieces.into_iter().enumerate() {
        let found = match number {
            0 => rest.starts_with(piece).then_some(0),
            _ if number == last => rest.ends_with(piece).then(|| rest.len() - piece.len()),
            _ => rest.find(piece),
        };
        let Some(at) = found else {
            return false;
        };
        rest = &rest[at + piece.len()..];
    }
    rest.is_empty()
}

#[test]
fn a_session_has_commands_and_what_they_print() {
    let source = "//! Title.\n//!\n//! ```console\n//! $ cargo run --example a\n//! $ curl \\\n//!     localhost:9000\n//! one\n//!\n//! two\n//! ```\nuse a;\n";
    let steps = steps(source);
    let commands: Vec<&str> = steps.iter().map(|step| step.command.as_str()).collect();
    assert_eq!(commands, ["cargo run --example a", "curl localhost:9000"]);
    assert_eq!(steps[1].printed, "one\n\ntwo\n");
}

#[test]
fn only_what_is_marked_may_differ() {
    for (shown, printed, is_same) in [
        ("a\nb\n", "a\nb", true),
        ("a\nb\n", "a\n", false),
        ("id …, name b\n", "id 7, name b", true),
        ("id …, name b\n", "id 7, name c", false),
        ("a…", "a long text", true),
        ("a…", "b", false),
        ("", "b", false),
        ("a: b\n\nc", "a: b\r\n\r\nc", true),
    ] {
        assert_eq!(matches(shown, printed), is_same, "{shown:?} {printed:?}");
    }
}
