//! The routes of the tour, each with a curl line to try it.
#![expect(
    clippy::disallowed_methods,
    reason = "a user's program may start threads and let them sleep"
)]

use std::fs::File;
use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use coldstart::handler::{Accept, Busy, Demand, Outcome, Pause, Running, Upload};
use coldstart::message::{Head, Incoming, ServerSentEvent};
use coldstart::{Body, Bytes, Request, Response, Router, Status, blocking, sleep};
use sha2::{Digest, Sha256};

use super::web_socket;

/// The bytes of a piece of a large body.
const PIECE_LEN: usize = 64 * 1024;

/// All routes of the tour.
pub(crate) fn router() -> io::Result<Router> {
    // A runtime for the async route. The server itself needs none.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()?;
    let slow = blocking(slow, 4);
    let threads = slow.clone();
    Ok(Router::new()
        .get("/", |_| Response::html(include_str!("index.html")))
        .get("/stream", stream)
        .get("/sse", events)
        .accept("PUT", "/upload", |_| {
            Accept::Stream(Box::new(HashingUpload::default()))
        })
        .accept("PUT", "/slow-upload", |_| {
            Accept::Stream(Box::new(SlowUpload::new()))
        })
        .put_incoming("/echo", echo)
        .post("/small", |request| Response::bytes(request.body_bytes()))
        .body_len_max(1024)
        .get("/file", file)
        .get("/zeros/{len}", zeros)
        .get("/promised", move |request| promised(&runtime, request))
        .get("/blocking", move |request| slow.respond(request))
        .get("/awaited", move |_| awaited(threads.run(slowly)))
        .accept("GET", "/websocket", web_socket::accept))
}

/// `curl -N localhost:9000/stream`: ten lines, each sent as soon as it is written. The code runs on the loop, and ends when the
/// client leaves.
fn stream(_: &Request<'_>) -> Response {
    Response::text(Body::writer(async |out| {
        for number in 0..10 {
            out.send(format!("line {number}\n")).await?;
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }))
}

/// `curl -N localhost:9000/sse`: five events; the page at `/` shows them arriving.
fn events(_: &Request<'_>) -> Response {
    Response::events(async |events| {
        for number in 1..=5 {
            let event = ServerSentEvent::new(format!("token {number}")).id(&number.to_string());
            events.send(&event).await?;
            sleep(Duration::from_millis(300)).await;
        }
        // The page closes the stream on this event. Otherwise the browser would reconnect.
        let bye = ServerSentEvent::new("bye").event("end");
        Ok(events.send(&bye).await?)
    })
}

/// `curl -T big.iso localhost:9000/upload`: counts and hashes an upload of any size, without storing it.
#[derive(Default)]
struct HashingUpload {
    len: u64,
    hash: Sha256,
}

impl Upload for HashingUpload {
    fn on_piece(&mut self, piece: &[u8]) -> Demand {
        self.len += piece.len() as u64;
        self.hash.update(piece);
        Demand::More
    }

    fn on_end(self: Box<Self>) -> Outcome {
        let hash: String = self
            .hash
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Response::text(format!("{} bytes, SHA-256 {hash}\n", self.len)).into()
    }
}

/// `curl -T big.iso localhost:9000/slow-upload`: a consumer on a thread of its own, slower than the network. The upload
/// pauses until the consumer is ready for more.
struct SlowUpload {
    pieces: mpsc::Sender<(Vec<u8>, coldstart::handler::Resume)>,
    len: u64,
}

impl SlowUpload {
    fn new() -> Self {
        let (pieces, arrived) = mpsc::channel::<(Vec<u8>, coldstart::handler::Resume)>();
        thread::spawn(move || {
            for (piece, resume) in arrived {
                // About as slow as a disk.
                thread::sleep(Duration::from_micros(piece.len() as u64 / 64));
                resume.resume();
            }
        });
        Self { pieces, len: 0 }
    }
}

impl Upload for SlowUpload {
    fn on_piece(&mut self, piece: &[u8]) -> Demand {
        self.len += piece.len() as u64;
        let (pause, resume) = Pause::new();
        match self.pieces.send((piece.to_vec(), resume)) {
            Ok(()) => Demand::Pause(pause),
            Err(_) => {
                let failed = Response::text("the consumer has stopped\n");
                Demand::Respond(failed.status(Status::INTERNAL_SERVER_ERROR).into())
            }
        }
    }

    fn on_end(self: Box<Self>) -> Outcome {
        Response::text(format!("{} bytes, at the consumer's pace\n", self.len)).into()
    }
}

/// `curl -N -T - localhost:9000/echo`: each line comes back as soon as it is sent. An async closure pulls the body while another
/// writes the response, neither holds more than 64 KiB, and none has a thread.
fn echo(_: &Head<'_>, mut body: Incoming) -> Response {
    Response::bytes(Body::writer(async move |out| {
        while let Some(chunk) = body.chunk().await? {
            out.send(chunk).await?;
        }
        Ok(())
    }))
}

/// `curl localhost:9000/file`, `curl -r 0-99 localhost:9000/file`: sends this program's own file, or a part of
/// it, without loading it into memory.
fn file(request: &Request<'_>) -> Response {
    let opened = std::env::current_exe().and_then(File::open);
    let measured = opened.and_then(|file| file.metadata().map(|metadata| (file, metadata.len())));
    let (file, len) = match measured {
        Ok(measured) => measured,
        Err(error) => {
            let why = format!("the file cannot be read: {error}\n");
            return Response::text(why).status(Status::INTERNAL_SERVER_ERROR);
        }
    };
    let Some((first, last)) = request
        .header("range")
        .and_then(|range| byte_range(range, len))
    else {
        return Response::bytes(Body::file(file, 0..len)).header("accept-ranges", "bytes");
    };
    Response::bytes(Body::file(file, first..last + 1))
        .status(Status::PARTIAL_CONTENT)
        .header("content-range", format!("bytes {first}-{last}/{len}"))
}

/// Parses the single range `bytes=first-last` (RFC 9110 §14.1.2). Other forms are ignored, as the RFC allows.
fn byte_range(range: &str, len: u64) -> Option<(u64, u64)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let first: u64 = first.parse().ok()?;
    let last: u64 = if last.is_empty() {
        len - 1
    } else {
        last.parse().ok()?
    };
    (first <= last && first < len).then(|| (first, last.min(len - 1)))
}

/// `curl -s localhost:9000/zeros/2147483648 | wc -c`: a streamed response of any size, as fast as the client reads it.
fn zeros(request: &Request<'_>) -> Response {
    let Some(Ok(mut left)) = request.parameter("len").map(|len| len.parse::<u64>()) else {
        return Response::text("how many zeros?\n").status(Status::BAD_REQUEST);
    };
    let piece = Bytes::from(vec![0; PIECE_LEN]);
    Response::bytes(Body::writer(async move |out| {
        while left > 0 {
            let len = left.min(piece.len() as u64);
            left -= len;
            let len = usize::try_from(len).unwrap_or(0);
            out.send(piece.slice(..len)).await?;
        }
        Ok(())
    }))
}

/// `curl localhost:9000/promised`: a task of an async runtime completes the response.
fn promised(runtime: &tokio::runtime::Runtime, request: &Request<'_>) -> Outcome {
    let (outcome, reply) = Outcome::promised();
    let path = request.path().to_owned();
    runtime.spawn(async move {
        tokio::time::sleep(Duration::from_millis(10)).await;
        reply.complete(Response::text(format!("{path} was completed by a task\n")));
    });
    outcome
}

/// `curl localhost:9000/blocking`: blocks a thread of a pool, but not the loop.
fn slow(_: &Request<'_>) -> Response {
    Response::text(format!("served by thread {:?}\n", slowly()))
}

/// `curl localhost:9000/awaited`: the same, but only for a part of what an async handler does on the loop.
async fn awaited(part: Running<String>) -> Result<String, Busy> {
    let thread = part.await?;
    Ok(format!("awaited from thread {thread:?}\n"))
}

/// The name of the thread that was blocked meanwhile.
fn slowly() -> String {
    thread::sleep(Duration::from_millis(50));
    thread::current().name().unwrap_or("?").to_owned()
}
