//! The script that installs a release's command: what it fetches, compares and refuses.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

use sha2::{Digest as _, Sha256};

use crate::support::{file, interpreter, stderr, stdout};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/install.sh");
/// Stands for the command.
const PROGRAM: &str = "#!/bin/sh\necho coldstart 9.9.9\n";
const NAMES: [&str; 2] = ["coldstart-x86_64-linux", "coldstart-aarch64-linux"];

/// The files of a release.
fn release(folder: &Path) -> PathBuf {
    let release = folder.join("release");
    let mut sums = String::new();
    for name in NAMES {
        file(&release, name, PROGRAM, 0o644);
        let digest = Sha256::digest(PROGRAM);
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        sums.push_str(&format!("{hex}  {name}\n"));
    }
    file(&release, "SHA256SUMS", sums, 0o644);
    release
}

/// Runs the script on a machine that `uname` describes so.
fn install(folder: &Path, from: &str, system: &str, machine: &str) -> Output {
    let uname = format!("#!/bin/sh\ncase $1 in -s) echo {system} ;; -m) echo {machine} ;; esac\n");
    let tools = folder.join("tools");
    file(&tools, "uname", uname, 0o755);
    let path = format!("{}:/usr/bin:/bin", tools.display());
    let mut command = Command::new("sh");
    command.args([SCRIPT, from]).arg(folder.join("bin"));
    let output = command.env("PATH", path).env("no_proxy", "*").output();
    output.expect("sh runs")
}

fn installed(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join("bin")).into_iter().flatten();
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

fn assert_refused(folder: &Path, output: &Output, why: &str) {
    assert_eq!(output.status.code(), Some(1), "{}", stderr(output));
    assert!(stderr(output).contains(why), "{}", stderr(output));
    assert!(stderr(output).ends_with("install: nothing was installed\n"));
    assert!(installed(folder).is_empty(), "{:?}", installed(folder));
}

/// Serves the files of a folder to those who ask with GET, one after another.
fn serve(folder: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("a client");
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let target = lines.next().unwrap_or_default();
            lines.find(String::is_empty);
            let name = target.split(' ').nth(1).unwrap_or_default();
            let (status, body) = match fs::read(folder.join(name.trim_start_matches('/'))) {
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            (&stream)
                .write_all(&[head.into_bytes(), body].concat())
                .ok();
        }
    });
    format!("http://{address}")
}

#[test]
fn what_was_released_is_installed_from_an_address_and_from_a_folder() {
    if interpreter(&["curl"]).is_none() {
        return;
    }
    for machine in ["x86_64", "amd64", "aarch64", "arm64"] {
        let folder = tempfile::tempdir().expect("a folder");
        let release = release(folder.path());
        let address = serve(release.clone());
        for from in [
            release.to_str().expect("text"),
            &address,
            &format!("{address}/"),
        ] {
            let output = install(folder.path(), from, "Linux", machine);
            assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
            let said = stdout(&output);
            assert!(said.starts_with("installed coldstart 9.9.9: "), "{said}");
            assert!(said.contains("to PATH"), "{said}");
            assert_eq!(installed(folder.path()), ["coldstart"]);
            let run = Command::new(folder.path().join("bin/coldstart")).output();
            assert_eq!(stdout(&run.expect("it runs")), "coldstart 9.9.9\n");
        }
    }
}

#[test]
fn what_was_changed_since_is_not_installed() {
    let folder = tempfile::tempdir().expect("a folder");
    let release = release(folder.path());
    let from = release.to_str().expect("text");
    let sums = fs::read_to_string(release.join("SHA256SUMS")).expect("the sums");
    file(&release, NAMES[0], format!("{PROGRAM}# more\n"), 0o644);
    let output = install(folder.path(), from, "Linux", "x86_64");
    assert_refused(
        folder.path(),
        &output,
        "the checksum of coldstart-x86_64-linux is ",
    );
    // The other one is whole.
    let output = install(folder.path(), from, "Linux", "aarch64");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    fs::remove_file(folder.path().join("bin/coldstart")).expect("removed");
    // Sums that are of another file, that name a file twice, or that are not there.
    file(&release, NAMES[0], PROGRAM, 0o644);
    for (wrong, why) in [
        (sums.replace("x86_64", "riscv64"), "not exactly one line"),
        (sums.repeat(2), "not exactly one line"),
        (String::new(), "not exactly one line"),
    ] {
        file(&release, "SHA256SUMS", wrong, 0o644);
        let output = install(folder.path(), from, "Linux", "x86_64");
        assert_refused(folder.path(), &output, why);
    }
    fs::remove_file(release.join("SHA256SUMS")).expect("removed");
    let output = install(folder.path(), from, "Linux", "x86_64");
    assert_refused(folder.path(), &output, "/SHA256SUMS; name a folder");
}

#[test]
fn a_program_that_does_not_start_leaves_the_one_of_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let release = release(folder.path());
    file(&folder.path().join("bin"), "coldstart", "before", 0o755);
    let broken = "#!/bin/sh\nexit 3\n";
    file(&release, NAMES[0], broken, 0o644);
    let hex: String = Sha256::digest(broken)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    file(
        &release,
        "SHA256SUMS",
        format!("{hex}  {}\n", NAMES[0]),
        0o644,
    );
    let output = install(
        folder.path(),
        release.to_str().expect("text"),
        "Linux",
        "x86_64",
    );
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(
        stderr(&output).contains("does not start on this machine"),
        "{}",
        stderr(&output)
    );
    assert_eq!(installed(folder.path()), ["coldstart"]);
    let kept = fs::read_to_string(folder.path().join("bin/coldstart"));
    assert_eq!(kept.expect("it is there"), "before");
}

#[test]
fn other_machines_and_absent_networks_are_named() {
    if interpreter(&["curl"]).is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let release = release(folder.path());
    let from = release.to_str().expect("text");
    let output = install(folder.path(), from, "Linux", "riscv64");
    assert_refused(
        folder.path(),
        &output,
        "no coldstart for riscv64, only for x86_64 and aarch64",
    );
    let output = install(folder.path(), from, "Darwin", "arm64");
    assert_refused(folder.path(), &output, "no coldstart for Darwin");
    // A port on which nothing listens, a page that is not there, and a server that is none.
    let unused = TcpListener::bind("127.0.0.1:0").expect("a port");
    let closed = format!("http://{}", unused.local_addr().expect("its address"));
    drop(unused);
    let empty = tempfile::tempdir().expect("a folder");
    for from in [closed, serve(empty.path().to_owned())] {
        let output = install(folder.path(), &from, "Linux", "x86_64");
        let why = format!("cannot fetch {from}/SHA256SUMS; check the address and the network");
        assert_refused(folder.path(), &output, &why);
    }
    let usage = Command::new("sh").arg(SCRIPT).output().expect("sh runs");
    assert_eq!(usage.status.code(), Some(64));
    assert!(stderr(&usage).starts_with("usage: "), "{}", stderr(&usage));
}
