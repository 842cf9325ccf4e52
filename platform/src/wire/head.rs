//! Heads of requests and responses.

use std::time::Instant;

use super::{Fault, Wire};

const FIELDS_MAX: usize = 256;
const LINE_END: &[u8] = b"\r\n\r\n";

/// Header fields in the order of their arrival.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(pub(crate) Vec<(String, Vec<u8>)>);

impl Fields {
    /// The first value of a field.
    pub(crate) fn first(&self, name: &str) -> Option<&[u8]> {
        self.0
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_slice())
    }

    /// The first value as text. An empty value counts as absent, as on the platform.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let text = self.first(name).map(String::from_utf8_lossy)?;
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// Whether a comma-separated list contains the token.
    pub(crate) fn has_token(&self, name: &str, token: &str) -> bool {
        let values = self
            .0
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let mut lists = values.map(|(_, value)| String::from_utf8_lossy(value).into_owned());
        lists.any(|list| {
            list.split(',')
                .any(|item| item.trim().eq_ignore_ascii_case(token))
        })
    }

    /// Adds a field.
    pub(crate) fn push(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.0.push((name.to_owned(), value.as_ref().to_vec()));
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
    pub(crate) target: String,
    pub(crate) minor_version: u8,
    pub(crate) fields: Fields,
    /// The length of the field section, which the platform limits.
    pub(crate) fields_len: usize,
}

impl Request {
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
    pub(crate) reason: String,
    pub(crate) minor_version: u8,
    pub(crate) fields: Fields,
    pub(crate) fields_len: usize,
}

impl Response {
    /// Whether the connection persists after this response.
    pub(crate) fn keeps_alive(&self) -> bool {
        if self.minor_version == 0 {
            return self.fields.has_token("connection", "keep-alive");
        }
        !self.fields.has_token("connection", "close")
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
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut parsed = httparse::Request::new(&mut fields);
        let complete = parsed
            .parse(&bytes)
            .map_err(|error| Fault::Malformed(error.to_string()))?;
        if complete.is_partial() {
            return Err(Fault::Malformed("incomplete head".to_owned()));
        }
        Ok(Some(Request {
            method: parsed.method.unwrap_or_default().to_owned(),
            target: parsed.path.unwrap_or_default().to_owned(),
            minor_version: parsed.version.unwrap_or(1),
            fields_len: fields_len(&bytes),
            fields: owned(parsed.headers),
        }))
    }

    /// The next final response; interim ones are skipped.
    pub(crate) fn read_response(
        &mut self,
        length_max: usize,
        deadline: Instant,
    ) -> Result<Response, Fault> {
        loop {
            let bytes = self.read_head(length_max, deadline)?.ok_or(Fault::Closed)?;
            let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
            let mut parsed = httparse::Response::new(&mut fields);
            let complete = parsed
                .parse(&bytes)
                .map_err(|error| Fault::Malformed(error.to_string()))?;
            let status = parsed.code.unwrap_or(0);
            if complete.is_partial() {
                return Err(Fault::Malformed("incomplete head".to_owned()));
            }
            if (100..200).contains(&status) && status != 101 {
                continue;
            }
            return Ok(Response {
                status,
                reason: parsed.reason.unwrap_or_default().to_owned(),
                minor_version: parsed.version.unwrap_or(1),
                fields_len: fields_len(&bytes),
                fields: owned(parsed.headers),
            });
        }
    }

    fn read_head(
        &mut self,
        length_max: usize,
        deadline: Instant,
    ) -> Result<Option<Vec<u8>>, Fault> {
        let mut searched = 0;
        loop {
            // An empty line before a request line is ignored, RFC 9112 §2.2.
            while self.unread().starts_with(b"\r\n") {
                self.take(2);
            }
            let from = self.unread().get(searched..).unwrap_or_default();
            if let Some(at) = from
                .windows(LINE_END.len())
                .position(|window| window == LINE_END)
            {
                return Ok(Some(self.take(searched + at + LINE_END.len())));
            }
            if self.unread().len() > length_max {
                return Err(Fault::HeadTooLong);
            }
            searched = self.unread().len().saturating_sub(LINE_END.len());
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

fn fields_len(head: &[u8]) -> usize {
    let first_line = head
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    head.len() - first_line
}

fn owned(fields: &[httparse::Header<'_>]) -> Fields {
    Fields(
        fields
            .iter()
            .map(|field| (field.name.to_owned(), field.value.to_vec()))
            .collect(),
    )
}
