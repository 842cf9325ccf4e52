//! Scenarios: what a handler may do, and how the loop reacts.

use coldstart::server::ServerEvent;
use coldstart::sim::Scenario;

use super::{SECOND, get, post};

#[test]
fn an_upload_that_panics_at_its_end_gets_a_500_and_the_connection_stays_open() {
    let mut sim = Scenario::default();
    let peer = sim.connect();
    sim.send(peer, post("/1/panic-at-end", "", "hello") + &get("/2/echo"));
    assert_eq!(sim.read(peer).statuses(), [500, 200]);
    assert_eq!(sim.events(), [ServerEvent::HandlerPanicked]);
    assert_eq!(sim.uploads_cut(), 0, "it was notified of its end");
}

#[test]
fn a_promise_may_be_fulfilled_with_another_promise() {
    let mut sim = Scenario::default();
    let peer = sim.connect();
    sim.send(peer, get("/1/promised-promise") + &get("/2/echo"));
    assert_eq!(sim.read(peer).text(), "");
    sim.wait(SECOND);
    assert_eq!(sim.read(peer).statuses(), [200, 200]);
}

#[test]
fn fields_that_only_the_server_may_set_are_left_out_and_reported() {
    let mut sim = Scenario::default();
    let peer = sim.connect();
    sim.send(peer, get("/1/server-fields"));
    let received = sim.read(peer);
    assert_eq!(received.text().matches("Content-Length").count(), 1);
    assert!(
        received.text().contains("Content-Length: 5\r\n"),
        "{received:?}"
    );
    assert!(!received.text().contains("keep-alive"), "{received:?}");
    assert_eq!(sim.events(), [ServerEvent::FieldsLeftOut(2)]);
}

#[test]
fn a_file_that_cannot_be_read_cuts_its_response_and_is_reported() {
    let mut sim = Scenario::default();
    let peer = sim.connect();
    sim.send(peer, get("/1/file-unreadable/9") + &get("/2/echo"));
    let received = sim.read(peer);
    assert_eq!(received.statuses(), [200]);
    assert!(
        received.text().contains("Content-Length: 9\r\n"),
        "{received:?}"
    );
    assert!(received.text().ends_with("\r\n\r\n") && !received.is_open());
    assert_eq!(sim.events(), [ServerEvent::BodyLengthWrong]);
}

#[test]
fn an_upgrade_that_was_not_offered_or_has_a_body_gets_an_http_response() {
    let mut sim = Scenario::default();
    let peer = sim.connect();
    sim.send(peer, get("/1/upgrade"));
    assert_eq!(sim.read(peer).statuses(), [200]);
    let offer = "Connection: Upgrade\r\nUpgrade: made-up\r\n";
    sim.send(peer, post("/2/upgrade", offer, "hello"));
    let received = sim.read(peer);
    assert_eq!(received.statuses(), [200]);
    assert!(received.text().ends_with("\r\n\r\nhello"), "{received:?}");
    assert!(received.is_open());
}

#[test]
fn an_empty_line_before_a_request_is_skipped_however_it_is_cut() {
    let mut sim = Scenario::default();
    let peer = sim.connect();
    for piece in ["\r", "\n", "GET /1/echo HTTP/1.1\r\nHost: a\r\n\r\n"] {
        sim.send(peer, piece);
        sim.run();
    }
    assert_eq!(sim.read(peer).statuses(), [200]);
    sim.send(
        peer,
        format!("\r\n{}\r\n{}", get("/2/echo"), get("/3/echo")),
    );
    assert_eq!(sim.read(peer).statuses(), [200, 200]);
}

#[test]
fn a_burst_of_connections_leaves_no_session_and_no_deadline() {
    let mut sim = Scenario::default();
    let peers: Vec<_> = (0..300).map(|_| sim.connect()).collect();
    for peer in &peers {
        sim.send(*peer, "GET / HT");
    }
    sim.run();
    assert_eq!(sim.sessions().0, 300);
    for peer in peers {
        sim.close(peer);
    }
    sim.run();
    assert_eq!(sim.sessions(), (0, 0));
    assert_eq!(sim.sleep(), None, "no deadline is left");
    let late = sim.connect();
    sim.send(late, "GET /1/ec");
    sim.run();
    assert!(
        sim.sleep().is_some(),
        "the next connection has a deadline of its own"
    );
    sim.send(late, "ho HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(sim.read(late).statuses(), [200]);
}

#[test]
fn a_stream_that_filled_its_channel_arrives_complete() {
    let mut sim = Scenario::default();
    let peer = sim.connect_with_room(100);
    sim.send(peer, get("/1/stream/12/30000/400000/0"));
    sim.wait(2 * SECOND);
    let received = sim.read(peer);
    assert_eq!(received.text().matches("7530\r\n").count(), 12);
    assert!(received.text().ends_with("\r\n0\r\n\r\n") && received.is_open());
}

#[test]
fn an_upload_that_pauses_on_bytes_that_came_before_the_deadline_is_not_timed_out() {
    let mut sim = Scenario::default();
    let peer = sim.connect();
    let request = post("/1/pause/500", "", "hello");
    let (head, body) = request.split_at(request.len() - 5);
    sim.send(peer, head);
    sim.run();
    sim.freeze(300 * SECOND);
    sim.send(peer, body);
    for _ in 0..2 {
        sim.interrupt();
        sim.turn();
    }
    sim.wait(SECOND);
    assert_eq!(sim.read(peer).statuses(), [200]);
}
