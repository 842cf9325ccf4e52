//! A complete request and its complete response, for hooks and checks.

use std::io::Write as _;
use std::net::Shutdown;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::body::{Body, Framing};
use super::fields::Fields;
use super::head::{Request, Response};
use super::{Fault, Wire};
use crate::shortage;

/// Larger than the platform's limits, so that an oversized head is not reported as a broken one.
const HEAD_LEN_MAX: usize = 64 * 1024;
/// The kernel's buffers take this much whether or not the server reads.
const SENT_AT_ONCE_MAX: usize = 16 * 1024;
/// How long a server may take for the rest of a request that it has already responded to.
const LAST_BYTES: Duration = Duration::from_secs(1);
const BODY_LEN_MAX: usize = 64 * 1024 * 1024;

/// A request to send.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    request: Request,
    body: Vec<u8>,
}

impl Call {
    /// A request without a body.
    pub(crate) fn new(method: &str, target: &str) -> Self {
        let mut fields = Fields::default();
        fields.push("Host", "127.0.0.1");
        let request = Request {
            method: method.to_owned(),
            target: target.to_owned(),
            minor_version: 1,
            fields,
            fields_len: 0,
        };
        Self {
            request,
            body: Vec::new(),
        }
    }

    /// Adds a field.
    pub(crate) fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.request.fields.push(name, value);
        self
    }

    /// Adds fields.
    pub(crate) fn fields(mut self, fields: Fields) -> Self {
        self.request.fields.0.extend(fields.0);
        self
    }

    /// Sets the body.
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The body's length.
    pub(crate) const fn body_len(&self) -> usize {
        self.body.len()
    }

    /// The request's bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut request = self.request.clone();
        if !self.body.is_empty() || !matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS") {
            request
                .fields
                .push("Content-Length", self.body.len().to_string());
        }
        let mut bytes = request.to_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// A complete response.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) head: Response,
    pub(crate) body: Vec<u8>,
    /// From the request's last byte to the response's head.
    pub(crate) first_byte: Duration,
    /// From the request's last byte to the response's last byte.
    pub(crate) whole: Duration,
}

impl Reply {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Wire {
    /// Sends a request and reads its complete response.
    pub(crate) fn call(&mut self, call: &Call, patience: Duration) -> Result<Reply, Fault> {
        self.stream().set_write_timeout(Some(patience))?;
        let (method, bytes) = (&call.request.method, call.to_bytes());
        // A server may respond early and close: then its response counts, not the failed write.
        if bytes.len() > SENT_AT_ONCE_MAX {
            return self.call_both_ways(method, &bytes, patience);
        }
        let sent = self.send(&bytes);
        match (self.read_reply(method, patience), sent) {
            (Err(Fault::Closed), Err(fault)) => Err(fault),
            (reply, _) => reply,
        }
    }

    /// Reads while it sends: a server that echoes a large body stops reading when its own response is not read.
    fn call_both_ways(
        &mut self,
        method: &str,
        bytes: &[u8],
        patience: Duration,
    ) -> Result<Reply, Fault> {
        let sending = self.stream().try_clone()?;
        let (done, is_done) = mpsc::channel();
        thread::scope(|scope| {
            let writer = shortage::spawn_scoped(scope, move || {
                let sent = (&sending).write_all(bytes).map_err(Fault::from);
                done.send(()).ok();
                sent
            })?;
            let reply = self.read_reply(method, patience);
            // With the whole response here, a server that still does not read the rest never will.
            if is_done.recv_timeout(LAST_BYTES).is_err() {
                self.stream().shutdown(Shutdown::Both).ok();
            }
            match (reply, writer.join()) {
                (Err(Fault::Closed), Ok(Err(fault))) => Err(fault),
                (reply, _) => reply,
            }
        })
    }

    /// Reads one complete response.
    pub(crate) fn read_reply(&mut self, method: &str, patience: Duration) -> Result<Reply, Fault> {
        let began = Instant::now();
        let deadline = began + patience;
        let head = self.read_response(HEAD_LEN_MAX, deadline)?;
        let first_byte = began.elapsed();
        let framing = Framing::of_response(&head, method)?;
        let read = Body::new(framing).read_all(self, BODY_LEN_MAX, deadline);
        let body = read.map_err(|fault| match (fault, framing) {
            (Fault::TimedOut, Framing::UntilClose) => Fault::Endless,
            (fault, _) => fault,
        })?;
        Ok(Reply {
            head,
            body,
            first_byte,
            whole: began.elapsed(),
        })
    }
}
