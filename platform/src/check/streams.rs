//! P6: a stream arrives while it is made.

use std::time::{Duration, Instant};

use super::observation::{Break, Cause, Observation};
use super::subject::{Subject, dial};
use crate::clock::human;
use crate::fix::Trouble;
use crate::instance::Instance;
use crate::wire::Fault;
use crate::wire::body::{Body, Framing};
use crate::wire::head::Response;

/// Two pieces with this much time between them were sent one by one.
const GAP: Duration = Duration::from_millis(5);
/// A body that begins this long after the request was held back, or took that long to make.
const LATE: Duration = Duration::from_millis(50);
/// How often it is looked at before a response is called held back.
const TRIES: u32 = 4;
const HEAD_LEN_MAX: usize = 64 * 1024;
const BODY_LEN_MAX: usize = 64 * 1024 * 1024;

/// What arrived of a response, as far as it had to be read.
struct Stream {
    head: Response,
    framing: Framing,
    /// When each piece arrived, from the request on.
    arrivals: Vec<Duration>,
    body: Vec<u8>,
    end: End,
}

/// Why the reading ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    /// Enough was seen.
    PieceByPiece,
    /// The time was over.
    StillOpen,
}

/// P6: pieces with time between them, or an end that leaves no doubt.
pub(crate) fn streams(subject: &Subject, instance: &Instance) -> Observation {
    let mut observation = once(subject, instance);
    for _ in 1..TRIES {
        // On a busy machine all events may come late and at once, but not each time.
        let Observation::Broken(_) = observation else {
            break;
        };
        observation = once(subject, instance);
    }
    observation
}

fn once(subject: &Subject, instance: &Instance) -> Observation {
    let path = &subject.paths.stream;
    let stream = match read(subject, instance) {
        Ok(stream) => stream,
        Err(fault) => {
            return subject
                .broken_by(&format!("GET {path}"), &fault)
                .trouble(Trouble::Buffering)
                .into();
        }
    };
    let kind = stream.head.fields.text("content-type");
    let is_events = kind.is_some_and(|kind| kind.contains("event-stream"));
    let broken = |seen: &str| Break::new(seen).trouble(Trouble::Buffering);
    if stream.framing != Framing::Chunked {
        return if is_events {
            broken("server-sent events without Transfer-Encoding: chunked")
                .follows(&[Cause::ClosesEach])
                .into()
        } else {
            Observation::Unseen(format!("{path} does not stream; --stream-path names one"))
        };
    }
    if stream.head.fields.first("content-length").is_some() {
        return broken("chunked and Content-Length in one response").into();
    }
    if is_events {
        events(&stream)
    } else {
        plain(&stream)
    }
}

fn plain(stream: &Stream) -> Observation {
    Observation::Held(match stream.end {
        End::Whole => format!("chunked, {} pieces", stream.arrivals.len()),
        End::PieceByPiece | End::StillOpen => "chunked, piece by piece".to_owned(),
    })
}

fn events(stream: &Stream) -> Observation {
    let text = String::from_utf8_lossy(&stream.body).replace("\r\n", "\n");
    let events = text.matches("\n\n").count();
    let first = stream.arrivals.first().copied();
    match (stream.end, first) {
        (End::PieceByPiece, Some(first)) => Observation::Held(format!(
            "first event after {}, the others later",
            human(first)
        )),
        (End::StillOpen, Some(first)) => Observation::Held(format!(
            "first event after {}, and it goes on",
            human(first)
        )),
        (End::StillOpen, None) => Break::new("the response began, but no event came in time")
            .trouble(Trouble::Buffering)
            .only_warn()
            .into(),
        // Each event in a chunk of its own was written by itself; together in one chunk, they waited for each other.
        (End::Whole, Some(first)) if events > stream.arrivals.len() && first >= LATE => {
            Break::new(format!(
                "all {events} events came at once, {} after the request",
                human(first)
            ))
            .trouble(Trouble::Buffering)
            .into()
        }
        (End::Whole | End::PieceByPiece, _) => Observation::Held(format!("{events} events")),
    }
}

fn read(subject: &Subject, instance: &Instance) -> Result<Stream, Fault> {
    let call = subject
        .http(instance, "GET", &subject.paths.stream)
        .field("Accept", "text/event-stream, */*");
    let mut wire = dial(instance)?;
    let began = Instant::now();
    let deadline = began + subject.patience();
    wire.send(&call.to_bytes())?;
    let head = wire.read_response(HEAD_LEN_MAX, deadline)?;
    subject.note_head(&head);
    subject.note_end(&head);
    let framing = Framing::of_response(&head, "GET")?;
    let mut stream = Stream {
        head,
        framing,
        arrivals: Vec::new(),
        body: Vec::new(),
        end: End::StillOpen,
    };
    let mut body = Body::new(framing);
    while stream.body.len() < BODY_LEN_MAX {
        match body.next(&mut wire, deadline) {
            Ok(Some(piece)) => {
                let now = began.elapsed();
                let before = stream.arrivals.last().copied();
                stream.arrivals.push(now);
                stream.body.extend(piece);
                if before.is_some_and(|before| now - before >= GAP) {
                    stream.end = End::PieceByPiece;
                    return Ok(stream);
                }
            }
            Ok(None) => {
                stream.end = End::Whole;
                return Ok(stream);
            }
            Err(Fault::TimedOut) => return Ok(stream),
            Err(fault) => return Err(fault),
        }
    }
    Ok(stream)
}
