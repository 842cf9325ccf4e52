//! Heads of requests and responses.

use std::time::Instant;

use super::fields::Fields;
use super::grammar::{self, Scan, malformed};
use super::{Fault, Wire};

/// A request's head.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// In origin-form, or `*`; an authority before it has replaced `Host`.
    pub(crate) target: String,
    pub(crate) minor_version: u8,
    pub(crate) fields: Fields,
    /// The length of the field section, which the platform limits.
    pub(crate) fields_len: usize,
}

impl Request {
    /// Whether the caller wants the connection to persist (RFC 9112 §9.3).
    pub(crate) fn keeps_alive(&self) -> bool {
        if self.fields.has_token("connection", "close") {
            return false;
        }
        self.minor_version > 0 || self.fields.has_token("connection", "keep-alive")
    }

    /// The head's bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        self.fields.write(&mut out);
        out
    }
}

/// A response's head.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) reason: Vec<u8>,
    pub(crate) minor_version: u8,
    pub(crate) fields: Fields,
    pub(crate) fields_len: usize,
}

impl Response {
    /// Whether the connection persists after this response.
    pub(crate) fn keeps_alive(&self) -> bool {
        if self.fields.has_token("connection", "close") {
            return false;
        }
        self.minor_version > 0 || self.fields.has_token("connection", "keep-alive")
    }

    /// Whether this is an interim response: the final one follows.
    pub(crate) const fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }
}

impl Wire {
    /// The next request; `None` when the peer closes between two requests.
    pub(crate) fn read_request(
        &mut self,
        length_max: usize,
        deadline: Instant,
    ) -> Result<Option<Request>, Fault> {
        let Some(bytes) = self.read_head(length_max, deadline)? else {
            return Ok(None);
        };
        let (line, section) = grammar::split_first_line(&bytes);
        let (method, target, minor_version) = grammar::request_line(line)?;
        let mut fields = grammar::fields(section)?;
        let (target, authority) = grammar::normalized_target(method, target)?;
        check_host(&fields, minor_version)?;
        if let Some(authority) = authority {
            fields.drop_where(|name| name == "host");
            fields.0.insert(0, ("Host".to_owned(), authority.into()));
        }
        Ok(Some(Request {
            method: method.to_owned(),
            target: target.into_owned(),
            minor_version,
            fields,
            fields_len: section.len(),
        }))
    }

    /// The next final response; interim ones are skipped.
    pub(crate) fn read_response(
        &mut self,
        length_max: usize,
        deadline: Instant,
    ) -> Result<Response, Fault> {
        loop {
            let response = self.read_any_response(length_max, deadline)?;
            if !response.is_interim() {
                return Ok(response);
            }
        }
    }

    /// The next response, interim or final.
    pub(crate) fn read_any_response(
        &mut self,
        length_max: usize,
        deadline: Instant,
    ) -> Result<Response, Fault> {
        let bytes = self.read_head(length_max, deadline)?.ok_or(Fault::Closed)?;
        let (line, section) = grammar::split_first_line(&bytes);
        let (minor_version, status, reason) = grammar::status_line(line)?;
        Ok(Response {
            status,
            reason: reason.to_vec(),
            minor_version,
            fields_len: section.len(),
            fields: grammar::response_fields(section)?,
        })
    }

    fn read_head(
        &mut self,
        length_max: usize,
        deadline: Instant,
    ) -> Result<Option<Vec<u8>>, Fault> {
        let mut scan = Scan::default();
        let mut has_skipped = false;
        loop {
            // One empty line before a request line is ignored, RFC 9112 §2.2.
            if !has_skipped && self.unread().starts_with(b"\r\n") {
                self.take(2);
                has_skipped = true;
                scan = Scan::default();
            }
            let is_prefix = !has_skipped && self.unread() == b"\r";
            if !is_prefix && let Some(length) = grammar::section_len(self.unread(), &mut scan)? {
                if length == 2 {
                    return Err(malformed("an empty line in place of a head"));
                }
                if length > length_max {
                    return Err(Fault::HeadTooLong);
                }
                return Ok(Some(self.take(length)));
            }
            if self.unread().len() > length_max {
                return Err(Fault::HeadTooLong);
            }
            if !self.fill(deadline)? {
                return if self.unread().is_empty() {
                    Ok(None)
                } else {
                    Err(Fault::ClosedMidway)
                };
            }
        }
    }
}

/// RFC 9112 §3.2: one well-formed `Host`, which only HTTP/1.0 may leave out.
fn check_host(fields: &Fields, minor_version: u8) -> Result<(), Fault> {
    let hosts: Vec<_> = fields.all("host").collect();
    match hosts.as_slice() {
        [] if minor_version == 0 => Ok(()),
        [] => Err(malformed("a request without Host")),
        [host] if grammar::is_host(host) => Ok(()),
        [_] => Err(malformed("a malformed Host")),
        [_, ..] => Err(malformed("more than one Host")),
    }
}
