//! Packages: safe extraction and reproducible packing. New projects.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::support::{
    Gateway, caller_error, coldstart, coldstart_in, file, free_port, interpreter, server, stderr,
    stdout,
};

fn archive(folder: &Path, name: &str, fill: impl FnOnce(&mut ZipWriter<fs::File>)) -> PathBuf {
    let path = folder.join(name);
    let mut zip = ZipWriter::new(fs::File::create(&path).expect("a file"));
    fill(&mut zip);
    zip.finish().expect("finished");
    path
}

fn mode(mode: u32) -> SimpleFileOptions {
    SimpleFileOptions::default().unix_permissions(mode)
}

fn entry(zip: &mut ZipWriter<fs::File>, name: &str, options: SimpleFileOptions, content: &[u8]) {
    zip.start_file(name, options).expect("an entry");
    zip.write_all(content).expect("its content");
}

/// Runs a package that must not start, and checks that no temporary files remain.
fn refused(path: &Path, status: i32) -> std::process::Output {
    let scratch = tempfile::tempdir().expect("a folder");
    let port = free_port().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_coldstart"))
        .args([
            "run",
            "--gateway",
            "127.0.0.1:0",
            "--port",
            &port,
            path.to_str().expect("text"),
        ])
        .env("TMPDIR", scratch.path())
        .env("NO_COLOR", "1")
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(status), "{}", stderr(&output));
    assert_eq!(
        fs::read_dir(scratch.path()).expect("the folder").count(),
        0,
        "temporary files remain"
    );
    output
}

#[test]
fn run_extracts_and_starts_a_package() {
    let Some(python) = interpreter(&["python3", "python"]) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let script = format!("#!/bin/sh\nexec {python} server.py\n");
    let path = archive(folder.path(), "code.zip", |zip| {
        entry(zip, "bootstrap", mode(0o755), script.as_bytes());
        entry(
            zip,
            "server.py",
            mode(0o644),
            &fs::read(server("server.py")).expect("the server"),
        );
        zip.add_symlink("link.py", "server.py", mode(0o777))
            .expect("a link");
    });
    let port = free_port().to_string();
    let mut gateway = Gateway::start(&[path.to_str().expect("text"), "--port", &port]);
    assert_eq!(gateway.call("GET", "/", "").body, "GET /\n");
    let seen = gateway.wait_for("ready:");
    let code = seen
        .split_once(" in ")
        .and_then(|(_, rest)| rest.split_once(','))
        .expect("the path")
        .0;
    assert!(Path::new(code).join("link.py").is_symlink(), "{code}");
    assert_eq!(gateway.interrupt(), Some(0));
    assert!(!Path::new(code).exists(), "{code} was not removed");
}

#[test]
fn a_single_top_folder_is_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = archive(folder.path(), "code.zip", |zip| {
        entry(zip, "demo/bootstrap", mode(0o755), b"#!/bin/sh\n");
    });
    let output = refused(&path, 4);
    assert_eq!(caller_error(&output)["Code"], "CAFileNotFound");
    assert!(
        stderr(&output).contains("a single top folder, `demo/`, and bootstrap is inside it"),
        "{}",
        stderr(&output)
    );
    assert!(
        stderr(&output).contains("zip the folder's contents"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_package_without_modes_is_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = archive(folder.path(), "code.zip", |zip| {
        entry(zip, "bootstrap", mode(0o644), b"#!/bin/sh\n");
    });
    let mut bytes = fs::read(&path).expect("the archive");
    // As on Windows: creator FAT, no external attributes.
    let at = bytes
        .windows(4)
        .position(|window| window == b"PK\x01\x02")
        .expect("the directory");
    bytes[at + 5] = 0;
    bytes[at + 38..at + 42].fill(0);
    fs::write(&path, bytes).expect("written");
    let output = refused(&path, 4);
    assert_eq!(caller_error(&output)["Code"], "CAFilePermission");
    assert!(
        stderr(&output).contains("a ZIP made on Windows loses the bit"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn the_finders_top_folder_has_the_fix_that_fits() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = archive(folder.path(), "code.zip", |zip| {
        entry(zip, "demo/bootstrap", mode(0o755), b"#!/bin/sh\n");
        entry(zip, "__MACOSX/demo/._bootstrap", mode(0o644), b"x");
        entry(zip, ".DS_Store", mode(0o644), b"x");
    });
    let message = stderr(&refused(&path, 4));
    assert!(
        message.contains("a single top folder, `demo/`"),
        "{message}"
    );
    assert!(
        message.contains("in the Finder, open the folder"),
        "{message}"
    );
}

#[test]
fn what_stands_before_the_interpreter_line_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    for (bytes, expected) in [
        (
            &b"\xef\xbb\xbf#!/bin/sh\n"[..],
            "the byte order mark of UTF-8",
        ),
        (b"\r\n#!/bin/sh\n", "2 blank bytes come before it"),
    ] {
        let path = archive(folder.path(), "code.zip", |zip| {
            entry(zip, "bootstrap", mode(0o755), bytes);
        });
        let output = refused(&path, 4);
        assert_eq!(caller_error(&output)["Code"], "CAExited");
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    }
}

/// A package that tools read in different ways starts all the same, and what is odd in it is named.
#[test]
fn run_takes_every_package_that_the_platform_takes() {
    let Some(python) = interpreter(&["python3", "python"]) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let script = format!("#!/bin/sh\ntest -L venv/python && exec {python} lib/server.py\n");
    let program = fs::read(server("server.py")).expect("the server");
    let path = archive(folder.path(), "code.zip", |zip| {
        entry(zip, "bootstrap", mode(0o755), b"#!/bin/sh\nexit 3\n");
        entry(zip, "./bootstrap", mode(0o755), script.as_bytes());
        entry(zip, "lib\\server.py", mode(0o644), &program);
        zip.add_directory("empty/", mode(0o755)).expect("a folder");
        zip.add_symlink("venv/python", "/usr/bin/python3", mode(0o777))
            .expect("a link");
    });
    let port = free_port().to_string();
    let gateway = Gateway::start(&[path.to_str().expect("text"), "--port", &port]);
    assert_eq!(gateway.call("GET", "/", "").body, "GET /\n");
    let seen = gateway.wait_for("ready:");
    for expected in [
        "the same path twice; the last entry counts: bootstrap",
        "backslashes in names",
        "links that leave the package; on the platform they lead into its own image: venv/python",
    ] {
        assert!(seen.contains(expected), "{expected}: {seen}");
    }
}

#[test]
fn entries_outside_the_folder_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["../evil", "/tmp/coldstart-evil", "a/../../evil", "..\\evil"] {
        let path = archive(folder.path(), "code.zip", |zip| {
            entry(zip, name, mode(0o644), b"x");
        });
        let message = stderr(&refused(&path, 3));
        assert!(
            message.contains("path traversal") || message.contains("cannot extract"),
            "{name}: {message}"
        );
    }
    assert!(
        !Path::new("/tmp/coldstart-evil").exists() && !folder.path().join("evil").exists(),
        "nothing was written"
    );
    let path = archive(folder.path(), "code.zip", |zip| {
        zip.add_symlink("out", "../../etc", mode(0o777))
            .expect("a link");
        entry(zip, "out/passwd", mode(0o644), b"x");
    });
    let message = stderr(&refused(&path, 3));
    assert!(message.contains("would be written through"), "{message}");
}

#[test]
fn zip_bombs_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = archive(folder.path(), "code.zip", |zip| {
        zip.start_file("zeros", mode(0o644)).expect("an entry");
        for _ in 0..64 {
            zip.write_all(&vec![0; 1024 * 1024]).expect("zeros");
        }
    });
    assert!(
        path.metadata().expect("its size").len() < 100_000,
        "deflated"
    );
    let message = stderr(&refused(&path, 3));
    assert!(message.contains("a ZIP bomb"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn pack_sets_the_execute_bit_and_is_reproducible() {
    let folder = tempfile::tempdir().expect("a folder");
    file(
        folder.path(),
        "code/bootstrap",
        "#!/bin/sh\nexec true\n",
        0o644,
    );
    file(folder.path(), "code/lib/helper.txt", "help", 0o600);
    file(folder.path(), "code/.git/HEAD", "private", 0o644);
    let pack = |name: &str| {
        let output = coldstart_in(folder.path(), &["pack", "code", "-o", name]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stdout(&output)
    };
    let first = pack("one.zip");
    // A new modification time does not change the package.
    file(
        folder.path(),
        "code/bootstrap",
        "#!/bin/sh\nexec true\n",
        0o755,
    );
    let second = pack("two.zip");
    let sum = |text: &str| text.lines().last().expect("a line").to_owned();
    assert!(sum(&first).starts_with("sha256 "), "{first}");
    assert_eq!(sum(&first), sum(&second));
    let bytes = fs::read(folder.path().join("one.zip")).expect("the package");
    assert_eq!(
        bytes,
        fs::read(folder.path().join("two.zip")).expect("the package")
    );
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(bytes)).expect("a ZIP");
    assert_eq!(zip.len(), 2, "no .git");
    assert_eq!(
        zip.by_name("bootstrap")
            .expect("the start file")
            .unix_mode(),
        Some(0o100_755)
    );
    assert_eq!(
        zip.by_name("lib/helper.txt")
            .expect("the other")
            .unix_mode(),
        Some(0o100_644)
    );
}

/// The names in a package.
fn names(path: &Path) -> Vec<String> {
    let file = fs::File::open(path).expect("the package");
    let zip = zip::ZipArchive::new(file).expect("a ZIP");
    let names = zip
        .file_names()
        .map(|name| name.expect("text").into_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn pack_leaves_out_what_fcignore_says_and_names_the_rest() {
    let folder = tempfile::tempdir().expect("a folder");
    let code = folder.path().join("code");
    for (name, text) in [
        ("bootstrap", "#!/bin/sh\n"),
        (".fcignore", "*.tmp\n/docs/\n!kept.log\n"),
        ("a.tmp", "x"),
        ("lib/b.tmp", "x"),
        ("lib/.fcignore", "!b.tmp\nc.txt\n"),
        ("lib/c.txt", "x"),
        ("lib/docs/d.txt", "x"),
        ("docs/e.txt", "x"),
        ("kept.log", "x"),
        ("left.log", "x"),
        (".git/HEAD", "x"),
        (
            "target/CACHEDIR.TAG",
            "Signature: 8a477f597d28d172789f06886806bc55\n",
        ),
        ("target/debug/program", "x"),
        ("java/target/demo.jar", "PK"),
        ("inner.zip", "PK"),
    ] {
        file(&code, name, text, 0o644);
    }
    fs::create_dir_all(code.join("storage/logs")).expect("created");
    let pack = || coldstart_in(folder.path(), &["pack", "code"]);
    assert_eq!(pack().status.code(), Some(0), "{}", stderr(&pack()));
    // Again, with the package of the first time in the folder.
    let message = stderr(&pack());
    let expected = [
        ".fcignore",
        "bootstrap",
        "inner.zip",
        "java/target/demo.jar",
        "kept.log",
        "lib/.fcignore",
        "lib/b.tmp",
        "lib/docs/d.txt",
        "storage/logs/",
    ];
    assert_eq!(names(&code.join("function.zip")), expected);
    assert!(
        message.contains("keeps it): .git, left.log, target"),
        "{message}"
    );
    let left_out = "left out by .fcignore: a.tmp, docs, lib/c.txt";
    assert!(message.contains(left_out), "{message}");
}

#[test]
fn pack_refuses_a_bad_fcignore() {
    let folder = tempfile::tempdir().expect("a folder");
    file(folder.path(), "bootstrap", "#!/bin/sh\n", 0o755);
    for (text, expected) in [
        ("[z-a]\n", "cannot use ./.fcignore: "),
        ("boot*\n", "bootstrap itself is left out"),
    ] {
        file(folder.path(), ".fcignore", text, 0o644);
        let output = coldstart_in(folder.path(), &["pack"]);
        assert_eq!(output.status.code(), Some(3));
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
        assert!(!folder.path().join("function.zip").exists(), "{text}");
    }
}

#[test]
fn pack_keeps_links_and_names_special_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let code = folder.path().join("code");
    file(&code, "bootstrap", "#!/bin/sh\nexit 7\n", 0o644);
    let link = |target: &str, name: &str| {
        std::os::unix::fs::symlink(target, code.join(name)).expect("a link");
    };
    link("bootstrap", "inside");
    link("/usr/bin/env", "outside");
    link("no-such", "dangling");
    let fifo = Command::new("mkfifo").arg(code.join("pipe")).status();
    assert!(fifo.expect("mkfifo").success(), "a FIFO");
    let socket = std::os::unix::net::UnixListener::bind(code.join("socket"));
    let output = coldstart_in(folder.path(), &["pack", "code", "-o", "out.zip"]);
    drop(socket);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let message = stderr(&output);
    for expected in [
        "skipped: pipe (a FIFO), socket (a socket)",
        "dangling -> no-such, which does not exist here",
        "outside -> /usr/bin/env, outside the package",
    ] {
        assert!(message.contains(expected), "{expected}: {message}");
    }
    let path = folder.path().join("out.zip");
    assert_eq!(names(&path), ["bootstrap", "dangling", "inside", "outside"]);
    // What `pack` makes, `run` takes: the script is started.
    let message = stderr(&refused(&path, 4));
    assert!(message.contains("code 7"), "{message}");
}

#[test]
fn pack_refuses_a_name_that_is_not_utf_8() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let code = folder.path().join("code");
    file(&code, "bootstrap", "#!/bin/sh\n", 0o755);
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.txt");
    fs::write(code.join(name), "x").expect("written");
    let output = coldstart_in(folder.path(), &["pack", "code"]);
    assert_eq!(output.status.code(), Some(3));
    let expected = r"the file name caf\xe9.txt is not UTF-8";
    assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    assert!(!code.join("function.zip").exists(), "written");
}

#[test]
fn pack_reads_the_code_and_the_start_from_s_yaml() {
    let folder = tempfile::tempdir().expect("a folder");
    let project = folder.path().join("project");
    let packed = folder.path().join("out.zip");
    let pack = |code: &str, command: &str| {
        let text = format!(
            "resources:\n  web:\n    component: fc3\n    props:\n      code: {code}\n      \
             customRuntimeConfig: {{command: [{command}]}}\n"
        );
        file(&project, "s.yaml", text, 0o644);
        let output = coldstart_in(&project, &["pack", "-o", "../out.zip"]);
        (output.status.code(), stderr(&output))
    };
    file(&project, "code/server.py", "x", 0o644);
    assert_eq!(pack("./code", "python3, server.py").0, Some(0));
    assert_eq!(names(&packed), ["server.py"]);
    let (status, message) = pack("./code", "");
    assert_eq!(status, Some(3), "no bootstrap: {message}");
    file(&project, "target/web.jar", "PK", 0o644);
    assert_eq!(pack("target/web.jar", "java, -jar, web.jar").0, Some(0));
    assert_eq!(names(&packed), ["web.jar"]);
    let (status, message) = pack("target/web.jar", "java, Main");
    assert_eq!(status, Some(3));
    assert!(
        message.contains("web.jar is a package already"),
        "{message}"
    );
    // A ZIP beside the file is what this command makes.
    assert_eq!(pack("./function.zip", "python3, code/server.py").0, Some(0));
    assert_eq!(
        names(&packed),
        ["code/server.py", "s.yaml", "target/web.jar"]
    );
}

#[test]
fn pack_names_the_members_of_a_workspace() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspace = "[workspace]\nmembers = ['one', 'two']\nresolver = '3'\n";
    file(folder.path(), "Cargo.toml", workspace, 0o644);
    for member in ["one", "two"] {
        let manifest = format!("[package]\nname = '{member}'\nversion = '0.1.0'\n");
        file(
            folder.path(),
            &format!("{member}/Cargo.toml"),
            manifest,
            0o644,
        );
        file(
            folder.path(),
            &format!("{member}/src/main.rs"),
            "fn main() {}\n",
            0o644,
        );
    }
    let output = coldstart_in(folder.path(), &["pack"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let message = stderr(&output);
    for expected in ["a workspace with several executables", "/one or ", "/two"] {
        assert!(message.contains(expected), "{expected}: {message}");
    }
}

#[test]
fn pack_refuses_what_cannot_start() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("empty")).expect("created");
    file(folder.path(), "crlf/bootstrap", "#!/bin/bash\r\n", 0o755);
    let mut foreign = fs::read(env!("CARGO_BIN_EXE_coldstart")).expect("an executable");
    foreign[18..20].copy_from_slice(&183_u16.to_le_bytes());
    file(folder.path(), "foreign", foreign, 0o755);
    for (source, expected) in [
        ("empty", "there is no file bootstrap"),
        ("crlf", "CRLF line endings"),
        ("foreign", "ARM64"),
    ] {
        let output = coldstart_in(folder.path(), &["pack", source, "-o", "out.zip"]);
        assert_eq!(output.status.code(), Some(3), "{source}");
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
        assert!(!folder.path().join("out.zip").exists(), "{source}");
    }
}

#[test]
fn a_too_new_glibc_is_reported() {
    // The program under test is linked with this machine's glibc, which is newer than Debian 9's.
    let program = env!("CARGO_BIN_EXE_coldstart");
    let folder = tempfile::tempdir().expect("a folder");
    let output = coldstart_in(
        folder.path(),
        &["pack", program, "--runtime", "custom", "-o", "out.zip"],
    );
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("Debian 9 has 2.24"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn new_does_not_overwrite_and_checks_the_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let new = |name: &str| coldstart_in(folder.path(), &["new", name]);
    assert_eq!(new("demo").status.code(), Some(0));
    let again = new("demo");
    assert_eq!(again.status.code(), Some(3));
    assert!(
        stderr(&again).contains("already exists"),
        "{}",
        stderr(&again)
    );
    assert_eq!(new("Not A Name").status.code(), Some(3));
}

#[test]
fn new_finds_the_library_where_it_was_built_and_refuses_what_is_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = coldstart_in(folder.path(), &["new", "found"]);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    let manifest = fs::read_to_string(folder.path().join("found/Cargo.toml"));
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("it");
    let path = repository.canonicalize().expect("it exists");
    let line = format!(
        "coldstart = {{ path = {:?} }}",
        path.to_str().expect("text")
    );
    assert!(manifest.expect("the file").contains(&line), "{line}");
    let here = folder.path().to_str().expect("text");
    let refused = coldstart_in(folder.path(), &["new", "refused", "--library", here]);
    assert_eq!(refused.status.code(), Some(3));
    let why = stderr(&refused);
    assert!(
        why.contains("is not the library") && why.contains("a checkout"),
        "{why}"
    );
    assert!(!folder.path().join("refused").exists(), "nothing is left");
}

/// Builds, tests, packs and checks a new project, with the library of this repository.
fn assert_project_works(kind: &str) {
    assert_built_project_works(kind, &["test", "-q"], &[]);
}

/// The same, where all is built once, for the target that is deployed, and without the time that optimizing takes.
fn assert_project_works_unoptimized(kind: &str) {
    let test = [
        "test",
        "-q",
        "--release",
        "--target",
        "x86_64-unknown-linux-musl",
    ];
    let unoptimized = [
        ("CARGO_PROFILE_RELEASE_LTO", "off"),
        ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"),
        ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    ];
    assert_built_project_works(kind, &test, &unoptimized);
}

fn assert_built_project_works(kind: &str, test: &[&str], profile: &[(&str, &str)]) {
    let library = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the repository");
    // Separate names: in a shared target directory cargo tells packages apart by name only.
    let name = format!("demo-{kind}");
    let folder = tempfile::tempdir().expect("a folder");
    let library = library.to_str().expect("text");
    let output = coldstart_in(
        folder.path(),
        &["new", &name, "--kind", kind, "--library", library],
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let project = folder.path().join(&name);
    // Shared by all kinds, so that the library is built once.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("projects");
    let one_at_a_time = BUILDS.lock();
    let tested = Command::new("cargo")
        .args(test)
        .current_dir(&project)
        .env("CARGO_TARGET_DIR", &target)
        .envs(profile.iter().copied())
        .output();
    let tested = tested.expect("cargo runs");
    assert!(
        tested.status.success(),
        "{}{}",
        stdout(&tested),
        stderr(&tested)
    );
    let packed = Command::new(env!("CARGO_BIN_EXE_coldstart"))
        .arg("pack")
        .current_dir(&project)
        .env("CARGO_TARGET_DIR", &target)
        .envs(profile.iter().copied())
        .output()
        .expect("it runs");
    assert_eq!(packed.status.code(), Some(0), "{}", stderr(&packed));
    // What follows waits a lot, and looks at the package alone.
    drop(one_at_a_time);
    let port = free_port().to_string();
    let checked = coldstart_in(&project, &["check", "--port", &port]);
    assert_eq!(checked.status.code(), Some(0), "{}", stdout(&checked));
    assert!(
        stdout(&checked).contains(" 0 failed, 0 warnings"),
        "{}",
        stdout(&checked)
    );
    assert_call_works(&project);
}

/// Makes the call that the README of a new project ends with.
fn assert_call_works(project: &Path) {
    if interpreter(&["curl"]).is_none() {
        return;
    }
    let page = fs::read_to_string(project.join("README.md")).expect("the page");
    let (_, call) = page.split_once("\ncurl ").expect("a call");
    let (call, _) = call.split_once("\n```").expect("its end");
    let port = free_port().to_string();
    let place = project.to_str().expect("text");
    let gateway = Gateway::start(&["--no-build", "--port", &port, place]);
    let call = call.replace("127.0.0.1:8080", &gateway.address);
    let call = format!("curl --fail --silent --show-error --max-time 30 --noproxy '*' {call}");
    let called = Command::new("sh").args(["-c", &call]).output();
    let called = called.expect("a shell");
    assert!(called.status.success(), "{call}: {}", stderr(&called));
    assert!(!called.stdout.is_empty(), "{call}");
}

pub(crate) static BUILDS: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[test]
fn a_new_http_project_works() {
    assert_project_works("http");
}

#[test]
fn a_new_event_project_works() {
    assert_project_works_unoptimized("event");
}

#[test]
fn a_new_sse_project_works() {
    assert_project_works_unoptimized("sse");
}

#[test]
fn a_new_mcp_project_works() {
    assert_project_works_unoptimized("mcp");
}

#[test]
fn a_new_axum_project_works() {
    assert_project_works_unoptimized("axum");
}

#[test]
fn help_lists_the_exit_statuses() {
    for command in ["run", "check", "bench", "pack", "new"] {
        let output = coldstart(&[command, "--help"]);
        assert_eq!(output.status.code(), Some(0));
        assert!(stdout(&output).contains("Exit status:"), "{command}");
    }
    assert_eq!(coldstart(&["no-such-command"]).status.code(), Some(2));
}

#[test]
fn our_bootstrap_packs_and_passes_every_check() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the repository");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("projects");
    let folder = tempfile::tempdir().expect("a folder");
    let one_at_a_time = BUILDS.lock();
    let packed = Command::new(env!("CARGO_BIN_EXE_coldstart"))
        .args([
            "pack",
            repository.to_str().expect("text"),
            "-o",
            "bootstrap.zip",
            "--runtime",
            "custom",
        ])
        .current_dir(folder.path())
        .env("CARGO_TARGET_DIR", &target)
        .output()
        .expect("it runs");
    drop(one_at_a_time);
    assert_eq!(packed.status.code(), Some(0), "{}", stderr(&packed));
    let port = free_port().to_string();
    let checked = coldstart_in(
        folder.path(),
        &[
            "check",
            "bootstrap.zip",
            "--runtime",
            "custom",
            "--port",
            &port,
        ],
    );
    assert_eq!(checked.status.code(), Some(0), "{}", stdout(&checked));
    assert!(
        stdout(&checked).contains(" 0 failed, 0 warnings"),
        "{}",
        stdout(&checked)
    );
}
