//! A client, a server and a child process on the loopback interface, for tests of the real kernel.
//!
//! Nothing here waits blindly: each wait is for a condition, and [`PATIENCE`] only guards against hanging.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::panic,
    clippy::print_stderr,
    reason = "what a test cannot set up must fail it, and tests look at the clock to bound their waits"
)]
#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod process;
pub(crate) mod server;

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// How long a condition may take on a machine that is busy with something else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `is_so` says yes.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it never came to be that {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Lets this much time go by: for observing that something does *not* happen, and for outlasting a time-out.
pub(crate) fn outlast(time: Duration) {
    thread::sleep(time);
}

/// A port that nobody had a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a socket").port()
}

/// Seconds since 1970.
pub(crate) fn unix_seconds() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a clock behind 1970")
        .as_secs()
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Seconds since 1970 in its `Date`.
    pub(crate) fn date_seconds(&self) -> u64 {
        let date = self.field("date").expect("a date");
        let parts: Vec<&str> = date.split([' ', ':']).collect();
        let number = |at: usize| parts[at].parse::<u64>().expect("a number");
        let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
        let month = months.find(parts[2]).expect("a month") as u64 / 3 + 1;
        let (year, day) = (number(3), number(1));
        // Days since 1970 by counting March as the first month.
        let (year, month) = match month {
            1 | 2 => (year - 1, month + 9),
            _ => (year, month - 3),
        };
        let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day;
        (days - 719_469) * 86_400 + number(4) * 3_600 + number(5) * 60 + number(6)
    }
}

/// One connection to a server, seen from the other end.
#[derive(Debug)]
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("nobody listens"))
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
        sent.expect("the server takes no more");
    }

    pub(crate) fn end_output(&self) {
        let ended = self.stream().shutdown(std::net::Shutdown::Write);
        ended.expect("a socket that is open");
    }

    /// The next answer on the connection; one to a request that was not HEAD.
    pub(crate) fn answer(&mut self) -> Answer {
        self.try_answer().expect("no answer")
    }

    pub(crate) fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.send(request);
        self.answer()
    }

    /// An answer's head, and nothing behind it.
    pub(crate) fn head(&mut self) -> io::Result<Answer> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let status = head.get(9..12).and_then(|digits| digits.parse().ok());
        Ok(Answer {
            status: status.ok_or(io::ErrorKind::InvalidData)?,
            head,
            body: Vec::new(),
        })
    }

    pub(crate) fn try_answer(&mut self) -> io::Result<Answer> {
        let mut answer = self.head()?;
        let len = answer.field("content-length").map(str::parse);
        let len = len.unwrap_or(Ok(0)).map_err(io::Error::other)?;
        answer.body = vec![0; len];
        self.0.read_exact(&mut answer.body)?;
        Ok(answer)
    }

    /// The next chunk of a chunked body; `None` behind the last one. An end before it is an error: the body was cut.
    pub(crate) fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut size = String::new();
        self.0.read_line(&mut size)?;
        let digits = size
            .strip_suffix("\r\n")
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let len = usize::from_str_radix(digits, 16).map_err(io::Error::other)?;
        let mut chunk = vec![0; len + 2];
        self.0.read_exact(&mut chunk)?;
        assert_eq!(&chunk[len..], b"\r\n", "a chunk ends where it says");
        chunk.truncate(len);
        Ok((len > 0).then_some(chunk))
    }

    /// All chunks of a body, one behind the other.
    pub(crate) fn chunked(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk()? {
            body.extend(chunk);
        }
        Ok(body)
    }

    /// The next bytes, uninterpreted.
    pub(crate) fn read_exact(&mut self, into: &mut [u8]) {
        self.0.read_exact(into).expect("bytes that do not come");
    }

    /// Whatever still comes until the server ends its side.
    pub(crate) fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest)?;
        Ok(rest)
    }

    /// The server has ended its side in an orderly way, with nothing before it.
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

/// Bytes that repeat so late that a piece in the wrong place shows. Copied block by block: made one by one, millions of them
/// take an instrumented test seconds.
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
