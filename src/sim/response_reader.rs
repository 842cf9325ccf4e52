//! Parses responses strictly, as a peer. It shares no code with the protocol that it checks.

/// A final response, and the number of interim responses before it.
#[derive(Clone, Debug, Default)]
pub(super) struct ReceivedResponse {
    pub(super) status: u16,
    /// How often `100 Continue` came before it.
    pub(super) continues: usize,
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Vec<String>,
}

impl ReceivedResponse {
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn says_close(&self) -> bool {
        self.field("connection") == Some("close")
    }
}

/// The field of an upgrade whose code stays on the loop.
pub(super) const SOCKET: &str = "x-socket";

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Head,
    /// This many bytes of a body.
    Length(usize),
    ChunkSize,
    /// This many bytes of a chunk, and its CRLF.
    Chunk(usize),
    /// A trailer, or the empty line after the last chunk.
    LastLine,
    UntilEnd,
    /// Nothing, or another protocol.
    Over,
}

/// Turns bytes into responses.
#[derive(Debug)]
pub(super) struct ResponseReader {
    next: Next,
    pending: Vec<u8>,
    /// The response whose body is incomplete.
    current: ReceivedResponse,
    continues: usize,
    pub(super) responses: Vec<ReceivedResponse>,
}

impl ResponseReader {
    pub(super) fn new() -> Self {
        Self {
            next: Next::Head,
            pending: Vec::new(),
            current: ReceivedResponse::default(),
            continues: 0,
            responses: Vec::new(),
        }
    }

    /// The number of interim responses after the last final one.
    pub(super) const fn continues(&self) -> usize {
        self.continues
    }

    /// The incomplete response, if a byte of it has come.
    pub(super) fn partial(&self) -> Option<&ReceivedResponse> {
        let is_begun = match self.next {
            Next::Head => !self.pending.is_empty(),
            Next::Over => false,
            Next::Length(_)
            | Next::ChunkSize
            | Next::Chunk(_)
            | Next::LastLine
            | Next::UntilEnd => true,
        };
        is_begun.then_some(&self.current)
    }

    /// Parses bytes; `method` returns the method of the request with this number.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        method: impl Fn(usize) -> RequestMethod,
    ) -> Result<(), String> {
        self.pending.extend_from_slice(bytes);
        while self.step(&method)? {}
        Ok(())
    }

    /// Handles the end of the stream.
    pub(super) fn end(&mut self) {
        if self.next == Next::UntilEnd {
            self.finish();
        }
    }

    fn finish(&mut self) {
        self.next = if self.current.status == 101 || self.current.says_close() {
            Next::Over
        } else {
            Next::Head
        };
        self.responses.push(std::mem::take(&mut self.current));
    }

    fn step(&mut self, method: impl Fn(usize) -> RequestMethod) -> Result<bool, String> {
        match self.next {
            Next::Head => self.take_head(method),
            Next::Length(left) => {
                let taken = self.take_body(left);
                self.next = Next::Length(left - taken);
                if left == taken {
                    self.finish();
                }
                Ok(left == taken)
            }
            Next::ChunkSize => {
                let Some(line) = self.take_line()? else {
                    return Ok(false);
                };
                let size = usize::from_str_radix(&line, 16)
                    .map_err(|_| format!("a chunk size of {line:?}"))?;
                self.next = if size == 0 {
                    Next::LastLine
                } else {
                    Next::Chunk(size)
                };
                Ok(true)
            }
            Next::Chunk(0) => {
                let Some(line) = self.take_line()? else {
                    return Ok(false);
                };
                self.next = Next::ChunkSize;
                if line.is_empty() {
                    Ok(true)
                } else {
                    Err(format!("{line:?} after a chunk"))
                }
            }
            Next::Chunk(left) => {
                let taken = self.take_body(left);
                self.next = Next::Chunk(left - taken);
                Ok(taken > 0)
            }
            Next::LastLine => {
                let Some(line) = self.take_line()? else {
                    return Ok(false);
                };
                if line.is_empty() {
                    self.finish();
                } else {
                    self.current.trailers.push(line);
                }
                Ok(true)
            }
            Next::UntilEnd => {
                self.take_body(usize::MAX);
                Ok(false)
            }
            Next::Over if self.pending.is_empty() => Ok(false),
            Next::Over => Err(format!(
                "bytes after the last response: {}",
                self.pending.escape_ascii()
            )),
        }
    }

    fn take_body(&mut self, len_max: usize) -> usize {
        let len = len_max.min(self.pending.len());
        self.current.body.extend(self.pending.drain(..len));
        len
    }

    fn take_line(&mut self) -> Result<Option<String>, String> {
        let Some(end) = self.pending.windows(2).position(|pair| pair == b"\r\n") else {
            return Ok(None);
        };
        let line: Vec<u8> = self.pending.drain(..end + 2).take(end).collect();
        String::from_utf8(line)
            .map(Some)
            .map_err(|_| "a line that is not UTF-8".to_owned())
    }

    fn take_head(&mut self, method: impl Fn(usize) -> RequestMethod) -> Result<bool, String> {
        let Some(end) = self.pending.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(false);
        };
        let head: Vec<u8> = self.pending.drain(..end + 4).collect();
        let text = String::from_utf8(head).map_err(|_| "a head that is not UTF-8".to_owned())?;
        let mut lines = text.trim_end().split("\r\n");
        let status = lines.next().unwrap_or_default();
        let status: u16 = status
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.split_once(' '))
            .and_then(|(code, _)| code.parse().ok())
            .ok_or_else(|| format!("a status line {status:?}"))?;
        if status == 100 {
            self.continues += 1;
            return Ok(true);
        }
        if status == 103 {
            return Ok(true);
        }
        let mut fields = Vec::new();
        for line in lines {
            let (name, value) = line
                .split_once(": ")
                .ok_or_else(|| format!("a field {line:?}"))?;
            fields.push((name.to_owned(), value.to_owned()));
        }
        self.current = ReceivedResponse {
            status,
            continues: std::mem::take(&mut self.continues),
            fields,
            body: Vec::new(),
            trailers: Vec::new(),
        };
        self.next = self.framing(method(self.responses.len()))?;
        if self.next == Next::Length(0) {
            self.finish();
        }
        Ok(true)
    }

    fn framing(&self, method: RequestMethod) -> Result<Next, String> {
        if self.current.field(SOCKET).is_some() {
            // What follows is not HTTP, and is checked as well.
            return Ok(Next::UntilEnd);
        }
        let length = self.current.field("content-length");
        let coding = self.current.field("transfer-encoding");
        let bodiless = self.current.status < 200 || matches!(self.current.status, 204 | 304);
        match (length, coding) {
            (Some(_), Some(_)) => Err("both framings in one response".to_owned()),
            (None, None) if bodiless => Ok(Next::Length(0)),
            _ if bodiless => Err("framing without a body".to_owned()),
            _ if method == RequestMethod::Head => Ok(Next::Length(0)),
            (Some(length), None) => length
                .parse()
                .map(Next::Length)
                .map_err(|_| format!("a length of {length:?}")),
            (None, Some("chunked")) => Ok(Next::ChunkSize),
            (None, Some(coding)) => Err(format!("a coding {coding:?}")),
            (None, None) if self.current.says_close() => Ok(Next::UntilEnd),
            (None, None) => Err("a response without framing".to_owned()),
        }
    }
}

/// Whether the response to a request has a body (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestMethod {
    /// It has none, whatever its framing fields say.
    Head,
    Other,
}
