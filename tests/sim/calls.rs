//! Scenarios: which system calls the loop makes, and which it does not.

use core::time::Duration;

use coldstart::server::ServerEvent;
use coldstart::sim::Scenario;

use super::get;

#[test]
fn a_short_read_or_write_is_not_repeated_before_the_next_event() {
    let mut sim = Scenario::default();
    let peer = sim.connect_with_room(1_000);
    sim.send(peer, get("/1/large/20000"));
    sim.run();
    assert_eq!(sim.calls(), 3, "receive, send and watch");
    sim.read_some(peer, 1_000);
    sim.run();
    assert_eq!(sim.calls(), 4, "and send");
}

#[test]
fn a_first_request_costs_three_calls_and_a_later_batch_two() {
    let mut sim = Scenario::default();
    let peer = sim.connect();
    sim.send(peer, get("/1/echo"));
    assert_eq!(sim.read(peer).statuses(), [200]);
    assert_eq!(sim.calls(), 3, "receive, send and watch");
    let requests: Vec<String> = (2..9).map(|id| get(&format!("/{id}/echo"))).collect();
    sim.send(peer, requests.concat());
    sim.run();
    assert_eq!(
        sim.calls(),
        5,
        "a pipelined batch is one receive and one send"
    );
}

#[test]
fn a_response_of_many_batches_continues_although_the_socket_is_never_full() {
    let mut sim = Scenario::default();
    let peer = sim.connect_with_room(4 * 1024 * 1024);
    sim.send(peer, get("/1/file/700000/700000"));
    let received = sim.read(peer);
    assert!(
        received.text().len() > 700_000,
        "{} bytes",
        received.text().len()
    );
}

#[test]
fn a_reset_connection_leaves_no_deadline() {
    let mut sim = Scenario::default();
    let slow = sim.connect();
    let blocked = sim.connect_with_room(10);
    sim.send(slow, "GET / HT");
    sim.send(blocked, get("/1/large/9000"));
    sim.run();
    assert_eq!(sim.sleep(), Some(Duration::from_secs(30)));
    sim.reset(slow);
    sim.reset(blocked);
    sim.run();
    assert_eq!(sim.sleep(), None);
}

#[test]
fn a_lingering_connection_does_not_count_as_busy_when_the_server_stops() {
    let mut sim = Scenario::default();
    let peer = sim.connect();
    sim.send(peer, "nonsense\r\n\r\n");
    sim.run();
    sim.stop();
    sim.wait(Duration::from_secs(2));
    assert!(sim.is_stopped());
    let reported = sim.events();
    assert!(reported.contains(&ServerEvent::Draining(0)), "{reported:?}");
    assert!(reported.contains(&ServerEvent::Stopped(0)), "{reported:?}");
}
