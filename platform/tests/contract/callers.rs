//! Other people's programs as callers of the gateway: Node, Python, curl, and nginx in front of it.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{DEADLINE, Gateway, free_port, interpreter};

#[test]
fn a_keep_alive_agent_of_node_loses_no_post() {
    let Some(node) = interpreter(&["node", "nodejs"]) else {
        return;
    };
    let Some(gateway) = Gateway::lab(&[]) else {
        return;
    };
    let said = output(&node, &[&caller("keepalive.mjs"), &gateway.address]);
    assert!(said.starts_with("0 failures, 2 sockets"), "{said}");
}

#[test]
fn the_http_client_of_python_keeps_its_connection() {
    let Some(python) = interpreter(&["python3", "python"]) else {
        return;
    };
    let Some(gateway) = Gateway::lab(&[]) else {
        return;
    };
    let said = output(&python, &[&caller("keepalive.py"), &gateway.address]);
    assert_eq!(said.trim(), "one connection");
}

#[test]
fn curl_is_served_in_every_version_and_form() {
    let Some(curl) = interpreter(&["curl"]) else {
        return;
    };
    let Some(gateway) = Gateway::lab(&[]) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let body = folder.path().join("body");
    fs::write(&body, vec![b'x'; 20 << 20]).expect("written");
    let body = format!("@{}", body.display());
    let url = format!("http://{}/", gateway.address);
    let proxy = format!("http://{}", gateway.address);
    for (arguments, expected) in [
        (&["--http1.0", &url][..], "\"target\": \"/\""),
        (
            &["--proxy", &proxy, "http://site.example/a?b"],
            "\"host\": \"site.example\"",
        ),
        (
            &["--proxy", &proxy, "http://site.example/a?b"],
            "\"target\": \"/a?b\"",
        ),
        (&["--data-binary", &body, &url], "\"length\": 20971520"),
        (
            &[
                "--data-binary",
                &body,
                "-H",
                "Transfer-Encoding: chunked",
                &url,
            ],
            "\"length\": 20971520",
        ),
        (
            &["--data-binary", &body, "-H", "Expect: 100-continue", &url],
            "\"length\": 20971520",
        ),
    ] {
        let mut all = vec![
            "--silent",
            "--show-error",
            "--noproxy",
            "",
            "--max-time",
            "60",
        ];
        all.extend(arguments);
        let said = output(&curl, &all);
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    // Two uploads, one connection.
    let form = "%{num_connects}";
    let two = [
        "--silent",
        "--write-out",
        form,
        "--data-binary",
        &body,
        &url,
        &url,
    ];
    let said = output(&curl, &two);
    assert!(said.ends_with("}0"), "{said}");
}

#[test]
fn nginx_in_front_reuses_its_connections() {
    let (Some(nginx), Some(node)) = (interpreter(&["nginx"]), interpreter(&["node", "nodejs"]))
    else {
        return;
    };
    let Some(gateway) = Gateway::lab(&[]) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let (reusing, old) = (free_port(), free_port());
    let _nginx = Nginx::start(&nginx, folder.path(), &gateway.address, [reusing, old]);
    // By default nginx speaks HTTP/1.0 to its upstream.
    for port in [reusing, old] {
        let said = output(
            &node,
            &[&caller("keepalive.mjs"), &format!("127.0.0.1:{port}")],
        );
        assert!(said.starts_with("0 failures"), "{said}");
    }
}

struct Nginx(Child);

impl Nginx {
    fn start(program: &str, folder: &Path, gateway: &str, [reusing, old]: [u16; 2]) -> Self {
        let here = folder.display();
        let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|kind| format!("{kind}_temp_path {here}/{kind};\n"))
            .collect();
        let configuration = format!(
            "daemon off; pid {here}/pid; error_log {here}/errors; worker_processes 1;\n\
             events {{ worker_connections 128; }}\n\
             http {{ access_log off; {paths}\n\
             upstream gateway {{ server {gateway}; keepalive 4; }}\n\
             server {{ listen 127.0.0.1:{reusing}; location / {{ proxy_pass http://gateway; proxy_http_version 1.1;\n\
             proxy_set_header Connection \"\"; proxy_request_buffering off; }} }}\n\
             server {{ listen 127.0.0.1:{old}; location / {{ proxy_pass http://{gateway}; }} }}\n\
             }}\n"
        );
        let path = folder.join("nginx.conf");
        fs::write(&path, configuration).expect("written");
        let child = Command::new(program)
            .arg("-c")
            .arg(&path)
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx starts");
        let nginx = Self(child);
        let deadline = Instant::now() + DEADLINE;
        while TcpStream::connect(("127.0.0.1", old)).is_err() {
            let errors = fs::read_to_string(folder.join("errors")).unwrap_or_default();
            assert!(Instant::now() < deadline, "nginx never listens: {errors}");
            thread::sleep(Duration::from_millis(5));
        }
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM, so that it ends its workers.
        let id = self.0.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().ok();
        self.0.wait().ok();
    }
}

fn caller(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/callers")
        .join(name);
    path.to_string_lossy().into_owned()
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    let output = output.expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}
