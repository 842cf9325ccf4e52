//! The files example: uploads of any size in little memory, names that lead nowhere else, and what a cut upload leaves.

use std::io::Write as _;

use crate::loopback::{Client, HttpResponse, eventually, get, pattern};
use crate::{resident_peak, start};

const BOUNDARY: &str = "a-boundary";
/// The program's own pages included; in KiB.
const RESIDENT_MAX: u64 = 12 * 1024;

fn part(name: &str) -> String {
    let disposition = format!("form-data; name=\"file\"; filename=\"{name}\"");
    format!("--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n\r\n")
}

fn head(content_type: &str, len: usize) -> String {
    format!(
        "POST /files HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\nContent-Length: {len}\r\n\r\n"
    )
}

/// Sends an upload with these parts.
fn upload(client: &mut Client, parts: &[(&str, &[u8])]) -> HttpResponse {
    let mut body = Vec::new();
    for (name, content) in parts {
        body.extend([part(name).as_bytes(), content, b"\r\n"].concat());
    }
    body.extend(format!("--{BOUNDARY}--\r\n").bytes());
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    client.request([head(&content_type, body.len()).as_bytes(), &body].concat())
}

#[test]
fn what_was_uploaded_is_listed_and_downloaded() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut server, address) = start("files", &[folder.path().to_str().expect("UTF-8")]);
    let mut client = Client::connect(address);
    assert_eq!(client.request(get("/files")).text(), "[]");
    let film = pattern(300_000);
    let response = upload(&mut client, &[("a b.txt", b"one"), ("film.mp4", &film)]);
    assert_eq!(
        (response.status, response.text()),
        (201, r#"["a b.txt","film.mp4"]"#.to_owned())
    );
    let listed = client.request(get("/files")).text();
    let mut names: Vec<String> = serde_json::from_str(&listed).expect("JSON");
    names.sort();
    assert_eq!(names, ["a b.txt", "film.mp4"]);
    let text = client.request(get("/files/a%20b.txt"));
    assert_eq!((text.status, text.text()), (200, "one".to_owned()));
    let film_again = client.request(get("/files/film.mp4"));
    assert_eq!(film_again.field("content-type"), Some("video/mp4"));
    assert!(film_again.body == film, "another film");
    // A second upload of a name takes the place of the first.
    assert_eq!(upload(&mut client, &[("a b.txt", b"two")]).status, 201);
    assert_eq!(client.request(get("/files/a%20b.txt")).text(), "two");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn no_name_leads_elsewhere_and_what_is_no_upload_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).expect("a folder");
    let (_server, address) = start("files", &[inner.to_str().expect("UTF-8")]);
    for name in [
        "../up",
        "/tmp/coldstart-up",
        ".hidden",
        "..",
        "",
        "a/b",
        "a\\\\b",
    ] {
        let refused = upload(&mut Client::connect(address), &[(name, b"x")]);
        assert_eq!(refused.status, 422, "{name:?}: {}", refused.text());
    }
    for (content_type, body) in [
        ("text/plain", "x"),
        ("multipart/form-data", "x"),
        (
            "multipart/form-data; boundary=other",
            "--other\r\nno header",
        ),
    ] {
        let request = head(content_type, body.len()) + body;
        let refused = Client::connect(address).request(request);
        assert_eq!(refused.status, 400, "{content_type}");
    }
    // What is wrong with the body itself is said as everywhere.
    let wrong = format!(
        "POST /files HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n\
         Transfer-Encoding: chunked\r\n\r\nno length\r\n"
    );
    let refused = Client::connect(address).request(wrong);
    assert_eq!(
        (refused.status, refused.text()),
        (400, "a chunk is malformed".to_owned())
    );
    assert_eq!(std::fs::read_dir(&inner).expect("a folder").count(), 0);
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("a folder").count(),
        1
    );
}

#[test]
fn an_upload_that_is_cut_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_server, address) = start("files", &[folder.path().to_str().expect("UTF-8")]);
    let files = || std::fs::read_dir(folder.path()).expect("a folder").count();
    let client = Client::connect(address);
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    client.send(head(&content_type, 1_000_000) + &part("cut.bin"));
    client.send(pattern(100_000));
    eventually("a file is being written", || files() == 1);
    let listed = Client::connect(address).request(get("/files")).text();
    assert_eq!(listed, "[]", "it is not shown before it is whole");
    drop(client);
    eventually("it is removed", || files() == 0);
}

#[test]
fn a_gibibyte_is_stored_in_twelve_mebibytes_of_memory() {
    const LEN: usize = 1024 * 1024 * 1024;
    let folder = tempfile::tempdir().expect("a folder");
    let (server, address) = start("files", &[folder.path().to_str().expect("UTF-8")]);
    let mut client = Client::connect(address);
    let (begin, end) = (part("large.bin"), format!("\r\n--{BOUNDARY}--\r\n"));
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    client.send(head(&content_type, begin.len() + LEN + end.len()) + &begin);
    let piece = pattern(1024 * 1024);
    for _ in 0..LEN / piece.len() {
        client.stream().write_all(&piece).expect("it is taken");
    }
    client.send(&end);
    let response = client.response();
    assert_eq!(
        (response.status, response.text()),
        (201, r#"["large.bin"]"#.to_owned())
    );
    let stored = std::fs::metadata(folder.path().join("large.bin")).expect("it is stored");
    assert_eq!(stored.len(), LEN as u64);
    let peak = resident_peak(&server);
    assert!(peak <= RESIDENT_MAX, "{peak} KiB");
}
