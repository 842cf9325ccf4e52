//! Passes the same bytes to this server's protocol and to hyper, in memory, and compares the requests and how the
//! connection ends.

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

/// A request as one of the two read it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    method: String,
    authority: Option<String>,
    path: String,
    /// Grouped by name, as hyper keeps the order only within a name.
    fields: Fields,
    body: Vec<u8>,
    trailers: Fields,
    is_whole: bool,
}

type Fields = Vec<(String, Vec<u8>)>;

/// How the reading of a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The request was complete.
    Served,
    Refused,
    /// The reader waited for more of it.
    Unfinished,
    /// The connection or the input had already ended.
    Absent,
}

/// What one reader read from an input.
#[derive(Debug)]
struct Reading {
    requests: Vec<Seen>,
    /// The fate of the rest after the complete requests: never `Served`.
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
                // How much of a faulty request was passed on before the fault was found does not matter.
                Fate::Refused | Fate::Absent => true,
            }
    }
}

/// The first difference between the two.
#[derive(Debug)]
pub(crate) struct Difference<'a> {
    pub(crate) ours: Fate,
    pub(crate) hypers: Fate,
    /// The reason of our refusal.
    pub(crate) reason: String,
    /// The input from the first request that they read differently. If only one of them saw a request there, the
    /// input from the request before, which ended the connection for the other.
    pub(crate) bytes: &'a [u8],
    /// Both readings, for the failure message.
    pub(crate) details: String,
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
        details: format!(
            "they differ at request {number}: {}\nours {:?} {:?}: {:#?}\nhyper's {:?}: {:#?}",
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
        // A timeout at the end means that more was waited for.
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
    // CONNECT is refused by the response to a valid request, not by the parser.
    reason.unwrap_or("CONNECT is not supported here").to_owned()
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

/// Yields all of the input, then its end. Output is discarded.
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

/// Requests as hyper passes them to its service, and how their bodies end.
#[derive(Debug, Default)]
struct Service {
    requests: Vec<Seen>,
    body_fault: Option<Fate>,
}

fn hypers(input: &[u8]) -> Reading {
    let service = Rc::new(RefCell::new(Service::default()));
    let serve = service_fn(|request| response(Rc::clone(&service), request));
    let connection = http1::Builder::new()
        .half_close(true)
        .max_headers(100)
        .auto_date_header(false)
        .serve_connection(Wire(input), serve);
    let mut connection = pin!(connection);
    let mut context = Context::from_waker(Waker::noop());
    // hyper yields every so often, so poll it until it has ended.
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

/// Echoes the request body.
async fn response(
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
