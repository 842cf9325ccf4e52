//! The attacks. Each function is one wave of its kind: a few connections that misbehave in one way, and leave.

use std::time::Duration;

use super::foe::{ALL, Assault, Tally, Wave, Window};
use super::ground::Ground;
use super::loopback::get;
use super::random::Random;

/// One kind of attack.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    wave: fn(&mut Assault<'_>),
}

const fn kind(name: &'static str, wave: fn(&mut Assault<'_>)) -> Kind {
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
    kind("abandoned answers", abandoned_answers),
];

impl Kind {
    /// Wave after wave, until the siege is over.
    pub(crate) fn attack(&self, ground: &Ground, random: Random) -> Tally {
        let mut assault = Assault {
            ground,
            random,
            tally: Tally::default(),
        };
        loop {
            (self.wave)(&mut assault);
            if ground.is_over() {
                return assault.tally;
            }
        }
    }
}

const fn wave(foes: usize, seconds_max: u64, pace_ms: u64) -> Wave {
    Wave {
        foes,
        time_max: Duration::from_secs(seconds_max),
        pace: Duration::from_millis(pace_ms),
        window: Window::Usual,
    }
}

/// A head that comes a byte at a time and never ends; longer than the server's time-out if the siege is.
fn slow_heads(assault: &mut Assault<'_>) {
    let head = format!("GET {} HTTP/1.1\r\nHost: a\r\nX-Slow: ", quick(assault));
    assault.wave(wave(6, 60, 40), |assault, foe, turn| {
        match head.as_bytes().get(turn) {
            Some(byte) if turn == 0 => assault.ask(foe, &[*byte]),
            Some(byte) => assault.send(foe, &[*byte]),
            None => assault.send(foe, b"a"),
        }
        assault.hear(foe, ALL);
    });
}

/// A body that comes a byte at a time, in both framings.
fn slow_bodies(assault: &mut Assault<'_>) {
    let upload = upload(assault);
    assault.wave(wave(6, 60, 40), |assault, foe, turn| {
        let is_chunked = foe.number.is_multiple_of(2);
        match (turn, is_chunked) {
            (0, true) => assault.ask(foe, &chunked_head(upload)),
            (0, false) => assault.ask(foe, &head(upload, "Content-Length: 100000")),
            (_, true) => assault.send(foe, b"1\r\nx\r\n"),
            (_, false) => assault.send(foe, b"x"),
        }
        assault.hear(foe, ALL);
    });
}

/// Large answers, taken a few bytes at a time, or not at all.
fn slow_readers(assault: &mut Assault<'_>) {
    let request = assault.ground.program.large();
    let tiny = Wave {
        window: Window::Tiny,
        ..wave(4, 90, 20)
    };
    assault.wave(tiny, |assault, foe, turn| {
        if turn == 0 {
            assault.ask(foe, &request);
        } else if foe.number.is_multiple_of(2) {
            assault.hear(foe, 500);
        }
    });
}

fn endless_extensions(assault: &mut Assault<'_>) {
    let upload = upload(assault);
    assault.wave(wave(3, 5, 10), |assault, foe, turn| {
        if turn == 0 {
            assault.ask(foe, &chunked_head(upload));
            assault.send(foe, b"5");
        }
        assault.send(foe, &b";name=\"a value\"".repeat(20));
        assault.hear(foe, ALL);
    });
}

fn endless_trailers(assault: &mut Assault<'_>) {
    let upload = upload(assault);
    assault.wave(wave(3, 5, 10), |assault, foe, turn| {
        if turn == 0 {
            assault.ask(foe, &chunked_head(upload));
            assault.send(foe, b"5\r\nhello\r\n0\r\n");
        }
        assault.send(foe, &b"X-Trailer: and one more\r\n".repeat(5));
        assault.hear(foe, ALL);
    });
}

/// A body in chunks of one byte, as many as the socket takes. Not for a consumer that is slow by design: it would go on
/// with what came before the end for as long as a siege takes.
fn tiny_chunks(assault: &mut Assault<'_>) {
    let upload = assault.ground.program.uploads()[0];
    assault.wave(wave(2, 4, 10), |assault, foe, turn| {
        if turn == 0 {
            assault.ask(foe, &chunked_head(upload));
        }
        if Assault::is_all_sent(foe) {
            assault.send(foe, &b"1\r\nx\r\n".repeat(1000));
        }
        assault.hear(foe, ALL);
    });
}

/// A thousand connections a second that come and go.
fn connect_and_go(assault: &mut Assault<'_>) {
    for number in 0..40 {
        if let Some(mut foe) = assault.connect(number, Window::Usual) {
            match assault.random.below(4) {
                // Few in this manner: each leaves a port that can't be used for a while.
                0 => assault.leave(&mut foe),
                _ => assault.reset(&mut foe),
            }
        }
    }
    assault.ground.pause(Duration::from_millis(40));
}

/// Connections that are held and say nothing, or half a request.
fn connect_and_stay(assault: &mut Assault<'_>) {
    assault.wave(wave(100, 4, 100), |assault, foe, turn| {
        if turn == 0 && foe.number.is_multiple_of(3) {
            assault.ask(foe, b"GET / HTTP/1.1\r\nHo");
        }
        assault.hear(foe, ALL);
    });
}

/// A reset at any point of a request.
fn resets(assault: &mut Assault<'_>) {
    assault.wave(wave(10, 2, 10), |assault, foe, turn| {
        if turn == 0 {
            let request = some_request(assault);
            let cut = assault.random.below(request.len() + 1);
            assault.ask(foe, &request[..cut]);
        }
        if assault.random.below(4) == 0 {
            assault.reset(foe);
        }
    });
}

/// Our side ends behind a whole request, or in the middle of one.
fn half_closes(assault: &mut Assault<'_>) {
    assault.wave(wave(8, 4, 10), |assault, foe, turn| {
        if turn == 0 {
            let request = some_request(assault);
            let cut = match foe.number % 2 {
                0 => request.len(),
                _ => assault.random.below(request.len() + 1),
            };
            assault.ask(foe, &request[..cut]);
            assault.end_output(foe);
        }
        assault.hear(foe, ALL);
    });
}

/// Bytes without meaning, or with too many.
fn garbage(assault: &mut Assault<'_>) {
    assault.wave(wave(6, 1, 10), |assault, foe, turn| {
        if turn == 0 {
            let len = 1 + assault.random.below(4096);
            let bytes: Vec<u8> = match foe.number % 3 {
                0 => (0..len)
                    .map(|_| assault.random.next().to_le_bytes()[0])
                    .collect(),
                1 => (0..len)
                    .map(|_| assault.random.pick(b"GET /:HTP1.\r\n\t ;,0aF"))
                    .collect(),
                // A request with one byte that is another.
                _ => {
                    let mut request = some_request(assault);
                    let at = assault.random.below(request.len());
                    request[at] = assault.random.next().to_le_bytes()[0];
                    request
                }
            };
            assault.ask(foe, &bytes);
        }
        assault.hear(foe, ALL);
    });
}

/// Heads without end: many lines, one long line, a long target.
fn huge_heads(assault: &mut Assault<'_>) {
    assault.wave(wave(6, 3, 10), |assault, foe, turn| {
        let (start, more) = match foe.number % 3 {
            0 => ("GET / HTTP/1.1\r\nHost: a\r\n", "X-Line: one of many\r\n"),
            1 => (
                "GET / HTTP/1.1\r\nHost: a\r\nX-Long: ",
                "a line that goes on ",
            ),
            _ => ("GET /", "a-target-that-goes-on/"),
        };
        if turn == 0 {
            assault.ask(foe, start.as_bytes());
        }
        assault.send(foe, more.repeat(50).as_bytes());
        assault.hear(foe, ALL);
    });
}

/// Thousands of requests without a look at the answers, which are read much later, or never.
fn deep_pipelines(assault: &mut Assault<'_>) {
    const DEPTH: usize = 3000;
    let requests = get(quick(assault)).repeat(DEPTH);
    assault.wave(wave(4, 3, 10), |assault, foe, turn| {
        if turn == 0 {
            assault.tally.requests += DEPTH as u64;
            assault.send(foe, requests.as_bytes());
        } else if foe.number.is_multiple_of(2) && turn > 20 {
            assault.hear(foe, ALL);
        }
    });
}

/// Requests without a pause, whose answers are taken as they come: nothing but the server's fairness slows them.
fn busy_pipelines(assault: &mut Assault<'_>) {
    const DEPTH: usize = 500;
    let requests = get(quick(assault)).repeat(DEPTH);
    assault.wave(wave(2, 5, 5), |assault, foe, _| {
        if Assault::is_all_sent(foe) {
            assault.tally.requests += DEPTH as u64;
            assault.send(foe, requests.as_bytes());
        }
        assault.hear(foe, ALL);
    });
}

/// The peer goes in the middle of a request.
fn cut_requests(assault: &mut Assault<'_>) {
    assault.wave(wave(8, 2, 20), |assault, foe, turn| {
        if turn == 0 {
            let request = some_request(assault);
            let cut = assault.random.below(request.len());
            assault.ask(foe, &request[..cut]);
        }
        if assault.random.below(4) == 0 {
            assault.leave(foe);
        }
    });
}

/// Uploads that wait for `100 Continue`, get it, and never come.
fn expectations(assault: &mut Assault<'_>) {
    let upload = upload(assault);
    assault.wave(wave(4, 45, 50), |assault, foe, turn| {
        if turn == 0 {
            let fields = "Expect: 100-continue\r\nContent-Length: 1000";
            assault.ask(foe, &head(upload, fields));
        }
        assault.hear(foe, ALL);
    });
}

/// The wish to leave HTTP, and then silence or half a frame.
fn upgrades(assault: &mut Assault<'_>) {
    assault.wave(wave(4, 4, 20), |assault, foe, turn| {
        if turn == 0 {
            assault.ask(
                foe,
                b"GET /websocket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                  Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            );
            if foe.number.is_multiple_of(2) {
                assault.send(foe, b"\x81\x82\0\0");
            }
        }
        assault.hear(foe, ALL);
    });
}

/// Answers of all kinds that nobody waits for.
fn abandoned_answers(assault: &mut Assault<'_>) {
    assault.wave(wave(6, 4, 50), |assault, foe, turn| {
        if turn == 0 {
            let path = assault.random.pick(assault.ground.program.paths());
            assault.ask(foe, get(path).as_bytes());
        }
        if turn > 0 {
            assault.hear(foe, 1000);
        }
        match assault.random.below(16) {
            0 => assault.leave(foe),
            1 => assault.reset(foe),
            _ => {}
        }
    });
}

fn quick(assault: &Assault<'_>) -> &'static str {
    assault.ground.program.quick()
}

fn upload(assault: &mut Assault<'_>) -> &'static str {
    assault.random.pick(assault.ground.program.uploads())
}

fn head(start: &str, fields: &str) -> Vec<u8> {
    format!("{start} HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n").into_bytes()
}

fn chunked_head(start: &str) -> Vec<u8> {
    head(start, "Transfer-Encoding: chunked")
}

/// Any request: without a body, or with one in either framing.
fn some_request(assault: &mut Assault<'_>) -> Vec<u8> {
    let upload = upload(assault);
    let body = vec![b'x'; 1 + assault.random.below(2000)];
    let len = body.len();
    match assault.random.below(3) {
        0 => get(assault.random.pick(assault.ground.program.paths())).into_bytes(),
        1 => [head(upload, &format!("Content-Length: {len}")), body].concat(),
        _ => {
            let size = format!("{len:x}\r\n").into_bytes();
            [chunked_head(upload), size, body, b"\r\n0\r\n\r\n".to_vec()].concat()
        }
    }
}
