//! What must be true at the end of a run: nothing is left, nothing is lost, and a server that was asked to stop has stopped.

use super::Run;
use crate::observe::ServerEvent;

/// Reads of one connection without an event: one before a time-out, and one when the server stops.
const NEEDLESS_READS_MAX: u32 = 4;
use crate::sim::kernel::ServerEnd;
use crate::sim::oracle::DRAIN_TIMEOUT;
use crate::sim::peer::{Pace, Peer};
use crate::sim::socket::check_ends;

impl Run {
    /// Lets peers read what is left for them; each must find the end of its connection.
    pub(super) fn outlive_the_server(&self) -> Result<(), String> {
        let mut world = self.harness.world.borrow_mut();
        world.outlive_the_server();
        if let Some(violation) = world.kernel.record.violations.pop() {
            return Err(violation);
        }
        let waits = |peer: &&Peer| {
            let is_over = |link| world.kernel.server_end(link) == ServerEnd::Closed;
            peer.is_connected() && peer.pace != Pace::Never && peer.link.is_some_and(is_over)
        };
        match world.peers.iter().find(waits) {
            Some(peer) => Err(format!("{} does not find its end", peer.name())),
            None => Ok(()),
        }
    }

    /// Checks that nothing was handled after the last response.
    pub(super) fn check_handled(&self) -> Result<(), String> {
        let world = self.harness.world.borrow();
        let background = self.harness.background.borrow();
        for peer in &world.peers {
            let answered = peer.reader.responses.len();
            let is_closed = peer
                .reader
                .responses
                .last()
                .is_some_and(|last| last.says_close());
            for request in peer.requests.iter().skip(answered) {
                if let Some(plan) = request.plan
                    && is_closed
                    && background.accepted.contains_key(&plan.id)
                {
                    return Err(format!(
                        "{}: {plan} was handled after the last response",
                        peer.name()
                    ));
                }
            }
        }
        Ok(())
    }

    /// Checks that a server that was asked to stop has stopped in time.
    pub(super) fn check_stop(&self) -> Result<(), String> {
        let world = self.harness.world.borrow();
        let Some(stopped_at) = world.kernel.stopped_at() else {
            return Ok(());
        };
        let took = world.kernel.now - stopped_at;
        if !self.harness.reactor.is_stopped() {
            return Err("it was asked to stop and has not".to_owned());
        }
        if took > DRAIN_TIMEOUT + 1000 + world.kernel.frozen {
            return Err(format!("it took {took} ms to stop"));
        }
        let events = self.harness.event_log.events();
        let is_drop = |event: &ServerEvent| matches!(event, ServerEvent::TasksDropped(_));
        if !world.kernel.is_past_drain() && events.iter().any(is_drop) {
            return Err(format!("tasks were dropped {took} ms after the stop"));
        }
        Ok(())
    }

    pub(super) fn check_end(&self) -> Result<(), String> {
        let world = self.harness.world.borrow();
        let counts = world.kernel.counts;
        if counts.opened != counts.closed {
            return Err(format!(
                "{} opened, {} closed",
                counts.opened, counts.closed
            ));
        }
        // One read for each event, each connection and each full buffer; needless reads are counted below. An event without
        // an edge has a read that finds nothing.
        let receives_max =
            3 * (counts.edges + counts.opened) + counts.spurious + counts.bytes_in / 16_384 + 50;
        if counts.receives > receives_max {
            return Err(format!(
                "{} reads, and at most {receives_max} are allowed",
                counts.receives
            ));
        }
        for id in 0..world.kernel.links_len() {
            if world.kernel.server_end(id) == ServerEnd::Accepted {
                return Err(format!("connection {id} is still held"));
            }
        }
        for id in 0..world.kernel.links_len() {
            let needless = world.kernel.needless_reads(id);
            if needless > NEEDLESS_READS_MAX {
                return Err(format!(
                    "{needless} reads of connection {id} without an event"
                ));
            }
        }
        check_ends(&world.peers, &self.harness.background.borrow())?;
        drop(world);
        let volatile = self.harness.background.borrow().handled.volatile;
        if volatile > 0 {
            return Err(format!("{volatile} values are not dropped"));
        }
        let tasks = self.harness.background.borrow().handled.tasks;
        if tasks > 0 && self.harness.reactor.is_stopped() {
            return Err(format!("{tasks} tasks are left after the end"));
        }
        self.check_upgrades()
    }

    /// Checks that all bytes after an upgrade reached its handler.
    fn check_upgrades(&self) -> Result<(), String> {
        let world = self.harness.world.borrow();
        let background = self.harness.background.borrow();
        let detached: Vec<&Peer> = world
            .peers
            .iter()
            .filter(|peer| {
                peer.link
                    .is_some_and(|link| world.kernel.server_end(link) == ServerEnd::Detached)
            })
            .collect();
        for _ in &detached {
            let (id, bytes) = background
                .upgrades
                .recv_timeout(core::time::Duration::from_secs(10))
                .map_err(|_| "an upgraded connection did not reach its handler".to_owned())?;
            let ends: Vec<usize> = detached
                .iter()
                .flat_map(|peer| peer.requests.iter().map(move |request| (peer, request)))
                .filter(|(_, request)| request.plan.is_some_and(|plan| plan.id == id))
                .map(|(peer, request)| peer.sent - request.end)
                .collect();
            if ends != [bytes.len()] || bytes.iter().any(|byte| *byte != b'u') {
                return Err(format!(
                    "{} bytes after upgrade {id}, expected {ends:?}",
                    bytes.len()
                ));
            }
        }
        Ok(())
    }
}
