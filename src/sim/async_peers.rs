//! Peers whose requests async code handles, for the sweep of their steps.

use super::generator::{Generator, random_async_draft};
use super::peer::{Pace, Peer};
use super::prng::Prng;
use super::workload::{Generate, echoer, leave, shrink_buffer, socket};

/// Draws a peer whose requests are handled by async code.
pub(super) fn random_async_peer(prng: &mut Prng, ids: &mut u64) -> Peer {
    let generates: [(&'static str, Generate); 5] = [
        ("async", waiting),
        ("async", waiting),
        ("async", waiting),
        ("socket", socket),
        ("echoer", echoer),
    ];
    let (kind, generate) = prng.choose(&generates);
    let mut generator = Generator::new(kind, prng, ids);
    generate(&mut generator);
    generator.peer
}

/// Requests at once, for handlers that wait. Sometimes it reads slowly, or through a small buffer.
fn waiting(generator: &mut Generator<'_>) {
    for _ in 0..generator.prng.between(1, 4) {
        let draft = random_async_draft(generator.prng);
        let (mut bytes, body) = generator.request(&draft);
        bytes.extend(body);
        let piece_len = generator.prng.choose(&[50, 1000, 100_000]);
        generator.send_cut(&bytes, piece_len.max(bytes.len() / 8), 30);
    }
    if generator.prng.chance(300) {
        shrink_buffer(generator);
    }
    if generator.prng.chance(200) {
        generator.peer.pace = Pace::Slow(generator.prng.between(100, 9000), 20);
    }
    generator.await_all();
    leave(generator);
}
