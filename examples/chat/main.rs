//! A chat room: messages come by WebSocket or POST, and go to each WebSocket and each stream of server-sent events.
//!
//! ```console
//! $ cargo run --example chat --features websocket
//! $ curl -N localhost:9000/events &
//! $ curl -d hello localhost:9000/messages
//! data: hello
//! ```
//!
//! In a browser's console `new WebSocket("ws://localhost:9000/socket")` takes part as well.
#![expect(clippy::needless_pass_by_value, reason = "state is a value")]

use std::process::ExitCode;
use std::time::Duration;

use coldstart::function::{exit_code, port_from_environment};
use coldstart::handler::{WebSocket, WebSocketMessage};
use coldstart::message::{ServerSentEvent, Written};
use coldstart::server::{Observer, ServerEvent, StartError, StderrObserver};
use coldstart::{Request, Response, Router, Server, Status};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender, channel};

/// How many messages wait for a slow reader; it misses those before them.
const WAITING_MAX: usize = 64;
const MESSAGE_LEN_MAX: usize = 4096;

/// A room: its messages, and `None` at its end.
type Room = Sender<Option<String>>;

/// The next message of the room; `None` once it ends.
async fn next(messages: &mut Receiver<Option<String>>) -> Option<String> {
    match messages.recv().await {
        Ok(message) => message,
        Err(RecvError::Lagged(missed)) => Some(format!("({missed} messages missed)")),
        Err(RecvError::Closed) => None,
    }
}

async fn talk(mut socket: WebSocket, room: Room) -> Written {
    let mut messages = room.subscribe();
    socket.message_len_max(MESSAGE_LEN_MAX);
    loop {
        tokio::select! {
            said = socket.read() => match said? {
                Some(WebSocketMessage::Text(text)) => drop(room.send(Some(text))),
                Some(WebSocketMessage::Binary(_)) => return Ok(socket.close(1003, "text only").await?),
                None => return Ok(()),
            },
            Some(message) = next(&mut messages) => socket.send(message).await?,
        }
    }
}

fn listen(_: &Request<'_>, room: Room) -> Response {
    let mut messages = room.subscribe();
    Response::events(async move |events| {
        events.heartbeat(Duration::from_secs(15));
        while let Some(message) = next(&mut messages).await {
            events.send(&ServerSentEvent::new(message)).await?;
        }
        Ok(())
    })
}

fn say(request: &Request<'_>, room: Room) -> Result<Status, Status> {
    let text = str::from_utf8(request.body()).map_err(|_| Status::UNPROCESSABLE_CONTENT)?;
    // It fails if there is no reader.
    drop(room.send(Some(text.to_owned())));
    Ok(Status::ACCEPTED)
}

/// Ends the streams of the room when the server stops; its WebSockets end by themselves.
#[derive(Debug)]
struct Ending(Room);

impl Observer for Ending {
    fn on(&mut self, event: ServerEvent) {
        if matches!(event, ServerEvent::Draining(_)) {
            drop(self.0.send(None));
        }
        StderrObserver::default().on(event);
    }
}

fn serve() -> Result<(), StartError> {
    let room = channel(WAITING_MAX).0;
    let server = Server::new().port(port_from_environment()?).bind()?;
    let server = server.observer(Ending(room.clone()));
    let router = Router::new()
        .with_state(room)
        .get("/events", listen)
        .post("/messages", say)
        .body_len_max(MESSAGE_LEN_MAX as u64)
        .accept("GET", "/socket", |head, room| {
            WebSocket::accept(head, |socket| talk(socket, room))
        });
    server.run_handler(router)
}

fn main() -> ExitCode {
    exit_code(serve())
}
