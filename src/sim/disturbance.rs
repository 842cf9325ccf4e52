//! Disturbances: a peer that leaves, ends its side or closes, or a server that stops, at an exact step of a run.

use super::kernel::{Flow, Kernel, LinkId, ServerEnd};
use super::peer::{Peer, PeerState};
use super::plan::{Action, expected_of_socket, raw};

/// What a peer does, whatever its script says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disturbance {
    /// It resets the connection.
    Reset,
    /// It ends its side, and reads on.
    HalfClose,
    /// It closes its end: a reset, if it has not read everything.
    Close,
}

impl Disturbance {
    pub(super) const ALL: [Self; 3] = [Self::Reset, Self::HalfClose, Self::Close];
}

/// What happens at one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AtStep {
    /// To the peer with this number.
    Peer(usize, Disturbance),
    /// The server is asked to stop.
    Stop,
}

/// The steps of a run: the server's calls of the system, and what its peers and the background jobs do in between.
#[derive(Debug, Default)]
pub(super) struct Steps {
    count: usize,
    pub(super) due: Vec<(usize, AtStep)>,
    /// Before each step, the peers that can be disturbed. `None` if they are not to be noted.
    pub(super) present: Option<Vec<Vec<usize>>>,
}

impl Steps {
    /// Another step begins. Returns what happens before it.
    pub(super) fn begin(&mut self, peers: &[Peer], kernel: &Kernel) -> Vec<AtStep> {
        if let Some(present) = &mut self.present {
            let is_present = |number: &usize| link_of(&peers[*number], kernel).is_some();
            present.push((0..peers.len()).filter(is_present).collect());
        }
        let number = self.count;
        self.count += 1;
        let due = self.due.iter().filter(|(at, _)| *at == number);
        due.map(|(_, what)| *what).collect()
    }
}

/// The peer's connection, if the loop can see what happens to it.
fn link_of(peer: &Peer, kernel: &Kernel) -> Option<LinkId> {
    let link = peer.link?;
    let is_here = matches!(
        kernel.server_end(link),
        ServerEnd::Queued | ServerEnd::Accepted
    );
    (is_here && peer.goes_on()).then_some(link)
}

/// Lets the peer do this now. Its script is over.
pub(super) fn disturb(peer: &mut Peer, disturbance: Disturbance, kernel: &mut Kernel) {
    let Some(link) = link_of(peer, kernel) else {
        return;
    };
    kernel.note(|| format!("peer {link} is disturbed: {disturbance:?}"));
    match disturbance {
        Disturbance::Reset => {
            peer.leave();
            kernel.reset(link);
        }
        Disturbance::Close => {
            peer.leave();
            kernel.peer_close(link);
        }
        Disturbance::HalfClose => {
            kernel.peer_end(link);
            peer.script.clear();
            peer.state = match peer.state {
                // Both sides have ended.
                PeerState::ClosedByServer(Flow::Ended) => PeerState::Left,
                PeerState::Starting
                | PeerState::Connected
                | PeerState::HalfClosed
                | PeerState::Left
                | PeerState::ClosedByServer(_)
                | PeerState::Refused => PeerState::HalfClosed,
            };
            expect_what_was_sent(peer);
        }
    }
}

/// The code of an upgraded connection has no more to send back than its peer has sent.
fn expect_what_was_sent(peer: &mut Peer) {
    for request in &mut peer.requests {
        if let Some(plan) = request.plan
            && let Action::Socket(action, len) = plan.action
        {
            let sent = peer.sent.saturating_sub(request.end).min(len);
            request.expected = expected_of_socket(action, raw(plan.id, sent));
        }
    }
}
