//! Answers out of bytes, as a strict peer reads them. Nothing of it is shared with the protocol it checks.

/// One final answer, and what came before it.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// How often `100 Continue` stood before it.
    pub(super) continues: usize,
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
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

/// What is awaited next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Head,
    /// So many bytes of a body.
    Length(usize),
    ChunkSize,
    /// So many bytes of a chunk, and its CRLF.
    Chunk(usize),
    /// The empty line behind the last chunk.
    LastLine,
    UntilEnd,
    /// HTTP is over: another protocol, or nothing at all.
    Over,
}

/// Takes bytes, gives answers.
#[derive(Debug)]
pub(super) struct Reader {
    place: Place,
    pending: Vec<u8>,
    /// The answer whose body is under way.
    current: Answer,
    continues: usize,
    pub(super) whole: Vec<Answer>,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self {
            place: Place::Head,
            pending: Vec::new(),
            current: Answer::default(),
            continues: 0,
            whole: Vec::new(),
        }
    }

    /// Interim answers that have come behind the last final one.
    pub(super) const fn continues(&self) -> usize {
        self.continues
    }

    /// The answer that is under way, if a byte of it has come.
    pub(super) fn partial(&self) -> Option<&Answer> {
        let is_begun = match self.place {
            Place::Head => !self.pending.is_empty(),
            Place::Over => false,
            Place::Length(_)
            | Place::ChunkSize
            | Place::Chunk(_)
            | Place::LastLine
            | Place::UntilEnd => true,
        };
        is_begun.then_some(&self.current)
    }

    /// Takes bytes; `wanted` says what the request at a place in order asked for.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        wanted: impl Fn(usize) -> Wanted,
    ) -> Result<(), String> {
        self.pending.extend_from_slice(bytes);
        while self.step(&wanted)? {}
        Ok(())
    }

    /// The stream has ended.
    pub(super) fn end(&mut self) {
        if self.place == Place::UntilEnd {
            self.finish();
        }
    }

    fn finish(&mut self) {
        self.place = if self.current.status == 101 || self.current.says_close() {
            Place::Over
        } else {
            Place::Head
        };
        self.whole.push(std::mem::take(&mut self.current));
    }

    fn step(&mut self, wanted: impl Fn(usize) -> Wanted) -> Result<bool, String> {
        match self.place {
            Place::Head => self.take_head(wanted),
            Place::Length(left) => {
                let taken = self.take_body(left);
                self.place = Place::Length(left - taken);
                if left == taken {
                    self.finish();
                }
                Ok(left == taken)
            }
            Place::ChunkSize => {
                let Some(line) = self.take_line()? else {
                    return Ok(false);
                };
                let size = usize::from_str_radix(&line, 16)
                    .map_err(|_| format!("a chunk size of {line:?}"))?;
                self.place = if size == 0 {
                    Place::LastLine
                } else {
                    Place::Chunk(size)
                };
                Ok(true)
            }
            Place::Chunk(0) => {
                let Some(line) = self.take_line()? else {
                    return Ok(false);
                };
                self.place = Place::ChunkSize;
                if line.is_empty() {
                    Ok(true)
                } else {
                    Err(format!("{line:?} behind a chunk"))
                }
            }
            Place::Chunk(left) => {
                let taken = self.take_body(left);
                self.place = Place::Chunk(left - taken);
                Ok(taken > 0)
            }
            Place::LastLine => {
                let Some(line) = self.take_line()? else {
                    return Ok(false);
                };
                if !line.is_empty() {
                    return Err(format!("a trailer {line:?}"));
                }
                self.finish();
                Ok(true)
            }
            Place::UntilEnd => {
                self.take_body(usize::MAX);
                Ok(false)
            }
            Place::Over if self.pending.is_empty() => Ok(false),
            Place::Over => Err(format!(
                "bytes behind the end: {}",
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
            .map_err(|_| "a line that is no text".to_owned())
    }

    fn take_head(&mut self, wanted: impl Fn(usize) -> Wanted) -> Result<bool, String> {
        let Some(end) = self.pending.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(false);
        };
        let head: Vec<u8> = self.pending.drain(..end + 4).collect();
        let text = String::from_utf8(head).map_err(|_| "a head that is no text".to_owned())?;
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
        let mut fields = Vec::new();
        for line in lines {
            let (name, value) = line
                .split_once(": ")
                .ok_or_else(|| format!("a field {line:?}"))?;
            fields.push((name.to_owned(), value.to_owned()));
        }
        self.current = Answer {
            status,
            continues: std::mem::take(&mut self.continues),
            fields,
            body: Vec::new(),
        };
        self.place = self.framing(wanted(self.whole.len()))?;
        if self.place == Place::Length(0) {
            self.finish();
        }
        Ok(true)
    }

    fn framing(&self, wanted: Wanted) -> Result<Place, String> {
        let length = self.current.field("content-length");
        let coding = self.current.field("transfer-encoding");
        let bodiless = self.current.status < 200 || matches!(self.current.status, 204 | 304);
        match (length, coding) {
            (Some(_), Some(_)) => Err("both framings in one answer".to_owned()),
            (None, None) if bodiless => Ok(Place::Length(0)),
            _ if bodiless => Err("framing where there is no body".to_owned()),
            _ if wanted == Wanted::HeadAlone => Ok(Place::Length(0)),
            (Some(length), None) => length
                .parse()
                .map(Place::Length)
                .map_err(|_| format!("a length of {length:?}")),
            (None, Some("chunked")) => Ok(Place::ChunkSize),
            (None, Some(coding)) => Err(format!("a coding {coding:?}")),
            (None, None) if self.current.says_close() => Ok(Place::UntilEnd),
            (None, None) => Err("an answer without an end".to_owned()),
        }
    }
}

/// Which part of an answer was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Everything,
    /// HEAD: no body, whatever its length.
    HeadAlone,
}
