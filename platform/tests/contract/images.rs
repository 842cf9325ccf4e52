//! Container images: what `pack` writes, and what skopeo, umoci and runc make of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::packages::BUILDS;
use crate::sandbox;
use crate::support::{
    DEADLINE, PROGRAM, Reply, coldstart_in, file, free_port, interpreter, stderr, stdout,
};

pub(crate) const X86_64: u16 = 62;
pub(crate) const ARM64: u16 = 183;
const RISC_V: u16 = 243;

/// The header of a static executable, which is all that is looked at. Nothing in these tests starts it.
pub(crate) fn executable(machine: u16) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    bytes.extend(2_u16.to_le_bytes());
    bytes.extend(machine.to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    bytes.resize(52, 0);
    for size in [64_u16, 56, 0, 64, 0, 0] {
        bytes.extend(size.to_le_bytes());
    }
    bytes
}

fn pack(folder: &Path, arguments: &[&str]) -> Output {
    let output = coldstart_in(folder, &[&["pack"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    output
}

/// The entries of a tar: their headers and contents.
fn entries(bytes: &[u8]) -> Vec<(String, tar::Header, Vec<u8>)> {
    let mut archive = tar::Archive::new(bytes);
    let entries = archive.entries().expect("a tar");
    let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.expect("an entry");
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("its content");
        let name = entry.path().expect("its name").display().to_string();
        (name, entry.header().clone(), content)
    };
    entries.map(read).collect()
}

/// The files of a layout, which is in a tar.
fn files(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let all = entries(&fs::read(path).expect("the image")).into_iter();
    all.map(|(name, _, content)| (name, content)).collect()
}

fn document(files: &BTreeMap<String, Vec<u8>>, name: &str) -> Value {
    serde_json::from_slice(&files[name]).expect("JSON")
}

/// The blob that a descriptor points to, which must have the digest and the length that it says.
fn blob<'a>(files: &'a BTreeMap<String, Vec<u8>>, descriptor: &Value) -> &'a [u8] {
    let digest = descriptor["digest"].as_str().expect("a digest");
    let blob = &files[&format!("blobs/{}", digest.replace(':', "/"))];
    assert_eq!(digest, sha256(blob));
    assert_eq!(descriptor["size"], blob.len(), "{digest}");
    blob
}

fn parsed(files: &BTreeMap<String, Vec<u8>>, descriptor: &Value) -> Value {
    serde_json::from_slice(blob(files, descriptor)).expect("JSON")
}

fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn decompressed(bytes: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    let mut reader = flate2::read::GzDecoder::new(bytes);
    reader.read_to_end(&mut all).expect("gzip");
    all
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn an_image_has_the_same_bytes_each_time() {
    let folder = tempfile::tempdir().expect("a folder");
    // Something to compress, in more than one block.
    let squares = (0..20_000_u32).flat_map(|number| format!("{}\n", number * number).into_bytes());
    let program: Vec<u8> = executable(X86_64).into_iter().chain(squares).collect();
    file(folder.path(), "program", &program, 0o600);
    pack(folder.path(), &["program", "--image", "one.tar"]);
    // Neither the time nor the rights of new files change the image.
    file(folder.path(), "program", &program, 0o755);
    let strict = format!("umask 077 && exec {PROGRAM} pack program --image two.tar");
    let mut command = Command::new("sh");
    command.args(["-c", &strict]).current_dir(folder.path());
    let output = command.output().expect("sh");
    assert!(output.status.success(), "{}", stderr(&output));
    let [one, two] = ["one.tar", "two.tar"].map(|name| folder.path().join(name));
    let bytes = fs::read(&one).expect("the first");
    assert!(bytes == fs::read(&two).expect("the second"), "they differ");
    // On another machine as well: a change here is one of the format, or of a compressor.
    assert_eq!(
        sha256(&bytes),
        "sha256:cfe22134da015915a1c838c9e1d802fcced1040d6c098a13519af60bbbc9509b"
    );
    for path in [&one, &two] {
        let mode = fs::metadata(path)
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o644);
    }
}

#[test]
fn an_image_starts_bootstrap_as_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    file(folder.path(), "program", executable(X86_64), 0o600);
    pack(folder.path(), &["program", "--image", "one.tar"]);
    let files = files(&folder.path().join("one.tar"));
    let mark = json!({"imageLayoutVersion": "1.0.0"});
    assert_eq!(document(&files, "oci-layout"), mark);
    let top = &document(&files, "index.json")["manifests"][0];
    let platform = json!({"architecture": "amd64", "os": "linux"});
    assert_eq!(top["platform"], platform);
    let annotations = json!({
        "org.opencontainers.image.ref.name": "latest",
        "io.containerd.image.name": "docker.io/library/function:latest",
    });
    assert_eq!(top["annotations"], annotations);
    let config = parsed(&files, &parsed(&files, top)["config"]);
    let execution = json!({
        "User": "65534:65534",
        "ExposedPorts": {"9000/tcp": {}},
        "Entrypoint": ["/code/bootstrap"],
        "WorkingDir": "/code",
        "StopSignal": "SIGTERM",
    });
    assert_eq!(config["config"], execution);
    assert_eq!(config["created"], "1970-01-01T00:00:00Z");
}

#[test]
fn an_image_has_one_layer_that_belongs_to_root() {
    let folder = tempfile::tempdir().expect("a folder");
    file(folder.path(), "program", executable(X86_64), 0o600);
    pack(folder.path(), &["program", "--image", "one.tar"]);
    let files = files(&folder.path().join("one.tar"));
    let manifest = parsed(&files, &document(&files, "index.json")["manifests"][0]);
    assert_eq!(manifest["layers"].as_array().map(Vec::len), Some(1));
    let layer = decompressed(blob(&files, &manifest["layers"][0]));
    let config = parsed(&files, &manifest["config"]);
    assert_eq!(config["rootfs"]["diff_ids"], json!([sha256(&layer)]));
    let entries = entries(&layer);
    let expected = [
        ("code/", 0o755),
        ("code/bootstrap", 0o755),
        ("tmp/", 0o1777),
    ];
    assert_eq!(entries.len(), expected.len());
    for ((name, header, _), (expected, mode)) in entries.iter().zip(expected) {
        assert_eq!(name, expected);
        assert_eq!(header.mode().ok(), Some(mode), "{name}");
        let owner = (header.uid().ok(), header.gid().ok());
        assert_eq!(
            (owner, header.mtime().ok()),
            ((Some(0), Some(0)), Some(0)),
            "{name}"
        );
    }
}

/// More than what is compressed in memory, and nothing that a compressor shortens.
fn large_file() -> Vec<u8> {
    let numbers = (0..1_500_000_u32).map(|number| number.wrapping_mul(2_654_435_761));
    numbers.flat_map(u32::to_le_bytes).collect()
}

#[test]
fn a_directory_is_packed_into_the_layer_as_into_a_zip() {
    let folder = tempfile::tempdir().expect("a folder");
    let code = folder.path().join("code");
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
    file(&code, "bootstrap", executable(ARM64), 0o644);
    file(&code, "pages/large.bin", large_file(), 0o600);
    file(&code, &long, "long", 0o755);
    file(&code, ".git/HEAD", "private", 0o644);
    fs::create_dir(code.join("empty")).expect("created");
    std::os::unix::fs::symlink("pages/large.bin", code.join("link")).expect("a link");
    // Twice: the image of the first time is no part of the second.
    for _ in 0..2 {
        let output = pack(folder.path(), &["code", "--image", "code/demo.tar"]);
        let message = stderr(&output);
        assert!(
            message.contains("left out (a line !NAME in .fcignore keeps it): .git"),
            "{message}"
        );
    }
    let files = files(&code.join("demo.tar"));
    let top = &document(&files, "index.json")["manifests"][0];
    assert_eq!(top["platform"]["architecture"], "arm64");
    let manifest = parsed(&files, top);
    let layer = decompressed(blob(&files, &manifest["layers"][0]));
    let entries = entries(&layer).into_iter();
    let all: BTreeMap<String, (u32, Vec<u8>)> = entries
        .map(|(name, header, content)| (name, (header.mode().expect("a mode"), content)))
        .collect();
    let names: Vec<&str> = all.keys().map(String::as_str).collect();
    let (long, long_folder) = (format!("code/{long}"), format!("code/{}/", "d".repeat(120)));
    let expected = [
        "code/",
        "code/bootstrap",
        &long_folder,
        &long,
        "code/empty/",
        "code/link",
        "code/pages/",
        "code/pages/large.bin",
        "tmp/",
    ];
    assert_eq!(names, expected);
    assert_eq!(all["code/bootstrap"].0, 0o755);
    assert_eq!(all[&long], (0o755, b"long".to_vec()));
    let (mode, content) = &all["code/pages/large.bin"];
    assert!(*mode == 0o644 && *content == large_file(), "{mode:o}");
}

#[test]
fn an_image_has_the_name_the_labels_and_the_time_that_it_is_given() {
    let folder = tempfile::tempdir().expect("a folder");
    file(folder.path(), "program", executable(X86_64), 0o755);
    let mut command = Command::new(PROGRAM);
    command
        .args(["pack", "program", "--image", "demo.tar"])
        .current_dir(folder.path());
    command.args(["--tag", "team/demo:1.2", "--label", "a=b=c"]);
    let output = command
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let files = files(&folder.path().join("demo.tar"));
    let manifest = parsed(&files, &document(&files, "index.json")["manifests"][0]);
    let config = parsed(&files, &manifest["config"]);
    assert_eq!(config["created"], "2023-11-14T22:13:20Z");
    assert_eq!(config["config"]["Labels"], json!({"a": "b=c"}));
    let layer = decompressed(blob(&files, &manifest["layers"][0]));
    for (name, header, _) in entries(&layer) {
        assert_eq!(header.mtime().ok(), Some(1_700_000_000), "{name}");
    }
    // For engines that read no index.
    let saved = document(&files, "manifest.json");
    assert_eq!(saved[0]["RepoTags"], json!(["team/demo:1.2"]));
    for path in [&saved[0]["Config"], &saved[0]["Layers"][0]] {
        assert!(files.contains_key(path.as_str().expect("a path")), "{path}");
    }
}

#[test]
fn a_layout_replaces_a_layout_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    file(folder.path(), "program", executable(X86_64), 0o755);
    file(folder.path(), "mine/photo", "kept", 0o644);
    fs::create_dir(folder.path().join("empty")).expect("created");
    let before = ["empty", "mine", "program"];
    for name in ["mine", "program"] {
        let output = coldstart_in(folder.path(), &["pack", "program", "--image-dir", name]);
        assert_eq!(output.status.code(), Some(6), "{name}: {}", stderr(&output));
        assert!(
            stderr(&output).contains("something that is not an image is there"),
            "{}",
            stderr(&output)
        );
        assert_eq!(names(folder.path()), before);
    }
    assert_eq!(
        fs::read_to_string(folder.path().join("mine/photo")).expect("read"),
        "kept"
    );
    pack(folder.path(), &["program", "--image-dir", "empty"]);
    let first = fs::read(folder.path().join("empty/index.json")).expect("an index");
    file(folder.path(), "program", executable(ARM64), 0o755);
    pack(folder.path(), &["program", "--image-dir", "empty"]);
    let second = fs::read(folder.path().join("empty/index.json")).expect("an index");
    assert_ne!(first, second, "replaced");
    assert_eq!(
        names(&folder.path().join("empty/blobs/sha256")).len(),
        3,
        "the old blobs are gone"
    );
    assert_eq!(names(folder.path()), before);
}

/// Packs what must be refused, with this status and this message, and leave the folder as it was.
fn refused(folder: &Path, arguments: &[&str], status: i32, expected: &str) {
    let before = names(folder);
    let output = coldstart_in(folder, &[&["pack"], arguments].concat());
    let message = stderr(&output);
    assert_eq!(
        output.status.code(),
        Some(status),
        "{arguments:?}: {message}"
    );
    assert!(message.contains(expected), "{arguments:?}: {message}");
    assert_eq!(names(folder), before, "{arguments:?}");
}

#[test]
fn code_that_an_image_cannot_start_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let yaml = "resources:\n  web:\n    component: fc3\n    props:\n      code: ./code\n      \
                customRuntimeConfig: {command: [python3]}\n";
    for (name, content) in [
        ("static", executable(X86_64)),
        ("dynamic", fs::read(PROGRAM).expect("an executable")),
        ("foreign", executable(RISC_V)),
        ("script", b"#!/bin/sh\n".to_vec()),
        ("text", b"hello\n".to_vec()),
        ("below/demo/bootstrap", executable(X86_64)),
        ("erases/.wh.bootstrap", b"x".to_vec()),
        ("erases/bootstrap", executable(X86_64)),
        ("yaml/s.yaml", yaml.into()),
        ("yaml/code/server.py", b"x".to_vec()),
    ] {
        file(folder.path(), name, content, 0o755);
    }
    fs::create_dir(folder.path().join("nothing")).expect("created");
    let needs_more =
        "bootstrap needs the interpreter /bin/sh, and an image has nothing but the code";
    let foreign = "bootstrap is built for RISC-V, and images are made for x86-64 and ARM64";
    let below = "pack a directory that has a static executable named bootstrap at its root";
    let erases = "a file of the name .wh.bootstrap deletes another one";
    for (source, expected) in [
        ("dynamic", "bootstrap needs the dynamic loader "),
        ("script", needs_more),
        ("foreign", foreign),
        ("text", "neither an ELF file nor a script"),
        ("nothing", "there is no file bootstrap at the root"),
        ("below", below),
        ("erases", erases),
        ("yaml", "starts its bootstrap"),
        ("no-such", "cannot use no-such"),
    ] {
        refused(folder.path(), &[source, "--image", "out.tar"], 3, expected);
    }
    let command = ["static", "--command", "--image", "out.tar"];
    refused(folder.path(), &command, 3, "starts its bootstrap");
}

#[test]
fn a_wrong_command_line_leaves_no_image() {
    let folder = tempfile::tempdir().expect("a folder");
    file(folder.path(), "one", executable(X86_64), 0o755);
    file(folder.path(), "same", executable(X86_64), 0o755);
    fs::create_dir(folder.path().join("nothing")).expect("created");
    for (arguments, status, expected) in [
        (
            &["--image", "out", "same"][..],
            3,
            "there is code for amd64 already",
        ),
        (&["--image", "out", "--tag", "Demo"], 2, "lower-case"),
        (
            &["--image", "out", "--output", "zip"],
            2,
            "cannot be used with",
        ),
        (
            &["--image", "out", "--image-dir", "out"],
            2,
            "cannot be used with",
        ),
        (&["--image", "no/such/out"], 6, "cannot write no/such/out"),
        (
            &["--image", "nothing"],
            6,
            "it is a directory; name a file, or use --image-dir",
        ),
        (&["--label", "a=b"], 2, "required"),
        (&["same"], 3, "add --image FILE"),
    ] {
        refused(
            folder.path(),
            &[&["one"], arguments].concat(),
            status,
            expected,
        );
    }
    for time in ["-1", "tomorrow", "8589934592"] {
        let mut command = Command::new(PROGRAM);
        command
            .args(["pack", "one", "--image", "out"])
            .current_dir(folder.path());
        let output = command
            .env("SOURCE_DATE_EPOCH", time)
            .output()
            .expect("it runs");
        assert_eq!(output.status.code(), Some(3), "{time}");
        let expected = format!("SOURCE_DATE_EPOCH is `{time}`; set it to a number of seconds");
        assert!(stderr(&output).contains(&expected), "{}", stderr(&output));
        assert!(!folder.path().join("out").exists(), "{time}");
    }
}

#[test]
fn the_labels_of_a_project_name_its_version_and_its_commit() {
    if interpreter(&["git"]).is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = "[package]\nname = 'demo-labels'\nversion = '1.2.3'\nedition = '2024'\nlicense = 'MIT'\n\
                    repository = 'https://example.invalid/demo'\n[workspace]\n";
    file(folder.path(), "Cargo.toml", manifest, 0o644);
    file(folder.path(), ".gitignore", "/target\n/Cargo.lock\n", 0o644);
    file(folder.path(), "src/main.rs", "fn main() {}\n", 0o644);
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=a", "-c", "user.email=a@example.invalid"]);
        command.args(["-c", "commit.gpgsign=false"]);
        let output = command
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .expect("git");
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output).trim().to_owned()
    };
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "one"]);
    let commit = git(&["rev-parse", "HEAD"]);
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("projects");
    let labels = |extra: &[&str]| {
        let _one_at_a_time = BUILDS.lock();
        let mut command = Command::new(PROGRAM);
        command
            .args(["pack", "--image", "demo.tar"])
            .args(extra)
            .current_dir(folder.path());
        let output = command
            .env("CARGO_TARGET_DIR", &target)
            .output()
            .expect("it runs");
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(
            stdout(&output).starts_with("demo.tar  demo-labels:latest\n"),
            "{}",
            stdout(&output)
        );
        let files = files(&folder.path().join("demo.tar"));
        let manifest = parsed(&files, &document(&files, "index.json")["manifests"][0]);
        let labels = parsed(&files, &manifest["config"])["config"]["Labels"].clone();
        assert_eq!(manifest["annotations"], labels);
        labels
    };
    let expected = json!({
        "org.opencontainers.image.title": "demo-labels",
        "org.opencontainers.image.version": "1.2.3",
        "org.opencontainers.image.source": "https://example.invalid/demo",
        "org.opencontainers.image.licenses": "MIT",
        "org.opencontainers.image.revision": commit,
    });
    assert_eq!(labels(&[]), expected);
    file(folder.path(), "src/main.rs", "fn main() { }\n", 0o644);
    assert_eq!(
        labels(&[])["org.opencontainers.image.revision"],
        format!("{commit}-dirty")
    );
    let set = labels(&["--label", "org.opencontainers.image.revision=mine"]);
    assert_eq!(set["org.opencontainers.image.revision"], "mine");
}

/// Runs a tool that must succeed, and returns what it prints.
fn tool(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    let output = output.expect("it runs");
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        stderr(&output)
    );
    stdout(&output)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[test]
fn skopeo_finds_each_architecture_and_converts_images() {
    if interpreter(&["skopeo"]).is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    file(folder.path(), "x86", executable(X86_64), 0o755);
    file(folder.path(), "arm", executable(ARM64), 0o755);
    pack(
        folder.path(),
        &["arm", "x86", "--image", "both.tar", "--label", "a=b"],
    );
    let both = format!("oci-archive:{}", text(&folder.path().join("both.tar")));
    for architecture in ["amd64", "arm64"] {
        let seen = tool(
            "skopeo",
            &["inspect", "--override-arch", architecture, &both],
        );
        let seen: Value = serde_json::from_str(&seen).expect("JSON");
        assert_eq!(seen["Architecture"], architecture);
        assert_eq!(seen["Labels"], json!({"a": "b"}));
    }
    let raw: Value =
        serde_json::from_str(&tool("skopeo", &["inspect", "--raw", &both])).expect("JSON");
    assert_eq!(raw["manifests"].as_array().map(Vec::len), Some(2));

    pack(folder.path(), &["x86", "--image", "one.tar"]);
    let one = folder.path().join("one.tar");
    // The layout, and the same file as older engines see it.
    for (kind, name) in [("oci-archive", "a.tar"), ("docker-archive", "b.tar")] {
        let from = format!("{kind}:{}", text(&one));
        let to = format!("docker-archive:{}", text(&folder.path().join(name)));
        tool(
            "skopeo",
            &["copy", "--quiet", &from, &format!("{to}:demo:1")],
        );
        let config = tool("skopeo", &["inspect", "--config", &to]);
        let config: Value = serde_json::from_str(&config).expect("JSON");
        assert_eq!(
            config["config"]["Entrypoint"],
            json!(["/code/bootstrap"]),
            "{kind}"
        );
        assert_eq!(config["config"]["User"], "65534:65534", "{kind}");
    }
}

/// A running container.
struct Container {
    process: Child,
    state: PathBuf,
    id: String,
}

impl Container {
    fn start(bundle: &Path, state: PathBuf) -> Self {
        let id = format!("coldstart-{}", free_port());
        let mut command = Command::new("runc");
        // Without limits, and so without rights on control groups, which a container that runs the tests may lack.
        command
            .arg("--root")
            .arg(&state)
            .args(["--rootless", "true", "run", "--bundle"]);
        command
            .arg(bundle)
            .arg(&id)
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        let process = command.spawn().expect("runc runs");
        Self { process, state, id }
    }

    /// Waits until it serves a call.
    fn call(&mut self, port: u16) -> Reply {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
                let head = "GET /hello HTTP/1.1\r\nHost: image\r\nConnection: close\r\n\r\n";
                stream.write_all(head.as_bytes()).expect("sent");
                return Reply::read(&mut stream);
            }
            if let Some(status) = self.process.try_wait().expect("waited") {
                panic!("the container ended with {status}: {}", self.said());
            }
            assert!(Instant::now() < deadline, "it does not listen");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn said(&mut self) -> String {
        let mut said = String::new();
        let errors = self.process.stderr.as_mut().expect("its errors");
        errors.read_to_string(&mut said).ok();
        said
    }

    fn runc(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("runc");
        command.arg("--root").arg(&self.state).args(arguments);
        command.stdin(Stdio::null()).output().expect("runc runs")
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.runc(&["delete", "--force", &self.id]);
        self.process.wait().ok();
    }
}

/// Turns an unpacked image into a container that has a port of this machine, and no rights.
fn restrict(bundle: &Path, port: u16) {
    let path = bundle.join("config.json");
    let mut config: Value =
        serde_json::from_slice(&fs::read(&path).expect("a bundle")).expect("JSON");
    config["root"]["readonly"] = json!(true);
    let process = &mut config["process"];
    process["terminal"] = json!(false);
    process["capabilities"] = json!({});
    process["noNewPrivileges"] = json!(true);
    process["env"] = json!([format!("PORT={port}")]);
    config["mounts"]
        .as_array_mut()
        .expect("mounts")
        .retain(|mount| mount["destination"] == "/proc");
    let linux = &mut config["linux"];
    linux["resources"] = json!({});
    linux["namespaces"] =
        json!([{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}]);
    fs::write(&path, config.to_string()).expect("written");
}

#[test]
fn our_bootstrap_serves_from_an_image_as_nobody_without_rights() {
    if ["umoci", "runc"]
        .iter()
        .any(|name| interpreter(&[name]).is_none())
        || !sandbox::runs_containers()
    {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the repository");
    let one_at_a_time = BUILDS.lock();
    let mut command = Command::new(PROGRAM);
    command
        .args(["pack", text(repository), "--image-dir", "image"])
        .current_dir(folder.path());
    command.env(
        "CARGO_TARGET_DIR",
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("projects"),
    );
    let output = command.output().expect("it runs");
    drop(one_at_a_time);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let image = format!("{}:latest", text(&folder.path().join("image")));
    let bundle = folder.path().join("bundle");
    tool("umoci", &["unpack", "--image", &image, text(&bundle)]);
    assert_eq!(names(&bundle.join("rootfs")), ["code", "tmp"]);
    assert_eq!(names(&bundle.join("rootfs/code")), ["bootstrap"]);
    let port = free_port();
    restrict(&bundle, port);
    let mut container = Container::start(&bundle, folder.path().join("state"));
    let reply = container.call(port);
    assert_eq!((reply.status, reply.body.as_str()), (200, "Hello, World!"));
    let state: Value =
        serde_json::from_str(&stdout(&container.runc(&["state", &container.id]))).expect("JSON");
    let status = fs::read_to_string(format!("/proc/{}/status", state["pid"])).expect("its status");
    for expected in [
        "Uid:\t65534\t65534\t65534\t65534",
        "Gid:\t65534\t65534\t65534\t65534",
        "CapPrm:\t0000000000000000",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
    ] {
        assert!(status.contains(expected), "{expected}: {status}");
    }
    let mounts =
        fs::read_to_string(format!("/proc/{}/mountinfo", state["pid"])).expect("its mounts");
    let root = mounts
        .lines()
        .find(|line| line.split(' ').nth(4) == Some("/"));
    let is_read_only = |line: &str| {
        line.split(' ')
            .nth(5)
            .is_some_and(|options| options.split(',').any(|option| option == "ro"))
    };
    assert!(root.is_some_and(is_read_only), "{mounts}");
    assert!(
        container
            .runc(&["kill", &container.id, "TERM"])
            .status
            .success()
    );
    let ended = container.process.wait().expect("it ends");
    assert_eq!(ended.code(), Some(0), "{}", container.said());
}
