//! One fault at a time: a scene is played once for each call of it and each fault that the call may have.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::dice::Dice;
use super::faults::{Call, FaultRates};
use super::peer::{Cue, Pace, Peer};
use super::run::{Play, Tracing, words_of};
use super::scribe::{Draft, EXPECT, Framing, Scribe, UPGRADE};
use super::task::{Ending, Task, UploadPlan};
use crate::os::Fault;

type Scene = fn(&mut Dice, &mut u64) -> Vec<Peer>;

/// The scenes by name.
const SCENES: &[(&str, Scene)] = &[
    ("requests", requests),
    ("answers that arrive", arriving_answers),
    ("bodies that arrive", arriving_bodies),
    ("ends", ends),
];

/// Plays every scene without a fault, then with each single fault; gives the number of plays.
///
/// # Errors
///
/// The first play that broke a rule: its scene, the call and the fault, and which rule.
pub fn sweep_single_faults() -> Result<usize, String> {
    let mut plays = 0;
    for (name, scene) in SCENES {
        let calls = play(*scene, None).map_err(|what| format!("{name} without a fault: {what}"))?;
        plays += 1;
        for (number, call) in calls.iter().enumerate() {
            for fault in call.faults() {
                play(*scene, Some((number, *fault)))
                    .map_err(|what| format!("{name}, call {number}, {call:?} {fault:?}: {what}"))?;
                plays += 1;
            }
        }
    }
    Ok(plays)
}

/// The calls of the play, in order.
fn play(scene: Scene, injection: Option<(usize, Fault)>) -> Result<Vec<Call>, String> {
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut dice = Dice::new(7);
        let mut ids = 0;
        let peers = scene(&mut dice, &mut ids);
        let mut play = Play::staged(dice, FaultRates::CALM, Tracing::On);
        play.enter(peers, ids);
        play.inject(injection);
        let outcome = play.run_to_the_end();
        outcome.map_err(|what| format!("{}\n{what}", play.take_trace().join("\n")))?;
        Ok(play.calls())
    }));
    played.unwrap_or_else(|panic| Err(words_of(&*panic)))
}

/// A peer that sends these requests one behind the other, waits for all answers and stays.
fn peer(dice: &mut Dice, ids: &mut u64, drafts: &[Draft]) -> Peer {
    let mut scribe = Scribe::new("scripted", dice, ids);
    for draft in drafts {
        let (head, body) = scribe.request(draft);
        scribe.send(head);
        scribe.send(body);
    }
    scribe.await_all();
    scribe.peer
}

fn requests(dice: &mut Dice, ids: &mut u64) -> Vec<Peer> {
    let chunked = Draft {
        framing: Framing::Chunked,
        ..Draft::new(Task::Echo, 70)
    };
    let get = Draft::new(Task::Echo, 0);
    let head = Draft {
        method: "HEAD",
        ..Draft::new(Task::Large(5000), 0)
    };
    let mut slow = peer(dice, ids, &[Draft::new(Task::Large(9000), 0), get]);
    slow.outbound_len_max = 4000;
    slow.pace = Pace::Slow(3000, 100);
    vec![
        peer(dice, ids, &[get, Draft::new(Task::Echo, 9), chunked, head]),
        slow,
        peer(dice, ids, &[get, Draft::new(Task::Farewell, 0)]),
    ]
}

fn arriving_answers(dice: &mut Dice, ids: &mut u64) -> Vec<Peer> {
    let get = |task| Draft::new(task, 0);
    let mut narrow = peer(
        dice,
        ids,
        &[
            get(Task::File(9000, 9000)),
            get(Task::Stream(3, 2000, 99, Ending::Kept)),
        ],
    );
    narrow.outbound_len_max = 2500;
    vec![
        narrow,
        peer(
            dice,
            ids,
            &[
                get(Task::Promise(50, Ending::Kept)),
                get(Task::PromisedStream(99)),
                get(Task::Promise(50, Ending::Dropped)),
            ],
        ),
        peer(dice, ids, &[get(Task::Stream(2, 10, 99, Ending::Dropped))]),
    ]
}

fn arriving_bodies(dice: &mut Dice, ids: &mut u64) -> Vec<Peer> {
    let mut expectant = Scribe::new("expectant", dice, ids);
    let draft = Draft {
        fields: EXPECT,
        ..Draft::new(Task::Upload(UploadPlan::Pause(Some(30))), 500)
    };
    let (head, body) = expectant.request(&draft);
    expectant.send(head);
    expectant.cue(Cue::AwaitContinue(60_000));
    expectant.send(body);
    expectant.await_all();
    let expectant = expectant.peer;
    vec![
        expectant,
        peer(
            dice,
            ids,
            &[
                Draft::new(Task::Upload(UploadPlan::Early(5)), 50),
                Draft::new(Task::RefuseLater(40), 50),
                Draft::new(Task::Limit(10), 50),
            ],
        ),
        peer(
            dice,
            ids,
            &[Draft::new(Task::Upload(UploadPlan::Panic(3)), 50)],
        ),
    ]
}

fn ends(dice: &mut Dice, ids: &mut u64) -> Vec<Peer> {
    let mut peers = Vec::new();
    let mut garbage = Scribe::new("garbage", dice, ids);
    let bytes = garbage.garbage();
    garbage.send(bytes);
    peers.push(garbage.peer);
    let mut half = peer(dice, ids, &[Draft::new(Task::Promise(30, Ending::Kept), 0)]);
    half.script.pop_back();
    half.script.push_back(Cue::HalfClose);
    peers.push(half);
    let mut slow = Scribe::new("slow head", dice, ids);
    let (head, _) = slow.request(&Draft::new(Task::Echo, 0));
    slow.send(head[..20].to_vec());
    peers.push(slow.peer);
    let mut upgrader = Scribe::new("upgrader", dice, ids);
    let draft = Draft {
        fields: UPGRADE,
        ..Draft::new(Task::Upgrade, 0)
    };
    let (mut bytes, _) = upgrader.request(&draft);
    bytes.extend([b'u'; 50]);
    upgrader.send(bytes);
    peers.push(upgrader.peer);
    let mut resetter = peer(dice, ids, &[Draft::new(Task::Large(9000), 0)]);
    resetter.script.pop_back();
    resetter.script.push_back(Cue::Reset);
    peers.push(resetter);
    peers
}
