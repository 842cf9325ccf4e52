//! The workload: one function generates the script of each kind of peer.

use super::draft::{CLOSE, EXPECT, Framing, RequestDraft, UPGRADE};
use super::generator::{Generator, random_draft};
use super::peer::{Pace, Peer, Step};
use super::plan::{Action, Completion, PullAction, SocketAction, UploadAction, WakeKind, raw};
use super::prng::Prng;

pub(super) type Generate = fn(&mut Generator<'_>);

const PEER_KINDS: &[(&str, Generate)] = &[
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
    ("socket", socket),
    ("socket", socket),
    ("echoer", echoer),
    ("echoer", echoer),
];

/// Draws a peer of any kind.
pub(super) fn random_peer(prng: &mut Prng, ids: &mut u64) -> Peer {
    let (kind, generate) = prng.choose(PEER_KINDS);
    let mut generator = Generator::new(kind, prng, ids);
    generator.peer.outbound_len_max =
        generator
            .prng
            .choose(&[64 * 1024, 64 * 1024, 4 * 1024 * 1024]);
    generate(&mut generator);
    generator.peer
}

/// A peer with two simple requests, which must get their responses at once.
pub(super) fn healthy_peer(prng: &mut Prng, ids: &mut u64) -> Peer {
    let mut generator = Generator::new("healthy", prng, ids);
    for body_len in [0, 20] {
        let (mut head, body) = generator.request(&RequestDraft::new(Action::Echo, body_len));
        head.extend(body);
        generator.send(head);
        generator.await_all();
    }
    generator.then(Step::Close);
    generator.peer
}

fn random_request(generator: &mut Generator<'_>) -> Vec<u8> {
    let draft = random_draft(generator.prng);
    let (mut bytes, body) = generator.request(&draft);
    bytes.extend(body);
    bytes
}

pub(super) fn leave(generator: &mut Generator<'_>) {
    match generator.prng.between(0, 3) {
        0 => generator.then(Step::Close),
        1 => generator.then(Step::HalfClose),
        // It stays connected.
        _ => {}
    }
}

fn regular(generator: &mut Generator<'_>) {
    for _ in 0..generator.prng.between(1, 6) {
        if generator.prng.chance(300) {
            let millis = generator.prng.millis(0, 50_000);
            generator.then(Step::Pause(millis));
        }
        let bytes = random_request(generator);
        generator.send(bytes);
        generator.await_all();
    }
    leave(generator);
}

fn pipeline(generator: &mut Generator<'_>) -> Vec<u8> {
    let count = generator.prng.skewed(300);
    let is_plain = generator.prng.chance(700);
    let mut bytes = Vec::new();
    for _ in 0..count {
        if is_plain {
            let action = if generator.prng.chance(200) {
                Action::Large(generator.prng.between(1, 6000))
            } else {
                Action::Echo
            };
            let body_len = generator.prng.choose(&[0, 0, 7]);
            let (head, body) = generator.request(&RequestDraft::new(action, body_len));
            bytes.extend(head);
            bytes.extend(body);
        } else {
            bytes.extend(random_request(generator));
        }
        if bytes.len() > 150_000 {
            break;
        }
    }
    bytes
}

fn pipeliner(generator: &mut Generator<'_>) {
    let bytes = pipeline(generator);
    generator.send(bytes);
    if generator.prng.chance(500) {
        generator.await_all();
        leave(generator);
    }
}

fn cut_pipeliner(generator: &mut Generator<'_>) {
    let bytes = pipeline(generator);
    let piece_len = generator
        .prng
        .choose(&[10, 1000, 20_000])
        .max(bytes.len() / 100);
    generator.send_cut(&bytes, piece_len, 30);
    if generator.prng.chance(500) {
        generator.await_all();
        leave(generator);
    }
}

fn dribbler(generator: &mut Generator<'_>) {
    for _ in 0..generator.prng.between(1, 3) {
        let bytes = random_request(generator);
        // The time-out leaves time for all pieces.
        let piece_len = (bytes.len() / 30).max(3);
        generator.send_cut(&bytes, piece_len, 100);
        generator.await_all();
    }
    leave(generator);
}

fn slow_head(generator: &mut Generator<'_>) {
    if generator.prng.chance(500) {
        let bytes = random_request(generator);
        generator.send(bytes);
    }
    let (head, _) = generator.request(&RequestDraft::new(Action::Echo, 0));
    let len = generator.prng.between(1, head.len() - 1);
    generator.send(head[..len].to_vec());
    // A byte every few seconds does not extend the time-out.
    if generator.prng.chance(500) {
        for byte in head[len..head.len() - 1].iter().take(12) {
            generator.then(Step::Pause(7_000));
            generator.send(vec![*byte]);
        }
    }
}

fn slow_body(generator: &mut Generator<'_>) {
    let mut draft = random_draft(generator.prng);
    draft.body_len = generator.prng.between(100, 9000);
    draft.method = "POST";
    let (head, body) = generator.request(&draft);
    generator.send(head);
    let len = generator.prng.between(0, body.len() - 1);
    generator.send(body[..len].to_vec());
}

/// Makes the buffer for responses small, but large enough to finish in time.
pub(super) fn shrink_buffer(generator: &mut Generator<'_>) {
    let bodies = generator
        .peer
        .requests
        .iter()
        .map(|request| request.expected.body.len());
    let least = bodies.sum::<usize>() / 300;
    let len = generator.prng.choose(&[1, 100, 1000, 8192, 50_000]);
    generator.peer.outbound_len_max = len.max(least);
}

fn slow_reader(generator: &mut Generator<'_>) {
    let bytes = if generator.prng.chance(500) {
        pipeline(generator)
    } else {
        let action = Action::Stream(40, 3000, 5000, Completion::Done);
        let (mut bytes, _) = generator.request(&RequestDraft::new(action, 0));
        bytes.extend(random_request(generator));
        bytes
    };
    shrink_buffer(generator);
    let len = generator
        .prng
        .between(100, 20_000)
        .max(generator.peer.outbound_len_max / 2);
    generator.peer.pace = Pace::Slow(len, generator.prng.millis(1, 900));
    generator.send(bytes);
    generator.await_all();
    leave(generator);
}

fn never_reader(generator: &mut Generator<'_>) {
    generator.peer.pace = Pace::Never;
    for _ in 0..generator.prng.between(1, 3) {
        let bytes = pipeline(generator);
        generator.send(bytes);
        generator.then(Step::Pause(20_000));
    }
    shrink_buffer(generator);
}

fn half_closer(generator: &mut Generator<'_>) {
    let bytes = if generator.prng.chance(300) {
        pipeline(generator)
    } else {
        random_request(generator)
    };
    generator.send(bytes);
    if generator.prng.chance(300) {
        let millis = generator.prng.millis(0, 50);
        generator.then(Step::Pause(millis));
    }
    generator.then(Step::HalfClose);
}

fn half_closer_in_a_body(generator: &mut Generator<'_>) {
    let mut draft = random_draft(generator.prng);
    draft.method = "POST";
    draft.body_len = generator.prng.between(2, 5000);
    let (mut bytes, body) = generator.request(&draft);
    bytes.extend(body);
    let len = generator.prng.between(1, bytes.len() - 1);
    generator.send_cut(&bytes[..len], 3000, 100);
    generator.then(Step::HalfClose);
}

fn resetter(generator: &mut Generator<'_>) {
    let mut bytes = random_request(generator);
    bytes.extend(random_request(generator));
    let len = generator.prng.between(0, bytes.len());
    let piece_len = bytes.len() / 10 + 1;
    generator.send_cut(&bytes[..len], piece_len, 60);
    let millis = generator.prng.millis(0, 1000);
    generator.then(Step::Pause(millis));
    generator.then(Step::Reset);
}

fn silent(generator: &mut Generator<'_>) {
    if generator.prng.chance(500) {
        let millis = generator.prng.millis(0, 100_000);
        generator.then(Step::Pause(millis));
        generator.then(Step::Close);
    }
}

fn connect_and_reset(generator: &mut Generator<'_>) {
    generator.then(Step::Reset);
}

fn leaver(generator: &mut Generator<'_>) {
    let bytes = pipeline(generator);
    generator.send(bytes);
    shrink_buffer(generator);
    let millis = generator.prng.millis(0, 800);
    generator.then(Step::Pause(millis));
    generator.then(Step::Close);
}

fn garbage(generator: &mut Generator<'_>) {
    let mut bytes = Vec::new();
    for _ in 0..generator.prng.between(0, 3) {
        let (head, body) = generator.request(&RequestDraft::new(Action::Echo, 3));
        bytes.extend(head);
        bytes.extend(body);
    }
    bytes.extend(generator.garbage());
    if generator.prng.chance(300) {
        let piece_len = bytes.len() / 5 + 1;
        generator.send_cut(&bytes, piece_len, 100);
    } else {
        generator.send(bytes);
    }
}

fn expectant(generator: &mut Generator<'_>) {
    for _ in 0..generator.prng.between(1, 3) {
        let mut draft = random_draft(generator.prng);
        draft.method = "POST";
        draft.version = "HTTP/1.1";
        draft.body_len = generator.prng.between(1, 9000);
        draft.fields = EXPECT;
        let (head, body) = generator.request(&draft);
        generator.send(head);
        // After a refusal the peer need not send the body; without 100 Continue it sends it after a while.
        if draft.is_refused_by_its_head() {
            generator.await_all();
            return;
        }
        let patience = generator.prng.choose(&[3_000, 60_000]);
        generator.then(Step::AwaitContinue(patience));
        generator.send(body);
        generator.await_all();
    }
    leave(generator);
}

/// Reads what comes back of its request before it sends the rest.
pub(super) fn echoer(generator: &mut Generator<'_>) {
    for _ in 0..generator.prng.between(1, 3) {
        let room = generator.prng.choose(&[1, 300, 64_000]);
        let len = generator.prng.choose(&[10, 3000, 70_000, 200_000]);
        let body_len = generator.prng.between(1, len);
        let draft = RequestDraft::new(Action::Pull(PullAction::Echo(room)), body_len);
        let (head, body) = generator.request(&draft);
        generator.send(head);
        let mut sent = 0;
        for piece in body.chunks(body_len.div_ceil(6)) {
            generator.send(piece.to_vec());
            sent += piece.len();
            if generator.prng.chance(700) {
                generator.then(Step::AwaitBody(sent));
            }
        }
        generator.await_all();
    }
    leave(generator);
}

fn upgrader(generator: &mut Generator<'_>) {
    let mut bytes = Vec::new();
    if generator.prng.chance(300) {
        let (head, _) =
            generator.request(&RequestDraft::new(Action::Upload(UploadAction::Count), 0));
        bytes.extend(head);
    }
    let draft = RequestDraft {
        fields: UPGRADE,
        framing: Framing::Length,
        ..RequestDraft::new(Action::Upgrade, 0)
    };
    let (head, _) = generator.request(&draft);
    bytes.extend(head);
    let raw = generator.prng.choose(&[0, 3, 2000, 100_000]);
    bytes.extend(vec![b'u'; raw]);
    generator.send(bytes);
    if generator.prng.chance(200) {
        generator.then(Step::HalfClose);
    }
}

/// Becomes a socket on the loop, and mostly waits for what comes back.
pub(super) fn socket(generator: &mut Generator<'_>) {
    let prng = &mut *generator.prng;
    let most = prng.choose(&[1, 300, 3000, 70_000, 300_000]);
    let len = prng.between(0, most);
    let at = prng.between(0, len);
    let wake = prng.choose(&[
        WakeKind::Elsewhere,
        WakeKind::Own,
        WakeKind::Several,
        WakeKind::Late,
    ]);
    let action = prng.choose(&[
        SocketAction::Echo,
        SocketAction::Echo,
        SocketAction::Wait(wake),
        SocketAction::Stop,
        SocketAction::Close(at),
        SocketAction::Leave(at),
        SocketAction::Panic(at),
    ]);
    become_socket(generator, action, len);
    match generator.prng.between(0, 9) {
        0 => generator.then(Step::Close),
        1 => generator.then(Step::Reset),
        _ => generator.then(Step::HalfClose),
    }
}

/// Upgrades and sends `len` bytes.
pub(super) fn become_socket(generator: &mut Generator<'_>, action: SocketAction, len: usize) {
    let draft = RequestDraft {
        fields: UPGRADE,
        ..RequestDraft::new(Action::Socket(action, len), 0)
    };
    let (mut bytes, _) = generator.request(&draft);
    let raw = raw(*generator.ids, len);
    let is_echo = matches!(action, SocketAction::Echo | SocketAction::Wait(_));
    let mut sent = 0;
    for piece in raw.chunks(len.div_ceil(5).max(1)) {
        bytes.extend_from_slice(piece);
        sent += piece.len();
        if generator.prng.chance(600) {
            generator.send(std::mem::take(&mut bytes));
            if is_echo && generator.prng.chance(700) {
                generator.then(Step::AwaitBody(sent));
            }
        }
    }
    generator.send(bytes);
}

/// A peer whose request says `Connection: close`.
pub(super) fn closing_peer(prng: &mut Prng, ids: &mut u64) -> Peer {
    let mut generator = Generator::new("closing", prng, ids);
    let draft = RequestDraft {
        fields: CLOSE,
        ..RequestDraft::new(Action::Echo, 5)
    };
    let (mut head, body) = generator.request(&draft);
    head.extend(body);
    generator.send(head);
    generator.peer
}
