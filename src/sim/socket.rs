//! The simulated code of an upgraded connection that stays on the loop: it reads and writes as its plan says, and checks what it
//! reads.
#![expect(clippy::panic, reason = "some plans ask for a panic")]

use core::future::poll_fn;
use core::pin::Pin;
use core::task::Poll;
use std::cell::RefCell;
use std::rc::Rc;

use super::background::Background;
use super::peer::Peer;
use super::plan::{IntendedPanic, SocketAction, raw};
use super::reader::Counted;
use super::response_reader::SOCKET;
use crate::Bytes;
use crate::handler::{Accept, SocketClosed, SocketReader, SocketWriter, Upgrade};
use crate::message::Written;
use crate::task::{Draining, draining};

/// What a handler returns that does this with the connection of request `id`.
pub(super) fn upgrade(
    background: &Rc<RefCell<Background>>,
    id: u64,
    action: SocketAction,
) -> Accept {
    let background = Rc::clone(background);
    let upgrade = Upgrade::on_loop("made-up", move |reader, writer| {
        let counted = Counted::new(background);
        run((reader, writer), counted, id, action)
    });
    Accept::Upgrade(upgrade.header(SOCKET, "1"))
}

/// Checks that the code of each connection has read all that its peer sent, if it saw the end of it.
pub(super) fn check_ends(peers: &[Peer], background: &Background) -> Result<(), String> {
    for (peer, request) in peers
        .iter()
        .flat_map(|peer| peer.requests.iter().map(move |request| (peer, request)))
    {
        let sent = peer.sent.saturating_sub(request.end);
        let is_of = |id: u64| request.plan.is_some_and(|plan| plan.id == id);
        let mut ended = background.sockets_ended.iter();
        if let Some((id, read)) = ended.find(|(id, read)| is_of(*id) && *read != sent) {
            return Err(format!("the socket {id} has read {read} of {sent} bytes"));
        }
    }
    Ok(())
}

async fn run(
    (mut reader, writer): (SocketReader, SocketWriter),
    counted: Counted,
    id: u64,
    action: SocketAction,
) -> Written {
    let mut draining = draining();
    let (mut writer, mut taken, mut echoed) = (Some(writer), 0, 0);
    loop {
        let most = match action {
            SocketAction::Leave(len) if taken >= len => return Ok(()),
            SocketAction::Panic(len) if taken >= len => std::panic::panic_any(IntendedPanic),
            SocketAction::Leave(len) | SocketAction::Close(len) => len,
            SocketAction::Wait(wake) => {
                counted.wait(wake).await;
                usize::MAX
            }
            SocketAction::Panic(_) | SocketAction::Echo | SocketAction::Stop => usize::MAX,
        };
        let read = match action {
            SocketAction::Stop => read_or_stop(&mut reader, &mut draining).await,
            SocketAction::Echo
            | SocketAction::Wait(_)
            | SocketAction::Close(_)
            | SocketAction::Leave(_)
            | SocketAction::Panic(_) => Some(reader.read().await),
        };
        let Some(read) = read else { return Ok(()) };
        let Some(mut bytes) = read? else { break };
        if bytes.is_empty() || bytes != raw(id, taken + bytes.len())[taken..] {
            counted.report("other bytes than its peer has sent");
        }
        taken += bytes.len();
        bytes.truncate(most - echoed);
        echoed += bytes.len();
        if let Some(open) = &writer {
            open.write(bytes).await?;
        }
        if echoed == most {
            // Our side ends, and the peer's goes on.
            drop(writer.take());
        }
    }
    counted.note_end(id, taken);
    // Both sides may have ended.
    counted.wait(super::plan::WakeKind::Elsewhere).await;
    Ok(())
}

/// `None` once the server stops.
async fn read_or_stop(
    reader: &mut SocketReader,
    draining: &mut Draining,
) -> Option<Result<Option<Bytes>, SocketClosed>> {
    poll_fn(|context| match Pin::new(&mut *draining).poll(context) {
        Poll::Ready(()) => Poll::Ready(None),
        Poll::Pending => reader.poll_read(context).map(Some),
    })
    .await
}
