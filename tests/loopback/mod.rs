//! A client, a server and a child process on the loopback interface, for tests of the real kernel.
//!
//! No test sleeps and hopes: each wait is for a condition, and [`PATIENCE`] only guards against hanging.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::panic,
    clippy::print_stderr,
    reason = "a failed set-up must fail the test, and tests read the clock to bound their waits"
)]
#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod gate;
mod port;
pub(crate) mod process;
pub(crate) mod server;

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use port::free_port;

/// How long a condition may take on a machine that is busy with other work.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `is_so` returns true.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "timed out waiting: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Sleeps, to observe that something does *not* happen, or to outlast a timeout.
pub(crate) fn outlast(time: Duration) {
    thread::sleep(time);
}

/// Seconds since 1970.
pub(crate) fn unix_seconds() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("the clock is past 1970")
        .as_secs()
}

/// A response from a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl HttpResponse {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The `Date` field in seconds since 1970.
    pub(crate) fn date_seconds(&self) -> u64 {
        let date = self.field("date").expect("a date");
        let parts: Vec<&str> = date.split([' ', ':']).collect();
        let number = |at: usize| parts[at].parse::<u64>().expect("a number");
        let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
        let month = months.find(parts[2]).expect("a month") as u64 / 3 + 1;
        let (year, day) = (number(3), number(1));
        // Counts days since 1970 with March as the first month.
        let (year, month) = match month {
            1 | 2 => (year - 1, month + 9),
            _ => (year, month - 3),
        };
        let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day;
        (days - 719_469) * 86_400 + number(4) * 3_600 + number(5) * 60 + number(6)
    }
}

/// A client's connection to a server.
#[derive(Debug)]
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("the server listens"))
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_nodelay(true).expect("a socket");
        Self(BufReader::new(stream))
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        self.0.get_ref()
    }

    pub(crate) fn send(&self, bytes: impl AsRef<[u8]>) {
        let sent = self.stream().write_all(bytes.as_ref());
        sent.expect("the socket takes the bytes");
    }

    pub(crate) fn shut_down_output(&self) {
        let ended = self.stream().shutdown(std::net::Shutdown::Write);
        ended.expect("an open socket");
    }

    /// The next response on the connection, to a request that was not HEAD.
    pub(crate) fn response(&mut self) -> HttpResponse {
        self.try_response().expect("a response")
    }

    pub(crate) fn request(&mut self, request: impl AsRef<[u8]>) -> HttpResponse {
        self.send(request);
        self.response()
    }

    /// Reads the head of a request, for a test that plays a server.
    pub(crate) fn request_head(&mut self) -> String {
        self.until_empty_line().expect("a request")
    }

    fn until_empty_line(&mut self) -> io::Result<String> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(head)
    }

    /// Reads the head of a response, and nothing after it.
    pub(crate) fn head(&mut self) -> io::Result<HttpResponse> {
        let head = self.until_empty_line()?;
        let status = head.get(9..12).and_then(|digits| digits.parse().ok());
        Ok(HttpResponse {
            status: status.ok_or(io::ErrorKind::InvalidData)?,
            head,
            body: Vec::new(),
        })
    }

    pub(crate) fn try_response(&mut self) -> io::Result<HttpResponse> {
        let mut response = self.head()?;
        let len = response.field("content-length").map(str::parse);
        let len = len.unwrap_or(Ok(0)).map_err(io::Error::other)?;
        response.body = vec![0; len];
        self.0.read_exact(&mut response.body)?;
        Ok(response)
    }

    /// The next chunk of a chunked body, or `None` after the last one. An error if the connection ends before that.
    pub(crate) fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut size = String::new();
        self.0.read_line(&mut size)?;
        let digits = size
            .strip_suffix("\r\n")
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let len = usize::from_str_radix(digits, 16).map_err(io::Error::other)?;
        let mut chunk = vec![0; len + 2];
        self.0.read_exact(&mut chunk)?;
        assert_eq!(
            &chunk[len..],
            b"\r\n",
            "a chunk has the length that it announces"
        );
        chunk.truncate(len);
        Ok((len > 0).then_some(chunk))
    }

    /// Reads all chunks of a body.
    pub(crate) fn chunked(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk()? {
            body.extend(chunk);
        }
        Ok(body)
    }

    /// Reads bytes without interpreting them.
    pub(crate) fn read_exact(&mut self, into: &mut [u8]) {
        self.0.read_exact(into).expect("the bytes arrive");
    }

    /// Reads everything until the server closes its side.
    pub(crate) fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest)?;
        Ok(rest)
    }

    /// Whether the server has closed its side cleanly, with no bytes before that.
    pub(crate) fn is_at_end(&mut self) -> bool {
        matches!(self.rest().as_deref(), Ok([]))
    }
}

pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
}

pub(crate) fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let len = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {len}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// Bytes with a long period, so that a misplaced piece shows. Copied in blocks: generating millions of bytes one by
/// one takes an instrumented test seconds.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    const BLOCK_LEN: usize = 65_536;
    const PERIOD: usize = 251;
    let cycle = (0..=250).cycle();
    let cycle: Vec<u8> = cycle.take(len.min(BLOCK_LEN) + PERIOD).collect();
    let mut bytes = Vec::with_capacity(len);
    for block in 0..len.div_ceil(BLOCK_LEN) {
        let block_len = BLOCK_LEN.min(len - bytes.len());
        bytes.extend_from_slice(&cycle[block % PERIOD..][..block_len]);
    }
    bytes
}
