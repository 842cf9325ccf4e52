//! A WebSocket without a thread: async code on the loop.

use coldstart::handler::{Accept, WebSocket};
use coldstart::message::Head;

/// A WebSocket that echoes every message: `new WebSocket("ws://localhost:9000/websocket")` in a browser.
pub(crate) fn accept(head: &Head<'_>) -> Accept {
    WebSocket::accept(head, async |mut socket| {
        while let Some(message) = socket.read().await? {
            socket.write(message)?;
        }
        Ok(())
    })
}
