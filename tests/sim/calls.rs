//! Worlds by hand: what the loop asks of the kernel, and what it does not.

use core::time::Duration;

use coldstart::sim::Scenario;

use super::ask;

#[test]
fn a_short_read_and_a_short_write_are_not_asked_about_again() {
    let mut world = Scenario::default();
    let peer = world.connect_with_room(1_000);
    world.send(peer, ask("/1/large/20000"));
    world.run();
    assert_eq!(world.calls(), 3, "receive, send and watch");
    world.read_some(peer, 1_000);
    world.run();
    assert_eq!(world.calls(), 4, "and send");
}

#[test]
fn a_request_that_comes_with_its_connection_costs_three_calls_and_the_next_one_two() {
    let mut world = Scenario::default();
    let peer = world.connect();
    world.send(peer, ask("/1/echo"));
    assert_eq!(world.read(peer).statuses(), [200]);
    assert_eq!(world.calls(), 3, "receive, send and watch");
    let requests: Vec<String> = (2..9).map(|id| ask(&format!("/{id}/echo"))).collect();
    world.send(peer, requests.concat());
    world.run();
    assert_eq!(
        world.calls(),
        5,
        "a pipelined batch is one receive and one send"
    );
}

#[test]
fn an_answer_of_many_batches_goes_on_although_the_socket_is_never_full() {
    let mut world = Scenario::default();
    let peer = world.connect_with_room(4 * 1024 * 1024);
    world.send(peer, ask("/1/file/700000/700000"));
    let heard = world.read(peer);
    assert!(heard.text().len() > 700_000, "{} bytes", heard.text().len());
}

#[test]
fn nobody_who_has_gone_leaves_a_deadline_behind() {
    let mut world = Scenario::default();
    let slow = world.connect();
    let blocked = world.connect_with_room(10);
    world.send(slow, "GET / HT");
    world.send(blocked, ask("/1/large/9000"));
    world.run();
    assert_eq!(world.sleep(), Some(Duration::from_secs(30)));
    world.reset(slow);
    world.reset(blocked);
    world.run();
    assert_eq!(world.sleep(), None);
}

#[test]
fn a_connection_that_only_lingers_does_not_count_as_busy_when_the_server_stops() {
    let mut world = Scenario::default();
    let peer = world.connect();
    world.send(peer, "nonsense\r\n\r\n");
    world.run();
    world.stop();
    world.wait(Duration::from_secs(2));
    assert!(world.is_stopped());
    let reported = world.events();
    assert!(
        reported.contains(&coldstart::server::ServerEvent::Draining(0)),
        "{reported:?}"
    );
    assert!(
        reported.contains(&coldstart::server::ServerEvent::Stopped(0)),
        "{reported:?}"
    );
}
