//! Scenarios: handlers that return futures.
//!
//! `/1/future/2/0/0` waits twice and is woken from elsewhere; the second number says by what (1: by itself, 2: several
//! times, 3: not before the liveness phase, 4: a timer, 5: ticks, 6: a task with a timer), the last one how it ends (1: with a
//! panic, 2: with a panic while it is dropped).

use coldstart::server::ServerEvent;
use coldstart::sim::Scenario;

use super::{SECOND, get, post};

#[test]
fn a_future_that_is_ready_costs_no_turn_and_no_memory() {
    let mut sim = Scenario::default();
    let peer = sim.connect();
    sim.send(peer, get("/1/echo"));
    assert_eq!(sim.read(peer).statuses(), [200]);
    let (turns, calls) = (sim.turns(), sim.calls());
    sim.send(peer, get("/2/echo"));
    assert_eq!(sim.read(peer).statuses(), [200]);
    let value = (sim.turns() - turns, sim.calls() - calls);
    let (turns, calls) = (sim.turns(), sim.calls());
    sim.send(peer, get("/3/future/0/0/0"));
    assert_eq!(sim.read(peer).statuses(), [200]);
    assert_eq!((sim.turns() - turns, sim.calls() - calls), value);
    assert_eq!((sim.sessions(), sim.futures()), ((1, 0), 0));
}

#[test]
fn a_future_is_polled_until_it_is_ready_and_the_next_request_waits_for_it() {
    for wake in 0..3 {
        let mut sim = Scenario::default();
        let peer = sim.connect();
        let path = format!("/1/future/3/{wake}/0");
        sim.send(peer, get(&path) + &post("/2/echo", "", "hello"));
        sim.turn();
        assert_eq!(sim.futures(), 1, "{path}");
        sim.wait(SECOND);
        let received = sim.read(peer);
        assert_eq!(received.statuses(), [200, 200], "{path}");
        assert!(received.text().ends_with("hello"), "{path}");
        assert_eq!((sim.sessions(), sim.futures()), ((1, 0), 0), "{path}");
        assert_eq!(sim.sleep(), None, "{path}");
    }
}

#[test]
fn a_future_that_wakes_itself_is_polled_once_a_turn_and_without_a_system_call() {
    let mut sim = Scenario::default();
    let busy = sim.connect();
    let other = sim.connect();
    sim.send(busy, get("/1/future/300/1/0"));
    sim.turn();
    for number in 2..100 {
        sim.send(other, get(&format!("/{number}/echo")));
        let turns = sim.turns();
        sim.turn();
        assert_eq!(sim.read_some(other, usize::MAX).statuses(), [200]);
        assert_eq!(sim.turns(), turns + 1);
        assert_eq!(sim.sleep(), Some(core::time::Duration::ZERO));
    }
    let calls = sim.calls();
    for _ in 0..100 {
        sim.turn();
    }
    assert_eq!((sim.futures(), sim.calls(), sim.wakes()), (1, calls, 0));
    assert_eq!(sim.read(busy).statuses(), [200]);
}

#[test]
fn events_do_not_raise_the_share_of_a_future_that_wakes_itself() {
    let mut sim = Scenario::default();
    let peer = sim.connect();
    sim.send(peer, get("/1/future/900/1/0"));
    sim.turn();
    // Each event drives the session once more. The simulation bounds how often a turn may drive it.
    for byte in get("/2/echo").bytes().cycle().take(100) {
        sim.send(peer, [byte]);
        sim.turn();
    }
    assert_eq!(sim.futures(), 1);
}

#[test]
fn a_panic_in_a_poll_or_in_the_drop_of_a_future_is_a_500_and_the_connection_stays_open() {
    for waits in [0, 1, 2] {
        for end in [1, 2] {
            let mut sim = Scenario::default();
            let peer = sim.connect();
            let path = format!("/1/future/{waits}/0/{end}");
            sim.send(peer, get(&path) + &get("/2/echo"));
            sim.wait(SECOND);
            assert_eq!(sim.read(peer).statuses(), [500, 200], "{path}");
            assert_eq!(sim.events(), [ServerEvent::HandlerPanicked], "{path}");
            assert_eq!(sim.futures(), 0, "{path}");
        }
    }
}

#[test]
fn a_future_is_dropped_when_its_peer_leaves_at_any_step() {
    for wake in [0, 2, 3] {
        for passed in [0, 10, 25, 35, 65] {
            let mut sim = Scenario::default();
            let peer = sim.connect();
            sim.send(peer, get(&format!("/1/future/9/{wake}/0")));
            sim.wait(SECOND / 1000 * passed);
            assert_eq!(sim.futures(), 1);
            sim.reset(peer);
            sim.run();
            assert_eq!((sim.sessions(), sim.futures()), ((0, 0), 0));
            // Wakes of a future that is gone, and of the session that has its slot now, do nothing.
            let next = sim.connect();
            sim.send(next, get("/2/future/1/3/0"));
            sim.wait(2 * SECOND);
            assert_eq!((sim.sessions(), sim.futures()), ((1, 1), 1));
        }
    }
}

#[test]
fn a_half_close_does_not_drop_a_future() {
    let mut sim = Scenario::default();
    let peer = sim.connect();
    sim.send(peer, get("/1/future/3/0/0"));
    sim.half_close(peer);
    sim.run();
    assert_eq!(sim.futures(), 1);
    sim.wait(SECOND);
    assert_eq!(sim.read(peer).statuses(), [200]);
    assert_eq!((sim.sessions(), sim.futures()), ((0, 0), 0));
}

#[test]
fn a_future_that_is_ready_within_the_drain_is_awaited_and_one_that_never_ends_is_dropped() {
    let mut sim = Scenario::default();
    let (soon, never) = (sim.connect(), sim.connect());
    sim.send(soon, get("/1/future/3/0/0"));
    sim.send(never, get("/2/future/1/3/0"));
    sim.run();
    sim.stop();
    sim.wait(SECOND);
    assert_eq!(sim.read(soon).statuses(), [200]);
    assert_eq!((sim.is_stopped(), sim.futures()), (false, 1));
    sim.wait(60 * SECOND);
    assert_eq!((sim.is_stopped(), sim.futures()), (true, 0));
    assert!(sim.events().contains(&ServerEvent::Stopped(1)));
}

#[test]
fn timers_ticks_and_tasks_end_a_wait_and_then_nothing_is_armed() {
    for wake in [4, 5, 6] {
        for id in 1..5 {
            let mut sim = Scenario::default();
            let peer = sim.connect();
            let path = format!("/{id}/future/4/{wake}/0");
            sim.send(peer, get(&path));
            sim.turn();
            assert_eq!(sim.futures(), 1, "{path}");
            sim.wait(3 * SECOND);
            assert_eq!(sim.read(peer).statuses(), [200], "{path}");
            assert_eq!((sim.futures(), sim.tasks()), (0, 0), "{path}");
            assert_eq!((sim.sleep(), sim.wakes()), (None, 0), "{path}");
        }
    }
}

#[test]
fn a_timer_is_gone_when_its_future_is_dropped() {
    let mut sim = Scenario::default();
    let peer = sim.connect();
    // Its first wait takes 700 milliseconds.
    sim.send(peer, get("/2/future/1/4/0"));
    sim.run();
    let millis = SECOND / 1000;
    assert_eq!(sim.sleep(), Some(701 * millis));
    sim.wait(100 * millis);
    sim.reset(peer);
    sim.run();
    assert_eq!((sim.sleep(), sim.futures()), (None, 0));
}

#[test]
fn a_timer_that_passed_while_the_process_was_frozen_fires_once() {
    for wake in [4, 5, 6] {
        let mut sim = Scenario::default();
        let peer = sim.connect();
        let path = format!("/1/future/3/{wake}/0");
        sim.send(peer, get(&path));
        sim.run();
        // The simulated future checks that it is woken once for each.
        for _ in 0..3 {
            sim.freeze(600 * SECOND);
            sim.run();
        }
        sim.wait(SECOND);
        assert_eq!(sim.read(peer).statuses(), [200], "{path}");
        assert_eq!((sim.futures(), sim.tasks(), sim.sleep()), (0, 0, None));
    }
}

#[test]
fn a_task_outlives_its_handle_and_a_stop_waits_for_it() {
    let millis = SECOND / 1000;
    for stopped_after in [0, 100, 699, 700, 900] {
        let mut sim = Scenario::default();
        let peer = sim.connect();
        // A task of 700 milliseconds.
        sim.send(peer, get("/2/future/1/6/0"));
        sim.run();
        sim.reset(peer);
        sim.wait(stopped_after * millis);
        assert_eq!(sim.futures(), 0);
        sim.stop();
        sim.run();
        assert_eq!(sim.is_stopped(), sim.tasks() == 0, "{stopped_after}");
        sim.wait(SECOND);
        assert_eq!((sim.is_stopped(), sim.tasks()), (true, 0));
    }
}
