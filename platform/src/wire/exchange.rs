//! A complete request and its complete response, for hooks and checks.

use std::time::{Duration, Instant};

use super::body::{Body, Framing};
use super::head::{Fields, Request, Response};
use super::{Fault, Wire};

/// Larger than the platform's limits, so that an oversized head is not reported as a broken one.
const HEAD_LEN_MAX: usize = 64 * 1024;
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
    pub(crate) answer: Response,
    pub(crate) framing: Framing,
    pub(crate) body: Vec<u8>,
    /// From the request's last byte to the response's head.
    pub(crate) first_byte: Duration,
    /// From the response's head to the first byte of its body.
    pub(crate) body_began: Option<Duration>,
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
        // A server may respond early and close: then its response counts, not the failed write.
        let sent = self.send(&call.to_bytes());
        match (self.read_reply(&call.request.method, patience), sent) {
            (Err(Fault::Closed), Err(fault)) => Err(fault),
            (reply, _) => reply,
        }
    }

    /// Reads one complete response.
    pub(crate) fn read_reply(&mut self, method: &str, patience: Duration) -> Result<Reply, Fault> {
        let began = Instant::now();
        let deadline = began + patience;
        let answer = self.read_response(HEAD_LEN_MAX, deadline)?;
        let first_byte = began.elapsed();
        let framing = Framing::of_response(&answer, method)?;
        let mut reader = Body::new(framing);
        let mut body = reader.next(self, deadline)?.unwrap_or_default();
        let body_began = (!body.is_empty()).then(|| began.elapsed() - first_byte);
        body.extend(reader.read_all(self, BODY_LEN_MAX, deadline)?);
        Ok(Reply {
            answer,
            framing,
            body,
            first_byte,
            body_began,
            whole: began.elapsed(),
        })
    }
}
