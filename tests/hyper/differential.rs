//! The same bytes to this server's protocol and to hyper, in memory: which requests each sees, and how it ends.

use std::cell::RefCell;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use coldstart::sim::{Cuts, Ending, Exchange, Message, exchange_echo};
use hyper::body::{Body as _, Incoming};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};

use crate::known::KNOWN;

/// A request as either of the two has seen it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    method: String,
    authority: Option<String>,
    path: String,
    /// By name: hyper keeps the order within a name only.
    fields: Fields,
    body: Vec<u8>,
    trailers: Fields,
    is_whole: bool,
}

type Fields = Vec<(String, Vec<u8>)>;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was seen whole.
    Served,
    Refused,
    /// More of it was waited for.
    Unfinished,
    /// The connection had ended, or the input.
    Absent,
}

/// What one reader made of an input.
#[derive(Debug)]
struct Reading {
    requests: Vec<Seen>,
    /// What became of whatever stands behind the whole requests: served is none of it.
    rest: Fate,
}

impl Reading {
    fn fate(&self, number: usize) -> Fate {
        match self.requests.get(number) {
            Some(request) if request.is_whole => Fate::Served,
            _ => self.rest,
        }
    }

    fn is_same_at(&self, other: &Self, number: usize) -> bool {
        let fate = self.fate(number);
        let (one, two) = (self.requests.get(number), other.requests.get(number));
        fate == other.fate(number)
            && match fate {
                Fate::Served | Fate::Unfinished => one == two,
                // How much of it was passed on before its fault was found is nobody's concern.
                Fate::Refused | Fate::Absent => true,
            }
    }
}

/// Where the two part.
#[derive(Debug)]
pub(crate) struct Difference<'a> {
    pub(crate) ours: Fate,
    pub(crate) hypers: Fate,
    /// The sentence with which we refused it.
    pub(crate) reason: String,
    /// The input from the request on that they read differently. Where only one of them saw one there, from that before
    /// it on, which has ended the connection.
    pub(crate) bytes: &'a [u8],
    /// The reading of both, for whoever has to find out why.
    told: String,
}

/// Compares both readings of `input`.
///
/// # Errors
///
/// The two differ, and no entry of [`KNOWN`] says why.
pub(crate) fn compare(input: &[u8]) -> Result<(), String> {
    let Some(difference) = difference(input) else {
        return Ok(());
    };
    match KNOWN.iter().find(|known| known.explains(&difference)) {
        Some(_) => Ok(()),
        None => Err(difference.told),
    }
}

/// For a fuzzer.
pub(crate) fn check(input: &[u8]) {
    assert_eq!(compare(input), Ok(()), "the two read it differently");
}

/// The first request that the two read differently.
pub(crate) fn difference(input: &[u8]) -> Option<Difference<'_>> {
    let exchange = exchange_echo(input, Cuts::Whole, Ending::Timeout);
    let ours = ours(&exchange);
    let hypers = hypers(input);
    let count = ours.requests.len().max(hypers.requests.len());
    let number = (0..=count).find(|number| !ours.is_same_at(&hypers, *number))?;
    let fates = (ours.fate(number), hypers.fate(number));
    let is_ended_by_one = matches!(
        fates,
        (Fate::Absent, Fate::Served | Fate::Unfinished)
            | (Fate::Served | Fate::Unfinished, Fate::Absent)
    );
    let first = number - usize::from(is_ended_by_one && number > 0);
    let start = first
        .checked_sub(1)
        .map_or(0, |before| exchange.ends[before]);
    Some(Difference {
        ours: fates.0,
        hypers: fates.1,
        reason: reason(&exchange),
        bytes: &input[start..],
        told: format!(
            "they part at request {number}: {}\nours {:?} {:?}: {:#?}\nhyper's {:?}: {:#?}",
            input[start..].escape_ascii(),
            fates.0,
            reason(&exchange),
            ours.requests.get(number),
            fates.1,
            hypers.requests.get(number),
        ),
    })
}

fn ours(exchange: &Exchange) -> Reading {
    let requests: Vec<Seen> = exchange.messages.iter().map(seen).collect();
    let is_tunnel = requests.last().is_some_and(|last| last.method == "CONNECT");
    let is_ended = exchange.ends.len() == requests.len();
    let rest = match exchange.refused {
        // The time that is up tells that more was waited for.
        Some(408) => Fate::Unfinished,
        Some(_) => Fate::Refused,
        None if is_tunnel && !is_ended => Fate::Refused,
        None => Fate::Absent,
    };
    Reading { requests, rest }
}

fn reason(exchange: &Exchange) -> String {
    let mut events = exchange.events.iter();
    let refused = events.find_map(|event| event.strip_prefix("refused "));
    let reason = refused.and_then(|refused| refused.get("400 ".len()..));
    // A tunnel is refused by an answer to a good request.
    reason.unwrap_or("CONNECT is not served here").to_owned()
}

fn seen(message: &Message) -> Seen {
    let path = match message.path.as_str() {
        _ if message.method == "CONNECT" => String::new(),
        path if path.is_empty() || path.starts_with('?') => format!("/{path}"),
        path => path.to_owned(),
    };
    Seen {
        method: message.method.clone(),
        authority: message.authority.clone(),
        path,
        fields: by_name(
            message
                .fields
                .iter()
                .map(|(name, value)| (name.as_str(), &value[..])),
        ),
        body: message.body.clone(),
        trailers: by_name(
            message
                .trailers
                .iter()
                .map(|(name, value)| (name.as_str(), &value[..])),
        ),
        is_whole: message.is_whole,
    }
}

fn by_name<'a>(fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> Fields {
    let mut fields: Fields = fields
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec()))
        .collect();
    fields.sort_by(|one, two| one.0.cmp(&two.0));
    fields
}

/// All of the input, then its end; what is written to it is dropped.
struct Wire<'a>(&'a [u8]);

impl Read for Wire<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut room: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let (piece, rest) = self.0.split_at(self.0.len().min(room.remaining()));
        room.put_slice(piece);
        self.0 = rest;
        Poll::Ready(Ok(()))
    }
}

impl Write for Wire<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Requests as hyper passes them to its service, and what its bodies end with.
#[derive(Debug, Default)]
struct Service {
    requests: Vec<Seen>,
    body_fault: Option<Fate>,
}

fn hypers(input: &[u8]) -> Reading {
    let service = Rc::new(RefCell::new(Service::default()));
    let serve = service_fn(|request| answer(Rc::clone(&service), request));
    let connection = http1::Builder::new()
        .half_close(true)
        .max_headers(100)
        .auto_date_header(false)
        .serve_connection(Wire(input), serve);
    let mut connection = pin!(connection);
    let mut context = Context::from_waker(Waker::noop());
    // It gives way to others every so often, and nobody else is here: it is asked again until it has ended.
    let mut polls = 100 + input.len();
    let ended = loop {
        if let Poll::Ready(ended) = connection.as_mut().poll(&mut context) {
            break ended;
        }
        polls -= 1;
        assert!(polls > 0, "hyper does not end: {}", input.escape_ascii());
    };
    let rest = match ended {
        Ok(()) => Fate::Absent,
        Err(error) if error.is_incomplete_message() => Fate::Unfinished,
        Err(_) => Fate::Refused,
    };
    let Service {
        requests,
        body_fault,
    } = service.take();
    Reading {
        requests,
        rest: body_fault.unwrap_or(rest),
    }
}

/// Answers with the request's own body.
async fn answer(
    service: Rc<RefCell<Service>>,
    request: Request<Incoming>,
) -> Result<Response<String>, hyper::Error> {
    let (head, body) = request.into_parts();
    let path = head.uri.path_and_query().map(ToString::to_string);
    let headers = head.headers.iter();
    let seen = Seen {
        method: head.method.to_string(),
        authority: head.uri.authority().map(ToString::to_string),
        path: path.unwrap_or_default(),
        fields: by_name(headers.map(|(name, value)| (name.as_str(), value.as_bytes()))),
        ..Seen::default()
    };
    service.borrow_mut().requests.push(seen);
    let mut body = pin!(body);
    while let Some(frame) = std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await
    {
        let mut service = service.borrow_mut();
        match frame {
            Ok(frame) => on_frame(&mut service, frame),
            Err(error) => {
                service.body_fault = Some(fate_of_body(&error));
                return Err(error);
            }
        }
    }
    if let Some(seen) = service.borrow_mut().requests.last_mut() {
        seen.is_whole = true;
    }
    Ok(Response::new(String::new()))
}

fn on_frame(service: &mut Service, frame: hyper::body::Frame<hyper::body::Bytes>) {
    let Some(seen) = service.requests.last_mut() else {
        return;
    };
    match frame.into_data() {
        Ok(bytes) => seen.body.extend_from_slice(&bytes),
        Err(frame) => {
            let trailers = frame.into_trailers().unwrap_or_default();
            let trailers = trailers.iter();
            seen.trailers =
                by_name(trailers.map(|(name, value)| (name.as_str(), value.as_bytes())));
        }
    }
}

fn fate_of_body(error: &hyper::Error) -> Fate {
    let cause =
        std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    match cause.map(io::Error::kind) {
        Some(io::ErrorKind::UnexpectedEof) => Fate::Unfinished,
        _ if error.is_incomplete_message() => Fate::Unfinished,
        _ => Fate::Refused,
    }
}
