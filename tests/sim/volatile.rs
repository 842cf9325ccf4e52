//! Scenarios: values of the user's that panic when they are dropped.
//!
//! `/1/volatile/3/1`: the first number says where they are (`sim/volatile_plan.rs`), the second one how often the code waits before it
//! ends.

use coldstart::sim::Scenario;

use super::{SECOND, get, post};

/// The places, in the order of their numbers.
const PLACES: usize = 19;

const BODY: &str = "hello";

fn request(id: usize, place: usize, waits: usize) -> String {
    let path = format!("/{id}/volatile/{place}/{waits}");
    match place {
        // The body comes later.
        13..=16 => post(&path, "", BODY).replace(BODY, ""),
        17 | 18 => get(&path).replace(
            "Host: a\r\n",
            "Host: a\r\nConnection: Upgrade\r\nUpgrade: made-up\r\n",
        ),
        _ => get(&path),
    }
}

/// What happens to the peer while its handler waits.
#[derive(Clone, Copy, Debug)]
enum Then {
    Stay,
    Reset,
    HalfClose,
    Stop,
}

#[test]
fn a_panic_in_a_drop_ends_no_more_than_its_own_connection_and_nothing_is_left() {
    for place in 0..PLACES {
        for (waits, then) in [
            (0, Then::Stay),
            (1, Then::Stay),
            (999, Then::Reset),
            (2, Then::HalfClose),
            (999, Then::Stop),
        ] {
            let what = format!("place {place}, {waits} waits, {then:?}");
            let mut sim = Scenario::default();
            let other = sim.connect();
            sim.send(other, get("/1/future/3/0/0"));
            let peer = sim.connect();
            sim.send(peer, request(2, place, waits));
            sim.wait(SECOND / 50);
            match then {
                Then::Stay if (13..=16).contains(&place) => sim.send(peer, BODY),
                Then::Stay => {}
                Then::Reset => sim.reset(peer),
                Then::HalfClose => sim.half_close(peer),
                Then::Stop => sim.stop(),
            }
            sim.wait(SECOND);
            drop(sim.read(peer));
            assert_eq!(sim.read(other).statuses(), [200], "{what}");
            sim.reset(peer);
            sim.wait(60 * SECOND);
            assert_eq!((sim.futures(), sim.tasks()), (0, 0), "{what}");
            assert_eq!(sim.volatile(), 0, "{what}");
            let sessions = if matches!(then, Then::Stop) { 0 } else { 1 };
            assert_eq!(sim.sessions(), (sessions, 0), "{what}");
        }
    }
}

#[test]
fn a_response_that_was_sent_is_whole_although_its_memory_panics_when_it_is_freed() {
    let mut sim = Scenario::default();
    let peer = sim.connect();
    sim.send(peer, request(1, 6, 0));
    let received = sim.read(peer);
    assert_eq!(received.statuses(), [200]);
    assert!(received.text().ends_with(&"v".repeat(20_000)));
    sim.send(peer, get("/2/echo"));
    assert_eq!(sim.read(peer).statuses(), [200]);
}
