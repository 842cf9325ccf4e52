//! Scenarios: bodies that async code writes.

use coldstart::server::ServerEvent;
use coldstart::sim::Scenario;

use super::{SECOND, get, post};

/// `/writer/pieces/length/room/wake/end`; the wake is 0 from elsewhere, 1 its own, 2 several, 3 late, 9 none.
fn path(id: u32, pieces: u32, wake: u32, end: u32) -> String {
    format!("/{id}/writer/{pieces}/100/64000/{wake}/{end}")
}

#[test]
fn pieces_that_are_sent_at_once_go_out_with_the_head_in_one_write() {
    let mut sim = Scenario::default();
    let peer = sim.connect();
    sim.send(peer, get("/1/echo"));
    assert_eq!(sim.read(peer).statuses(), [200]);
    let calls = sim.calls();
    sim.send(peer, get("/2/echo"));
    assert_eq!(sim.read(peer).statuses(), [200]);
    let calls_of_a_value = sim.calls() - calls;
    let calls = sim.calls();
    sim.send(peer, get(&path(3, 9, 9, 0)));
    assert_eq!(sim.read(peer).statuses(), [200]);
    assert_eq!(sim.calls() - calls, calls_of_a_value);
    assert_eq!((sim.futures(), sim.wakes()), (0, 0));
}

#[test]
fn a_writer_that_wakes_itself_needs_no_wake_up_and_lets_others_run() {
    let mut sim = Scenario::default();
    let peer = sim.connect();
    sim.send(peer, get(&path(1, 3, 1, 0)));
    assert_eq!(sim.read(peer).statuses(), [200]);
    assert_eq!((sim.futures(), sim.wakes()), (0, 0));
}

#[test]
fn a_writer_is_dropped_with_its_peer_and_when_the_time_to_drain_is_over() {
    for stops in [false, true] {
        let mut sim = Scenario::default();
        let peer = sim.connect();
        sim.send(peer, get(&path(1, 3, 3, 0)));
        assert_eq!(sim.read(peer).statuses(), [200]);
        assert_eq!(sim.futures(), 1);
        if stops {
            sim.stop();
            sim.wait(60 * SECOND);
            assert!(sim.is_stopped());
        } else {
            sim.reset(peer);
            sim.run();
        }
        assert_eq!((sim.sessions(), sim.futures()), ((0, 0), 0));
    }
}

#[test]
fn no_future_is_made_for_a_response_to_head() {
    let mut sim = Scenario::default();
    let peer = sim.connect();
    sim.send(peer, get(&path(1, 3, 3, 0)).replace("GET", "HEAD"));
    assert!(
        sim.read(peer)
            .text()
            .contains("Transfer-Encoding: chunked\r\n")
    );
    assert_eq!((sim.sessions(), sim.futures()), ((1, 0), 0));
}

#[test]
fn a_writer_that_fails_cuts_its_response() {
    for (end, events) in [
        (5, vec![ServerEvent::BodyLengthWrong]),
        (6, vec![ServerEvent::BodyLengthWrong]),
        (7, vec![]),
        (8, vec![ServerEvent::HandlerPanicked]),
        (9, vec![ServerEvent::HandlerPanicked]),
        (10, vec![]),
    ] {
        for wake in [0, 9] {
            let mut sim = Scenario::default();
            let peer = sim.connect();
            sim.send(peer, get(&path(1, 2, wake, end)) + &get("/2/echo"));
            sim.wait(SECOND);
            let received = sim.read(peer);
            assert_eq!(received.statuses(), [200], "{end}");
            assert!(!received.is_open(), "{end}");
            assert_eq!((sim.events(), sim.futures()), (events.clone(), 0), "{end}");
        }
    }
}

/// The head is out before the handler leaves the body, so it can't say that the connection will end (RFC 9112 §9.6).
#[test]
fn a_pulled_body_that_is_left_ends_the_connection_only_if_its_rest_is_not_short() {
    let body = "b".repeat(100);
    let announced = post("/1/pull-some/3", "", &body);
    let chunked = format!(
        "POST /1/pull-some/3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n{body}\r\n"
    );
    let long = "POST /1/pull-some/3 HTTP/1.1\r\nHost: a\r\nContent-Length: 65640\r\n\r\n"
        .to_owned()
        + &body;
    for (request, persists) in [(announced, true), (chunked, false), (long, false)] {
        let mut sim = Scenario::default();
        let peer = sim.connect();
        sim.send(peer, &request);
        let received = sim.read(peer);
        assert_eq!(received.statuses(), [200], "{request}");
        assert!(
            received.text().ends_with("\r\n\r\n3\r\nbbb\r\n0\r\n\r\n"),
            "{received:?}"
        );
        assert!(!received.text().contains("close"), "{received:?}");
        assert_eq!(received.is_open(), persists, "{request}");
        if persists {
            sim.send(peer, get("/2/echo"));
            assert_eq!(sim.read(peer).statuses(), [200]);
        }
    }
}
