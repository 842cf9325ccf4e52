//! The attacks. Each function is one wave: a few connections that misbehave in one way, then leave.

use std::time::Duration;

use super::attack::{ALL, Attack, Tally, Wave, Window};
use super::loopback::get;
use super::random::Random;
use super::run::Run;

/// One kind of attack.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    wave: fn(&mut Attack<'_>),
}

const fn kind(name: &'static str, wave: fn(&mut Attack<'_>)) -> Kind {
    Kind { name, wave }
}

pub(crate) const KINDS: &[Kind] = &[
    kind("slow heads", slow_heads),
    kind("slow bodies", slow_bodies),
    kind("slow readers", slow_readers),
    kind("endless extensions", endless_extensions),
    kind("endless trailers", endless_trailers),
    kind("tiny chunks", tiny_chunks),
    kind("connect and go", connect_and_go),
    kind("connect and stay", connect_and_stay),
    kind("resets", resets),
    kind("half-closes", half_closes),
    kind("garbage", garbage),
    kind("huge heads", huge_heads),
    kind("deep pipelines", deep_pipelines),
    kind("busy pipelines", busy_pipelines),
    kind("cut requests", cut_requests),
    kind("expectations", expectations),
    kind("upgrades", upgrades),
    kind("abandoned responses", abandoned_responses),
];

impl Kind {
    /// Runs wave after wave until the siege is over.
    pub(crate) fn attack(&self, run: &Run, random: Random) -> Tally {
        let mut attack = Attack {
            run,
            random,
            tally: Tally::default(),
        };
        loop {
            (self.wave)(&mut attack);
            if run.is_over() {
                return attack.tally;
            }
        }
    }
}

const fn wave(connections: usize, seconds_max: u64, pace_ms: u64) -> Wave {
    Wave {
        connections,
        time_max: Duration::from_secs(seconds_max),
        pace: Duration::from_millis(pace_ms),
        window: Window::Usual,
    }
}

/// A head sent one byte at a time that never ends. A siege of a minute outlasts the server's timeout.
fn slow_heads(attack: &mut Attack<'_>) {
    let head = format!("GET {} HTTP/1.1\r\nHost: a\r\nX-Slow: ", quick(attack));
    attack.wave(wave(6, 60, 40), |attack, connection, turn| {
        match head.as_bytes().get(turn) {
            Some(byte) if turn == 0 => attack.request(connection, &[*byte]),
            Some(byte) => attack.send(connection, &[*byte]),
            None => attack.send(connection, b"a"),
        }
        attack.read(connection, ALL);
    });
}

/// A body sent one byte at a time, in both framings.
fn slow_bodies(attack: &mut Attack<'_>) {
    let upload = upload(attack);
    attack.wave(wave(6, 60, 40), |attack, connection, turn| {
        let is_chunked = connection.index.is_multiple_of(2);
        match (turn, is_chunked) {
            (0, true) => attack.request(connection, &chunked_head(upload)),
            (0, false) => attack.request(connection, &head(upload, "Content-Length: 100000")),
            (_, true) => attack.send(connection, b"1\r\nx\r\n"),
            (_, false) => attack.send(connection, b"x"),
        }
        attack.read(connection, ALL);
    });
}

/// Large responses, read a few bytes at a time or not at all.
fn slow_readers(attack: &mut Attack<'_>) {
    let request = attack.run.program.large();
    let tiny = Wave {
        window: Window::Tiny,
        ..wave(4, 90, 20)
    };
    attack.wave(tiny, |attack, connection, turn| {
        if turn == 0 {
            attack.request(connection, &request);
        } else if connection.index.is_multiple_of(2) {
            attack.read(connection, 500);
        }
    });
}

fn endless_extensions(attack: &mut Attack<'_>) {
    let upload = upload(attack);
    attack.wave(wave(3, 5, 10), |attack, connection, turn| {
        if turn == 0 {
            attack.request(connection, &chunked_head(upload));
            attack.send(connection, b"5");
        }
        attack.send(connection, &b";name=\"a value\"".repeat(20));
        attack.read(connection, ALL);
    });
}

fn endless_trailers(attack: &mut Attack<'_>) {
    let upload = upload(attack);
    attack.wave(wave(3, 5, 10), |attack, connection, turn| {
        if turn == 0 {
            attack.request(connection, &chunked_head(upload));
            attack.send(connection, b"5\r\nhello\r\n0\r\n");
        }
        attack.send(connection, &b"X-Trailer: and one more\r\n".repeat(5));
        attack.read(connection, ALL);
    });
}

/// A body in one-byte chunks, as many as the socket takes. Not sent to the slow consumer: it would still be working
/// on the backlog long after the siege.
fn tiny_chunks(attack: &mut Attack<'_>) {
    let upload = attack.run.program.uploads()[0];
    attack.wave(wave(2, 4, 10), |attack, connection, turn| {
        if turn == 0 {
            attack.request(connection, &chunked_head(upload));
        }
        if Attack::is_all_sent(connection) {
            attack.send(connection, &b"1\r\nx\r\n".repeat(1000));
        }
        attack.read(connection, ALL);
    });
}

/// A thousand connections per second, closed at once.
fn connect_and_go(attack: &mut Attack<'_>) {
    for number in 0..40 {
        if let Some(mut connection) = attack.connect(number, Window::Usual) {
            match attack.random.below(4) {
                // Rarely, since each leaves a port in TIME_WAIT.
                0 => attack.close(&mut connection),
                _ => attack.reset(&mut connection),
            }
        }
    }
    attack.run.pause(Duration::from_millis(40));
}

/// Connections that stay open and send nothing, or half a request.
fn connect_and_stay(attack: &mut Attack<'_>) {
    attack.wave(wave(100, 4, 100), |attack, connection, turn| {
        if turn == 0 && connection.index.is_multiple_of(3) {
            attack.request(connection, b"GET / HTTP/1.1\r\nHo");
        }
        attack.read(connection, ALL);
    });
}

/// A reset at any point of a request.
fn resets(attack: &mut Attack<'_>) {
    attack.wave(wave(10, 2, 10), |attack, connection, turn| {
        if turn == 0 {
            let request = some_request(attack);
            let cut = attack.random.below(request.len() + 1);
            attack.request(connection, &request[..cut]);
        }
        if attack.random.below(4) == 0 {
            attack.reset(connection);
        }
    });
}

/// A half-close after a whole request, or in the middle of one.
fn half_closes(attack: &mut Attack<'_>) {
    attack.wave(wave(8, 4, 10), |attack, connection, turn| {
        if turn == 0 {
            let request = some_request(attack);
            let cut = match connection.index % 2 {
                0 => request.len(),
                _ => attack.random.below(request.len() + 1),
            };
            attack.request(connection, &request[..cut]);
            attack.shut_down_output(connection);
        }
        attack.read(connection, ALL);
    });
}

/// Random bytes, and requests with one byte changed.
fn garbage(attack: &mut Attack<'_>) {
    attack.wave(wave(6, 1, 10), |attack, connection, turn| {
        if turn == 0 {
            let len = 1 + attack.random.below(4096);
            let bytes: Vec<u8> = match connection.index % 3 {
                0 => (0..len)
                    .map(|_| attack.random.next().to_le_bytes()[0])
                    .collect(),
                1 => (0..len)
                    .map(|_| attack.random.pick(b"GET /:HTP1.\r\n\t ;,0aF"))
                    .collect(),
                // A request with one byte changed.
                _ => {
                    let mut request = some_request(attack);
                    let at = attack.random.below(request.len());
                    request[at] = attack.random.next().to_le_bytes()[0];
                    request
                }
            };
            attack.request(connection, &bytes);
        }
        attack.read(connection, ALL);
    });
}

/// Heads without end: many lines, one long line, a long target.
fn huge_heads(attack: &mut Attack<'_>) {
    attack.wave(wave(6, 3, 10), |attack, connection, turn| {
        let (start, more) = match connection.index % 3 {
            0 => ("GET / HTTP/1.1\r\nHost: a\r\n", "X-Line: one of many\r\n"),
            1 => (
                "GET / HTTP/1.1\r\nHost: a\r\nX-Long: ",
                "a line that goes on ",
            ),
            _ => ("GET /", "a-target-that-goes-on/"),
        };
        if turn == 0 {
            attack.request(connection, start.as_bytes());
        }
        attack.send(connection, more.repeat(50).as_bytes());
        attack.read(connection, ALL);
    });
}

/// Thousands of requests, whose responses are read much later or never.
fn deep_pipelines(attack: &mut Attack<'_>) {
    const DEPTH: usize = 3000;
    let requests = get(quick(attack)).repeat(DEPTH);
    attack.wave(wave(4, 3, 10), |attack, connection, turn| {
        if turn == 0 {
            attack.tally.requests += DEPTH as u64;
            attack.send(connection, requests.as_bytes());
        } else if connection.index.is_multiple_of(2) && turn > 20 {
            attack.read(connection, ALL);
        }
    });
}

/// Requests without a pause, whose responses are read as they arrive. Only the server's fairness slows them.
fn busy_pipelines(attack: &mut Attack<'_>) {
    const DEPTH: usize = 500;
    let requests = get(quick(attack)).repeat(DEPTH);
    attack.wave(wave(2, 5, 5), |attack, connection, _| {
        if Attack::is_all_sent(connection) {
            attack.tally.requests += DEPTH as u64;
            attack.send(connection, requests.as_bytes());
        }
        attack.read(connection, ALL);
    });
}

/// A close in the middle of a request.
fn cut_requests(attack: &mut Attack<'_>) {
    attack.wave(wave(8, 2, 20), |attack, connection, turn| {
        if turn == 0 {
            let request = some_request(attack);
            let cut = attack.random.below(request.len());
            attack.request(connection, &request[..cut]);
        }
        if attack.random.below(4) == 0 {
            attack.close(connection);
        }
    });
}

/// Uploads that wait for `100 Continue`, get it, and send no body.
fn expectations(attack: &mut Attack<'_>) {
    let upload = upload(attack);
    attack.wave(wave(4, 45, 50), |attack, connection, turn| {
        if turn == 0 {
            let fields = "Expect: 100-continue\r\nContent-Length: 1000";
            attack.request(connection, &head(upload, fields));
        }
        attack.read(connection, ALL);
    });
}

/// An upgrade, then silence or half a frame.
fn upgrades(attack: &mut Attack<'_>) {
    attack.wave(wave(4, 4, 20), |attack, connection, turn| {
        if turn == 0 {
            attack.request(
                connection,
                b"GET /websocket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                  Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            );
            if connection.index.is_multiple_of(2) {
                attack.send(connection, b"\x81\x82\0\0");
            }
        }
        attack.read(connection, ALL);
    });
}

/// Responses of all kinds, abandoned before they end.
fn abandoned_responses(attack: &mut Attack<'_>) {
    attack.wave(wave(6, 4, 50), |attack, connection, turn| {
        if turn == 0 {
            let path = attack.random.pick(attack.run.program.paths());
            attack.request(connection, get(path).as_bytes());
        }
        if turn > 0 {
            attack.read(connection, 1000);
        }
        match attack.random.below(16) {
            0 => attack.close(connection),
            1 => attack.reset(connection),
            _ => {}
        }
    });
}

fn quick(attack: &Attack<'_>) -> &'static str {
    attack.run.program.quick()
}

fn upload(attack: &mut Attack<'_>) -> &'static str {
    attack.random.pick(attack.run.program.uploads())
}

fn head(start: &str, fields: &str) -> Vec<u8> {
    format!("{start} HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n").into_bytes()
}

fn chunked_head(start: &str) -> Vec<u8> {
    head(start, "Transfer-Encoding: chunked")
}

/// A request without a body, or with one in either framing.
fn some_request(attack: &mut Attack<'_>) -> Vec<u8> {
    let upload = upload(attack);
    let body = vec![b'x'; 1 + attack.random.below(2000)];
    let len = body.len();
    match attack.random.below(3) {
        0 => get(attack.random.pick(attack.run.program.paths())).into_bytes(),
        1 => [head(upload, &format!("Content-Length: {len}")), body].concat(),
        _ => {
            let size = format!("{len:x}\r\n").into_bytes();
            [chunked_head(upload), size, body, b"\r\n0\r\n\r\n".to_vec()].concat()
        }
    }
}
