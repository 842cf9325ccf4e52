//! What an application links: no tokio and no hyper, unless it asks for them.
#![expect(clippy::expect_used, reason = "what a test cannot set up must fail it")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The packages that a program with these dependencies links.
fn linked(name: &str, dependencies: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(folder.join("src")).expect("a folder");
    fs::write(folder.join("src/main.rs"), "fn main() {}").expect("a file");
    let us = root.display();
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n\
         coldstart-tower = {{ path = \"{us}\" }}\n{dependencies}"
    );
    fs::write(folder.join("Cargo.toml"), manifest).expect("a file");
    // The versions that are here, so that nothing is downloaded.
    fs::copy(root.join("../Cargo.lock"), folder.join("Cargo.lock")).expect("our lock file");
    let output = Command::new(env!("CARGO"))
        .current_dir(&folder)
        .args([
            "tree",
            "--offline",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{lib}",
        ])
        .output()
        .expect("cargo can be started");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let tree = String::from_utf8(output.stdout).expect("names");
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

#[test]
fn a_hello_router_links_neither_tokio_nor_hyper() {
    let axum = "axum = { version = \"0.8\", default-features = false, features = [\"form\", \"json\", \"query\"] }\n";
    let packages = linked("hello", axum);
    let has = |name: &str| packages.iter().any(|package| package == name);
    assert!(
        has("axum") && has("coldstart") && has("serde_json"),
        "{packages:?}"
    );
    for heavy in ["tokio", "hyper", "hyper_util"] {
        assert!(!has(heavy), "{heavy} is linked: {packages:?}");
    }
    // The prefixes catch what a later version brings: executors and their kin.
    let of_a_runtime =
        |package: &&String| package.starts_with("tokio") || package.starts_with("async_");
    assert_eq!(packages.iter().find(of_a_runtime), None);
    // The page says so.
    let page = include_str!("../README.md");
    let (_, table) = page.split_once("| from | crates |").expect("a table");
    let (table, _) = table.split_once("\n\n").expect("its end");
    let names = table.lines().filter_map(|row| row.rsplit_once(" | "));
    let names = names.flat_map(|(_, names)| names.split(['`', ' ', '|']));
    let named: BTreeSet<&str> = names
        .filter(|name| !name.is_empty() && *name != "---")
        .collect();
    let linked = packages.iter().map(String::as_str);
    let linked: BTreeSet<&str> = linked.filter(|name| !name.is_empty()).collect();
    assert_eq!(named, linked, "the table of README.md");
}

#[test]
fn the_package_alone_links_what_its_manifest_names() {
    let mut packages = linked("bare", "");
    packages.retain(|package| !package.is_empty());
    packages.sort();
    packages.dedup();
    assert_eq!(
        packages,
        [
            "bytes",
            "coldstart",
            "coldstart_tower",
            "http",
            "http_body",
            "httparse",
            "itoa",
            "libc",
            "mio",
            "socket2",
            "tower_service",
        ]
    );
}
