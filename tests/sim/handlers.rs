//! Worlds by hand: what a handler may do, and what the loop makes of it.

use coldstart::server::ServerEvent;
use coldstart::sim::Scenario;

use super::{SECOND, ask, post};

#[test]
fn an_upload_that_panics_at_its_end_is_answered_and_the_connection_goes_on() {
    let mut world = Scenario::default();
    let peer = world.connect();
    world.send(peer, post("/1/panic-at-end", "", "hello") + &ask("/2/echo"));
    assert_eq!(world.read(peer).statuses(), [500, 200]);
    assert_eq!(world.events(), [ServerEvent::HandlerPanicked]);
    assert_eq!(world.uploads_cut(), 0, "it has heard of its end");
}

#[test]
fn a_promise_may_be_kept_with_a_promise() {
    let mut world = Scenario::default();
    let peer = world.connect();
    world.send(peer, ask("/1/promised-promise") + &ask("/2/echo"));
    assert_eq!(world.read(peer).text(), "");
    world.wait(SECOND);
    assert_eq!(world.read(peer).statuses(), [200, 200]);
}

#[test]
fn fields_that_are_the_server_s_to_set_are_left_out_and_the_operator_hears_of_it() {
    let mut world = Scenario::default();
    let peer = world.connect();
    world.send(peer, ask("/1/server-fields"));
    let heard = world.read(peer);
    assert_eq!(heard.text().matches("Content-Length").count(), 1);
    assert!(heard.text().contains("Content-Length: 5\r\n"), "{heard:?}");
    assert!(!heard.text().contains("keep-alive"), "{heard:?}");
    assert_eq!(world.events(), [ServerEvent::FieldsLeftOut(2)]);
}

#[test]
fn a_file_that_cannot_be_read_cuts_its_answer_and_the_operator_hears_of_it() {
    let mut world = Scenario::default();
    let peer = world.connect();
    world.send(peer, ask("/1/file-unreadable/9") + &ask("/2/echo"));
    let heard = world.read(peer);
    assert_eq!(heard.statuses(), [200]);
    assert!(heard.text().contains("Content-Length: 9\r\n"), "{heard:?}");
    assert!(heard.text().ends_with("\r\n\r\n") && !heard.is_open());
    assert_eq!(world.events(), [ServerEvent::BodyLengthWrong]);
}

#[test]
fn an_upgrade_that_was_not_offered_or_has_a_body_is_answered_in_http() {
    let mut world = Scenario::default();
    let peer = world.connect();
    world.send(peer, ask("/1/upgrade"));
    assert_eq!(world.read(peer).statuses(), [200]);
    let offer = "Connection: Upgrade\r\nUpgrade: made-up\r\n";
    world.send(peer, post("/2/upgrade", offer, "hello"));
    let heard = world.read(peer);
    assert_eq!(heard.statuses(), [200]);
    assert!(heard.text().ends_with("\r\n\r\nhello"), "{heard:?}");
    assert!(heard.is_open());
}

#[test]
fn an_empty_line_before_a_request_is_passed_over_in_whatever_pieces_it_comes() {
    let mut world = Scenario::default();
    let peer = world.connect();
    for piece in ["\r", "\n", "GET /1/echo HTTP/1.1\r\nHost: a\r\n\r\n"] {
        world.send(peer, piece);
        world.run();
    }
    assert_eq!(world.read(peer).statuses(), [200]);
    world.send(
        peer,
        format!("\r\n{}\r\n{}", ask("/2/echo"), ask("/3/echo")),
    );
    assert_eq!(world.read(peer).statuses(), [200, 200]);
}

#[test]
fn a_burst_that_is_over_leaves_nothing_behind() {
    let mut world = Scenario::default();
    let peers: Vec<_> = (0..300).map(|_| world.connect()).collect();
    for peer in &peers {
        world.send(*peer, "GET / HT");
    }
    world.run();
    assert_eq!(world.sessions().0, 300);
    for peer in peers {
        world.close(peer);
    }
    world.run();
    assert_eq!(world.sessions(), (0, 0));
    assert_eq!(world.sleep(), None, "no deadline is left");
    let late = world.connect();
    world.send(late, "GET /1/ec");
    world.run();
    assert!(world.sleep().is_some(), "the next one has its own again");
    world.send(late, "ho HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(world.read(late).statuses(), [200]);
}

#[test]
fn a_channel_that_filled_while_its_peer_did_not_read_arrives_whole() {
    let mut world = Scenario::default();
    let peer = world.connect_with_room(100);
    world.send(peer, ask("/1/stream/12/30000/400000/0"));
    world.wait(2 * SECOND);
    let heard = world.read(peer);
    assert_eq!(heard.text().matches("7530\r\n").count(), 12);
    assert!(heard.text().ends_with("\r\n0\r\n\r\n") && heard.is_open());
}

#[test]
fn an_upload_that_pauses_over_what_waited_at_the_deadline_is_not_timed_out() {
    let mut world = Scenario::default();
    let peer = world.connect();
    let request = post("/1/pause/500", "", "hello");
    let (head, body) = request.split_at(request.len() - 5);
    world.send(peer, head);
    world.run();
    world.freeze(300 * SECOND);
    world.send(peer, body);
    for _ in 0..2 {
        world.interrupt();
        world.turn();
    }
    world.wait(SECOND);
    assert_eq!(world.read(peer).statuses(), [200]);
}
