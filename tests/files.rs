//! The files of a folder: what is served and how, and what no path, link or header gets.
#![expect(clippy::expect_used, reason = "what a test cannot set up must fail it")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use coldstart::handler::Files;
use coldstart::testing::TestResponse;
use coldstart::{Router, TestRequest};

/// A folder that is removed afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("coldstart-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }

    fn write(&self, name: &str, text: &str) {
        let place = self.0.join(name);
        fs::create_dir_all(place.parent().expect("a folder")).expect("a folder");
        fs::write(place, text).expect("a file");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn serve(folder: &Folder) -> Router {
    let files = Files::new(folder.0.join("public")).expect("a folder");
    Router::new().files("/static", files.precompressed().cache_control("max-age=60"))
}

fn ask(router: &mut Router, target: &str, fields: &[(&str, &str)]) -> TestResponse {
    let request = TestRequest::get(target);
    let add = |request: TestRequest, (name, value): &(&str, &str)| request.header(name, value);
    fields.iter().fold(request, add).run_handler(router)
}

#[test]
fn a_file_comes_with_its_type_and_its_validators_and_a_known_one_does_not_come_again() {
    let folder = Folder::new("files");
    folder.write("public/a.css", "body {}\n");
    folder.write("public/dir/index.html", "<p>index</p>\n");
    folder.write("public/empty", "");
    folder.write("public/.well-known/x.json", "{}");
    let mut router = serve(&folder);
    let whole = ask(&mut router, "/static/a.css", &[]);
    assert_eq!(whole.status(), 200);
    for (name, value) in [
        ("content-type", "text/css; charset=utf-8"),
        ("accept-ranges", "bytes"),
        ("cache-control", "max-age=60"),
        ("vary", "Accept-Encoding"),
    ] {
        assert_eq!(whole.header(name), Some(value), "{name}");
    }
    let tag = whole.header("etag").expect("a tag").to_owned();
    let date = whole.header("last-modified").expect("a date").to_owned();
    assert_eq!(whole.text(), "body {}\n");
    for known in [("if-none-match", &*tag), ("if-modified-since", &*date)] {
        let known = ask(&mut router, "/static/a.css", &[known]);
        assert_eq!(known.status(), 304);
        assert_eq!(known.header("etag"), Some(&*tag));
        assert_eq!(known.header("content-type"), None);
        assert_eq!(known.text(), "");
    }
    let changed = ask(&mut router, "/static/a.css", &[("if-match", "\"other\"")]);
    assert_eq!(changed.status(), 412);
    let head = TestRequest::new("HEAD", "/static/a.css").run_handler(&mut router);
    assert_eq!(
        (head.status().code(), head.header("etag")),
        (200, Some(&*tag))
    );
    assert_eq!(ask(&mut router, "/static/empty", &[]).text(), "");
    assert_eq!(
        ask(&mut router, "/static/.well-known/x.json", &[]).text(),
        "{}"
    );
    assert_eq!(
        ask(&mut router, "/static/dir/", &[]).text(),
        "<p>index</p>\n"
    );
    let redirected = ask(&mut router, "/static/dir", &[]);
    assert_eq!(redirected.status(), 308);
    assert_eq!(redirected.header("location"), Some("./dir/"));
    folder.write("public/a.css", "body { margin: 0 }\n");
    let again = ask(&mut router, "/static/a.css", &[("if-none-match", &tag)]);
    assert_eq!(
        again.text(),
        "body { margin: 0 }\n",
        "it is another version"
    );
}

#[test]
fn a_range_gets_its_bytes_and_one_that_is_not_there_gets_416() {
    let folder = Folder::new("ranges");
    folder.write("public/digits", "0123456789");
    folder.write("public/empty", "");
    let mut router = serve(&folder);
    for (range, text, place) in [
        ("bytes=0-0", "0", "bytes 0-0/10"),
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
        ("bytes=8-18446744073709551615", "89", "bytes 8-9/10"),
        (
            "bytes=0-99999999999999999999999",
            "0123456789",
            "bytes 0-9/10",
        ),
    ] {
        let part = ask(&mut router, "/static/digits", &[("range", range)]);
        assert_eq!(
            (part.status().code(), part.header("content-range")),
            (206, Some(place))
        );
        assert_eq!(part.text(), text, "{range}");
    }
    for (target, range, place) in [
        ("/static/digits", "bytes=10-", "bytes */10"),
        (
            "/static/digits",
            "bytes=18446744073709551615-",
            "bytes */10",
        ),
        ("/static/empty", "bytes=0-", "bytes */0"),
    ] {
        let none = ask(&mut router, target, &[("range", range)]);
        assert_eq!(
            (none.status().code(), none.header("content-range")),
            (416, Some(place))
        );
    }
    let many = "bytes=".to_owned() + &"0-0,".repeat(1000);
    let whole = ask(&mut router, "/static/digits", &[("range", &many)]);
    assert_eq!(whole.status(), 200, "many ranges cost no more than one");
    let tag = whole.header("etag").expect("a tag").to_owned();
    let resumed = ask(
        &mut router,
        "/static/digits",
        &[("range", "bytes=5-"), ("if-range", &tag)],
    );
    assert_eq!(resumed.text(), "56789");
    let other = [("range", "bytes=5-"), ("if-range", "\"other\"")];
    assert_eq!(
        ask(&mut router, "/static/digits", &other).text(),
        "0123456789"
    );
}

#[test]
fn a_compressed_file_stands_for_another_one_where_its_coding_is_accepted() {
    let folder = Folder::new("variants");
    folder.write("public/a.js", "plain");
    folder.write("public/a.js.gz", "gzip");
    folder.write("public/a.js.br", "brotli");
    fs::create_dir(folder.0.join("public/a.js.zst")).expect("a folder");
    let mut router = serve(&folder);
    let mut tags = Vec::new();
    for (accepted, coding, text) in [
        ("", None, "plain"),
        ("gzip", Some("gzip"), "gzip"),
        ("gzip, br", Some("br"), "brotli"),
        ("zstd", None, "plain"),
        ("br;q=0, gzip;q=0.5", Some("gzip"), "gzip"),
    ] {
        let response = ask(
            &mut router,
            "/static/a.js",
            &[("accept-encoding", accepted)],
        );
        assert_eq!(response.header("content-encoding"), coding, "{accepted}");
        let content_type = response.header("content-type");
        assert_eq!(content_type, Some("text/javascript; charset=utf-8"));
        tags.push(response.header("etag").expect("a tag").to_owned());
        assert_eq!(response.text(), text, "{accepted}");
    }
    assert!(
        tags[0] != tags[1] && tags[1] != tags[2],
        "each has its tag: {tags:?}"
    );
}

#[test]
fn no_path_leads_out_of_the_folder_and_nothing_waits_for_a_fifo() {
    let folder = Folder::new("attacks");
    folder.write("secret", "secret");
    folder.write("public-too/secret", "secret");
    folder.write("public/a", "a");
    folder.write("public/.env", "secret");
    folder.write("public/.git/config", "secret");
    folder.write("public/real/a", "inside");
    let public = folder.0.join("public");
    symlink("../secret", public.join("link")).expect("a link");
    symlink("..", public.join("up")).expect("a link");
    symlink("/etc/passwd", public.join("absolute")).expect("a link");
    symlink("real", public.join("alias")).expect("a link");
    symlink("loop", public.join("loop")).expect("a link");
    let fifo = Command::new("mkfifo").arg(public.join("fifo")).status();
    assert!(fifo.expect("mkfifo").success());
    let _socket = std::os::unix::net::UnixListener::bind(public.join("socket")).expect("a socket");
    let mut router = serve(&folder);
    for target in [
        "/static/../secret",
        "/static/..%2fsecret",
        "/static/%2e%2e/secret",
        "/static/%2e%2e%2fsecret",
        "/static/real/../../secret",
        "/static/..\\secret",
        "/static/../public-too/secret",
        "/static//etc/passwd",
        "/static/%2fetc/passwd",
        "/static/a%00.css",
        "/static/a/",
        "/static/.env",
        "/static/.git/config",
        "/static/link",
        "/static/up/secret",
        "/static/up/public-too/secret",
        "/static/absolute",
        "/static/loop",
        "/static/fifo",
        "/static/socket",
        "/static/none",
        "/static/a/b",
        "/static/",
        &format!("/static/{}", "x".repeat(300)),
        &format!("/static/{}", "x/".repeat(2500)),
    ] {
        let response = ask(&mut router, target, &[]);
        let status = response.status();
        let text = response.text();
        assert!(
            !text.contains("secret") && !text.contains("root:"),
            "{target}"
        );
        assert_eq!(status, 404, "{target}");
    }
    assert_eq!(ask(&mut router, "/static/a", &[]).text(), "a");
    assert_eq!(
        ask(&mut router, "/static/alias/a", &[]).text(),
        "inside",
        "it stays inside"
    );
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let folder = Folder::new("missing");
    folder.write("file", "");
    for name in ["none", "file"] {
        let error = Files::new(folder.0.join(name))
            .expect_err("no folder")
            .to_string();
        assert!(
            error.contains(name) && error.contains("the folder"),
            "{error}"
        );
    }
}
