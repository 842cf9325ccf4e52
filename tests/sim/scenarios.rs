//! Worlds by hand: what went wrong once, here or in other servers, does not go wrong again.

use core::time::Duration;

use coldstart::Limits;
use coldstart::sim::{Heard, Scenario};

const SECOND: Duration = Duration::from_secs(1);

fn ask(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn post(path: &str, fields: &str, body: &str) -> String {
    let len = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: {len}\r\n\r\n{body}")
}

#[test]
fn an_upload_that_pauses_behind_its_last_byte_is_answered_when_it_resumes() {
    let mut world = Scenario::default();
    let peer = world.connect();
    world.send(peer, post("/1/pause/500", "", "hello"));
    assert_eq!(world.read(peer).text(), "");
    world.wait(SECOND);
    assert_eq!(world.read(peer).statuses(), [200]);
    assert_eq!(world.sleep(), None);
}

#[test]
fn the_last_request_of_a_turn_hears_100_continue_too() {
    let mut world = Scenario::new(Limits::new().pipeline_max(1));
    let peer = world.connect();
    let request = post("/1/echo", "Expect: 100-continue\r\n", "hello");
    let (head, body) = request.split_at(request.len() - 5);
    world.send(peer, head);
    assert_eq!(world.read(peer).statuses(), [100]);
    world.send(peer, body);
    assert_eq!(world.read(peer).statuses(), [200]);
}

#[test]
fn no_100_continue_follows_a_refusal_that_is_still_to_come() {
    let mut world = Scenario::default();
    let peer = world.connect();
    let request = post("/1/refuse-later/90000", "Expect: 100-continue\r\n", "hello");
    world.send(peer, &request[..request.len() - 5]);
    world.wait(89 * SECOND);
    assert_eq!(
        world.read(peer).text(),
        "",
        "neither 100 nor 408: the handler owes the answer"
    );
    world.wait(2 * SECOND);
    let heard = world.read(peer);
    assert_eq!(heard.statuses(), [403]);
    assert!(!heard.is_open(), "the peer may never send the body");
}

#[test]
fn a_bad_chunk_behind_a_promised_early_answer_brings_no_second_answer() {
    let mut world = Scenario::default();
    let peer = world.connect();
    let head = "POST /1/refuse-later/100 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    world.send(peer, format!("{head}3\r\nabc\r\n"));
    world.run();
    world.send(peer, "xyz\r\n");
    world.wait(SECOND);
    let heard = world.read(peer);
    assert_eq!(heard.statuses(), [403]);
    assert!(!heard.is_open());
}

#[test]
fn an_empty_part_of_a_file_is_an_answer_like_any_other() {
    let mut world = Scenario::default();
    let peer = world.connect();
    world.send(peer, ask("/1/file/0/0") + &ask("/2/promise/10/0"));
    world.wait(SECOND);
    let heard = world.read(peer);
    assert_eq!(heard.statuses(), [200, 200]);
    assert!(heard.is_open());
    assert_eq!(world.events(), [], "no handler is blamed");
}
