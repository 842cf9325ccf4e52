//! Heads of requests and responses.

use std::time::Instant;

use super::grammar::{self, Scan, malformed};
use super::{Fault, Wire};

/// Header fields in the order of their arrival.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(pub(crate) Vec<(String, Vec<u8>)>);

impl Fields {
    /// The first value of a field.
    pub(crate) fn first(&self, name: &str) -> Option<&[u8]> {
        let is_named = |field: &&(String, Vec<u8>)| field.0.eq_ignore_ascii_case(name);
        self.0
            .iter()
            .find(is_named)
            .map(|(_, value)| value.as_slice())
    }

    /// Every value of a field, line by line.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let named = self
            .0
            .iter()
            .filter(move |(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_slice())
    }

    /// The elements of a comma-separated list, over all its lines and in lower case.
    pub(crate) fn elements(&self, name: &str) -> Vec<String> {
        let lists = self.all(name).map(String::from_utf8_lossy);
        let mut elements = Vec::new();
        for list in lists {
            let found = list.split(',').map(|element| element.trim().to_lowercase());
            elements.extend(found.filter(|element| !element.is_empty()));
        }
        elements
    }

    /// The first value as text. An empty value counts as absent, as on the platform.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let text = self.first(name).map(String::from_utf8_lossy)?;
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// Whether a comma-separated list contains the token, which is in lower case.
    pub(crate) fn has_token(&self, name: &str, token: &str) -> bool {
        self.elements(name).iter().any(|element| element == token)
    }

    /// Adds a field.
    pub(crate) fn push(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.0.push((name.to_owned(), value.as_ref().to_vec()));
    }

    /// Replaces a field.
    pub(crate) fn set(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.0
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.push(name, value);
    }

    /// Removes the fields whose lower-case name matches.
    pub(crate) fn drop_where(&mut self, test: impl Fn(&str) -> bool) {
        self.0.retain(|(name, _)| !test(&name.to_ascii_lowercase()));
    }

    /// Appends the field lines and the empty line.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for (name, value) in &self.0 {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }
}

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
