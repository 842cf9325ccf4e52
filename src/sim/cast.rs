//! Who comes to a made-up world: one function a temperament.

use super::dice::Dice;
use super::peer::{Cue, Pace, Peer};
use super::scribe::{CLOSE, Draft, EXPECT, Framing, Scribe, UPGRADE, draw};
use super::task::{Ending, Task, UploadPlan};

type Temperament = fn(&mut Scribe<'_>);

const TEMPERAMENTS: &[(&str, Temperament)] = &[
    ("regular", regular),
    ("regular", regular),
    ("pipeliner", pipeliner),
    ("cut pipeliner", cut_pipeliner),
    ("dribbler", dribbler),
    ("slow head", slow_head),
    ("slow body", slow_body),
    ("slow reader", slow_reader),
    ("never reader", never_reader),
    ("half closer", half_closer),
    ("half closer in a body", half_closer_in_a_body),
    ("resetter", resetter),
    ("silent", silent),
    ("connect and reset", connect_and_reset),
    ("leaver", leaver),
    ("garbage", garbage),
    ("garbage", garbage),
    ("expectant", expectant),
    ("expectant", expectant),
    ("upgrader", upgrader),
];

/// A peer of any kind.
pub(super) fn draw_peer(dice: &mut Dice, ids: &mut u64) -> Peer {
    let (kind, temperament) = dice.pick(TEMPERAMENTS);
    let mut scribe = Scribe::new(kind, dice, ids);
    temperament(&mut scribe);
    scribe.peer
}

/// A peer that asks for something simple and expects it at once.
pub(super) fn healthy_peer(dice: &mut Dice, ids: &mut u64) -> Peer {
    let mut scribe = Scribe::new("healthy", dice, ids);
    for body_len in [0, 20] {
        let (mut head, body) = scribe.request(&Draft::new(Task::Echo, body_len));
        head.extend(body);
        scribe.send(head);
        scribe.await_all();
    }
    scribe.cue(Cue::Close);
    scribe.peer
}

fn one(scribe: &mut Scribe<'_>) -> Vec<u8> {
    let draft = draw(scribe.dice);
    let (mut bytes, body) = scribe.request(&draft);
    bytes.extend(body);
    bytes
}

fn depart(scribe: &mut Scribe<'_>) {
    match scribe.dice.between(0, 3) {
        0 => scribe.cue(Cue::Close),
        1 => scribe.cue(Cue::HalfClose),
        // It stays, idle.
        _ => {}
    }
}

fn regular(scribe: &mut Scribe<'_>) {
    for _ in 0..scribe.dice.between(1, 6) {
        if scribe.dice.is_hit(300) {
            let millis = scribe.dice.millis(0, 50_000);
            scribe.cue(Cue::Pause(millis));
        }
        let bytes = one(scribe);
        scribe.send(bytes);
        scribe.await_all();
    }
    depart(scribe);
}

fn pipeline(scribe: &mut Scribe<'_>) -> Vec<u8> {
    let count = scribe.dice.skewed(300);
    let is_plain = scribe.dice.is_hit(700);
    let mut bytes = Vec::new();
    for _ in 0..count {
        if is_plain {
            let task = if scribe.dice.is_hit(200) {
                Task::Large(scribe.dice.between(1, 6000))
            } else {
                Task::Echo
            };
            let body_len = scribe.dice.pick(&[0, 0, 7]);
            let (head, body) = scribe.request(&Draft::new(task, body_len));
            bytes.extend(head);
            bytes.extend(body);
        } else {
            bytes.extend(one(scribe));
        }
        if bytes.len() > 150_000 {
            break;
        }
    }
    bytes
}

fn pipeliner(scribe: &mut Scribe<'_>) {
    let bytes = pipeline(scribe);
    scribe.send(bytes);
    if scribe.dice.is_hit(500) {
        scribe.await_all();
        depart(scribe);
    }
}

fn cut_pipeliner(scribe: &mut Scribe<'_>) {
    let bytes = pipeline(scribe);
    let piece_len = scribe.dice.pick(&[10, 1000, 20_000]).max(bytes.len() / 100);
    scribe.send_cut(&bytes, piece_len, 30);
    if scribe.dice.is_hit(500) {
        scribe.await_all();
        depart(scribe);
    }
}

fn dribbler(scribe: &mut Scribe<'_>) {
    for _ in 0..scribe.dice.between(1, 3) {
        let bytes = one(scribe);
        // Its time-out is long enough for all of it.
        let piece_len = (bytes.len() / 30).max(3);
        scribe.send_cut(&bytes, piece_len, 100);
        scribe.await_all();
    }
    depart(scribe);
}

fn slow_head(scribe: &mut Scribe<'_>) {
    if scribe.dice.is_hit(500) {
        let bytes = one(scribe);
        scribe.send(bytes);
    }
    let (head, _) = scribe.request(&Draft::new(Task::Echo, 0));
    let len = scribe.dice.between(1, head.len() - 1);
    scribe.send(head[..len].to_vec());
    // What comes each few seconds buys no more time.
    if scribe.dice.is_hit(500) {
        for byte in head[len..head.len() - 1].iter().take(12) {
            scribe.cue(Cue::Pause(7_000));
            scribe.send(vec![*byte]);
        }
    }
}

fn slow_body(scribe: &mut Scribe<'_>) {
    let mut draft = draw(scribe.dice);
    draft.body_len = scribe.dice.between(100, 9000);
    draft.method = "POST";
    let (head, body) = scribe.request(&draft);
    scribe.send(head);
    let len = scribe.dice.between(0, body.len() - 1);
    scribe.send(body[..len].to_vec());
}

/// A narrow room for answers, but not so narrow that they take for ever.
fn narrow_room(scribe: &mut Scribe<'_>) {
    let bodies = scribe
        .peer
        .asked
        .iter()
        .map(|asked| asked.expected.body.len());
    let least = bodies.sum::<usize>() / 300;
    let len = scribe.dice.pick(&[1, 100, 1000, 8192, 50_000]);
    scribe.peer.outbound_len_max = len.max(least);
}

fn slow_reader(scribe: &mut Scribe<'_>) {
    let bytes = if scribe.dice.is_hit(500) {
        pipeline(scribe)
    } else {
        let task = Task::Stream(40, 3000, 5000, Ending::Kept);
        let (mut bytes, _) = scribe.request(&Draft::new(task, 0));
        bytes.extend(one(scribe));
        bytes
    };
    narrow_room(scribe);
    let len = scribe
        .dice
        .between(100, 20_000)
        .max(scribe.peer.outbound_len_max / 2);
    scribe.peer.pace = Pace::Slow(len, scribe.dice.millis(1, 900));
    scribe.send(bytes);
    scribe.await_all();
    depart(scribe);
}

fn never_reader(scribe: &mut Scribe<'_>) {
    scribe.peer.pace = Pace::Never;
    for _ in 0..scribe.dice.between(1, 3) {
        let bytes = pipeline(scribe);
        scribe.send(bytes);
        scribe.cue(Cue::Pause(20_000));
    }
    narrow_room(scribe);
}

fn half_closer(scribe: &mut Scribe<'_>) {
    let bytes = if scribe.dice.is_hit(300) {
        pipeline(scribe)
    } else {
        one(scribe)
    };
    scribe.send(bytes);
    if scribe.dice.is_hit(300) {
        let millis = scribe.dice.millis(0, 50);
        scribe.cue(Cue::Pause(millis));
    }
    scribe.cue(Cue::HalfClose);
}

fn half_closer_in_a_body(scribe: &mut Scribe<'_>) {
    let mut draft = draw(scribe.dice);
    draft.method = "POST";
    draft.body_len = scribe.dice.between(2, 5000);
    let (mut bytes, body) = scribe.request(&draft);
    bytes.extend(body);
    let len = scribe.dice.between(1, bytes.len() - 1);
    scribe.send_cut(&bytes[..len], 3000, 100);
    scribe.cue(Cue::HalfClose);
}

fn resetter(scribe: &mut Scribe<'_>) {
    let mut bytes = one(scribe);
    bytes.extend(one(scribe));
    let len = scribe.dice.between(0, bytes.len());
    let piece_len = bytes.len() / 10 + 1;
    scribe.send_cut(&bytes[..len], piece_len, 60);
    let millis = scribe.dice.millis(0, 1000);
    scribe.cue(Cue::Pause(millis));
    scribe.cue(Cue::Reset);
}

fn silent(scribe: &mut Scribe<'_>) {
    if scribe.dice.is_hit(500) {
        let millis = scribe.dice.millis(0, 100_000);
        scribe.cue(Cue::Pause(millis));
        scribe.cue(Cue::Close);
    }
}

fn connect_and_reset(scribe: &mut Scribe<'_>) {
    scribe.cue(Cue::Reset);
}

fn leaver(scribe: &mut Scribe<'_>) {
    let bytes = pipeline(scribe);
    scribe.send(bytes);
    narrow_room(scribe);
    let millis = scribe.dice.millis(0, 800);
    scribe.cue(Cue::Pause(millis));
    scribe.cue(Cue::Close);
}

fn garbage(scribe: &mut Scribe<'_>) {
    let mut bytes = Vec::new();
    for _ in 0..scribe.dice.between(0, 3) {
        let (head, body) = scribe.request(&Draft::new(Task::Echo, 3));
        bytes.extend(head);
        bytes.extend(body);
    }
    bytes.extend(scribe.garbage());
    if scribe.dice.is_hit(300) {
        let piece_len = bytes.len() / 5 + 1;
        scribe.send_cut(&bytes, piece_len, 100);
    } else {
        scribe.send(bytes);
    }
}

fn expectant(scribe: &mut Scribe<'_>) {
    for _ in 0..scribe.dice.between(1, 3) {
        let mut draft = draw(scribe.dice);
        draft.method = "POST";
        draft.version = "HTTP/1.1";
        draft.body_len = scribe.dice.between(1, 9000);
        draft.fields = EXPECT;
        let (head, body) = scribe.request(&draft);
        scribe.send(head);
        // A peer that is refused need not send the body; one that waited in vain may.
        if draft.is_refused_by_its_head() {
            scribe.await_all();
            return;
        }
        let patience = scribe.dice.pick(&[3_000, 60_000]);
        scribe.cue(Cue::AwaitContinue(patience));
        scribe.send(body);
        scribe.await_all();
    }
    depart(scribe);
}

fn upgrader(scribe: &mut Scribe<'_>) {
    let mut bytes = Vec::new();
    if scribe.dice.is_hit(300) {
        let (head, _) = scribe.request(&Draft::new(Task::Upload(UploadPlan::Count), 0));
        bytes.extend(head);
    }
    let draft = Draft {
        fields: UPGRADE,
        framing: Framing::Length,
        ..Draft::new(Task::Upgrade, 0)
    };
    let (head, _) = scribe.request(&draft);
    bytes.extend(head);
    let raw = scribe.dice.pick(&[0, 3, 2000, 100_000]);
    bytes.extend(vec![b'u'; raw]);
    scribe.send(bytes);
    if scribe.dice.is_hit(200) {
        scribe.cue(Cue::HalfClose);
    }
}

/// A peer whose last request says `close`.
pub(super) fn closing_peer(dice: &mut Dice, ids: &mut u64) -> Peer {
    let mut scribe = Scribe::new("closing", dice, ids);
    let draft = Draft {
        fields: CLOSE,
        ..Draft::new(Task::Echo, 5)
    };
    let (mut head, body) = scribe.request(&draft);
    head.extend(body);
    scribe.send(head);
    scribe.peer
}
