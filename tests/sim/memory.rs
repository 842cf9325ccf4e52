//! What peers can make the server hold together.

use coldstart::server::{Limits, ServerEvent};
use coldstart::sim::Scenario;

use super::{get, post};

/// Room for one body or response of [`LEN`] bytes, and no second one.
const LIMITS: Limits = Limits::new().memory_max(250_000);
const LEN: usize = 150_000;

#[test]
fn a_body_that_is_announced_counts_before_it_comes_and_the_next_one_gets_503() {
    let mut sim = Scenario::new(LIMITS);
    let body = "a".repeat(LEN);
    let heads = [1, 2, 4].map(|id| {
        let mut request = post(&format!("/{id}/echo"), "Expect: 100-continue\r\n", &body);
        request.truncate(request.len() - body.len());
        request
    });
    let holder = sim.connect();
    sim.send(holder, &heads[0]);
    assert_eq!(sim.read(holder).statuses(), [100]);
    let refused = sim.connect();
    sim.send(refused, &heads[1]);
    let response = sim.read(refused);
    assert_eq!(response.statuses(), [503], "without 100 Continue before it");
    assert!(response.text().contains("\r\nRetry-After: 1\r\n"));
    assert!(!response.is_open());
    let is_report = |event: &ServerEvent| matches!(event, ServerEvent::MemoryExhausted(LEN..));
    assert!(sim.events().iter().any(is_report), "{:?}", sim.events());

    let small = sim.connect();
    sim.send(small, post("/3/echo", "", "hello"));
    assert_eq!(sim.read(small).statuses(), [200], "small requests go on");
    for piece in body.as_bytes().chunks(LEN / 5) {
        sim.send(holder, piece);
        sim.run();
    }
    assert_eq!(sim.read(holder).statuses(), [200]);
    let later = sim.connect();
    sim.send(later, &heads[2]);
    assert_eq!(sim.read(later).statuses(), [100], "there is room again");
}

#[test]
fn a_chunked_body_counts_while_it_grows() {
    let mut sim = Scenario::new(LIMITS);
    let peers = [1, 2].map(|id| {
        let peer = sim.connect();
        let head =
            format!("POST /{id}/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        sim.send(peer, head);
        peer
    });
    let chunk = format!("9c40\r\n{}\r\n", "a".repeat(0x9c40));
    for _ in 0..4 {
        for peer in peers {
            sim.send(peer, &chunk);
            sim.run();
        }
    }
    let statuses = peers.map(|peer| sim.read(peer).statuses());
    assert_eq!(
        statuses,
        [vec![503], vec![]],
        "both would need 320 000 bytes"
    );
}

#[test]
fn a_response_that_is_not_read_counts_and_the_next_one_is_503() {
    let mut sim = Scenario::new(LIMITS);
    let mut status_of = |id: u64, before: Option<_>| {
        if let Some(before) = before {
            sim.reset(before);
            sim.run();
        }
        let peer = sim.connect_with_room(1000);
        sim.send(peer, get(&format!("/{id}/large/{LEN}")));
        sim.run();
        (peer, sim.read_some(peer, 100).text()[9..12].to_owned())
    };
    let (holder, status) = status_of(1, None);
    assert_eq!(status, "200");
    assert_eq!(status_of(2, None).1, "503");
    assert_eq!(status_of(3, Some(holder)).1, "200", "there is room again");
}

/// Heads that do not end, of [`HEAD_LEN`] bytes, of which only one can be kept.
const ONE_HEAD: Limits = Limits::new().memory_max(15_000);
const HEAD_LEN: usize = 9_000;

fn endless_head(id: u64) -> String {
    format!(
        "GET /{id}/echo HTTP/1.1\r\nHost: a\r\nX-A: {}",
        "a".repeat(HEAD_LEN)
    )
}

#[test]
fn a_head_that_cannot_be_kept_gets_503_and_the_shortage_is_reported_once() {
    let mut sim = Scenario::new(ONE_HEAD);
    let holder = sim.connect();
    sim.send(holder, endless_head(1));
    assert!(sim.read(holder).is_open());
    for id in 2..5 {
        let refused = sim.connect();
        sim.send(refused, endless_head(id));
        let response = sim.read(refused);
        assert_eq!(response.statuses(), [503]);
        assert!(!response.is_open());
    }
    let is_report = |event: &&ServerEvent| matches!(event, ServerEvent::MemoryExhausted(_));
    assert_eq!(sim.events().iter().filter(is_report).count(), 1);
    sim.send(holder, "\r\n\r\n");
    assert_eq!(sim.read(holder).statuses(), [200]);
}

#[test]
fn what_follows_a_promised_request_and_cannot_be_kept_ends_the_connection() {
    let mut sim = Scenario::new(ONE_HEAD);
    let holder = sim.connect();
    sim.send(holder, endless_head(1));
    sim.run();
    let peer = sim.connect();
    sim.send(peer, get("/2/promise/500/0") + &endless_head(3));
    let received = sim.read(peer);
    assert_eq!(received.text(), "");
    assert!(!received.is_open());
}

#[test]
fn what_follows_an_upgrade_and_cannot_be_kept_ends_the_connection_without_a_second_response() {
    let mut sim = Scenario::new(ONE_HEAD);
    let peer = sim.connect_with_room(24);
    let offer =
        get("/1/upgrade").replace("Host", "Connection: Upgrade\r\nUpgrade: made-up\r\nHost");
    sim.send(peer, offer + &"u".repeat(60_000));
    let received = sim.read(peer);
    assert!(!received.is_open(), "{received:?}");
    let switch = "HTTP/1.1 101 Switching Protocols\r\n";
    assert!(switch.starts_with(received.text()), "{received:?}");
}
