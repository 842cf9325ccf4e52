//! An attacker's connections: sockets that never block, and an account of what became of each.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use super::ground::Ground;
use super::random::Random;

/// How long a connect may wait for room in a backlog, before it counts as turned away.
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);
/// What an attacker takes of an answer at once.
pub(crate) const ALL: usize = 64 * 1024;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ending {
    /// There was no room in the backlog.
    TurnedAway,
    /// We closed it.
    Left,
    /// We reset it.
    Reset,
    /// The server closed it.
    Closed,
    /// The server reset it.
    Cut,
}

/// What one kind of attack has done, and what was done to it.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) connections: u64,
    pub(crate) requests: u64,
    pub(crate) bytes_out: u64,
    pub(crate) bytes_in: u64,
    /// The first answer of each connection that had one.
    pub(crate) statuses: BTreeMap<String, u64>,
    pub(crate) endings: BTreeMap<Ending, u64>,
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:>7} conn {:>8} req {:>11} B out {:>12} B in  {:?} {:?}",
            self.connections,
            self.requests,
            self.bytes_out,
            self.bytes_in,
            self.endings,
            self.statuses
        )
    }
}

/// One connection of an attacker.
#[derive(Debug)]
pub(crate) struct Foe {
    /// Its place in its wave: some attacks do different things with different connections.
    pub(crate) number: usize,
    stream: Option<TcpStream>,
    /// What the socket had no room for.
    unsent: Vec<u8>,
    heard: Vec<u8>,
}

impl Foe {
    fn is_here(&self) -> bool {
        self.stream.is_some()
    }
}

/// The size of the window in which a wave takes its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    Usual,
    Tiny,
}

/// How many connections attack together, for how long at the most, and how much time is between two turns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wave {
    pub(crate) foes: usize,
    pub(crate) time_max: Duration,
    pub(crate) pace: Duration,
    pub(crate) window: Window,
}

/// One attacker: its dice and its account.
#[derive(Debug)]
pub(crate) struct Assault<'g> {
    pub(crate) ground: &'g Ground,
    pub(crate) random: Random,
    pub(crate) tally: Tally,
}

impl Assault<'_> {
    /// Connects the wave's foes and gives each of them turn after turn, until all have ended or the time is up. The rest
    /// leaves, in one manner or the other.
    pub(crate) fn wave(&mut self, wave: Wave, mut turn: impl FnMut(&mut Self, &mut Foe, usize)) {
        let mut foes: Vec<Foe> = (0..wave.foes)
            .filter_map(|number| self.connect(number, wave.window))
            .collect();
        let ends_at = Instant::now() + self.share_of(wave.time_max);
        for number in 0.. {
            for foe in &mut foes {
                self.flush(foe);
                turn(self, foe, number);
            }
            foes.retain(Foe::is_here);
            let is_over = foes.is_empty() || Instant::now() >= ends_at;
            if is_over || !self.ground.pause(wave.pace) {
                break;
            }
        }
        for foe in &mut foes {
            match self.random.below(2) {
                0 => self.leave(foe),
                _ => self.reset(foe),
            }
        }
    }

    /// From a half of it to all of it.
    fn share_of(&mut self, time: Duration) -> Duration {
        let percent = u32::try_from(50 + self.random.below(51)).unwrap_or(100);
        time * percent / 100
    }

    pub(crate) fn connect(&mut self, number: usize, window: Window) -> Option<Foe> {
        self.tally.connections += 1;
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        if window == Window::Tiny {
            socket.set_recv_buffer_size(4096).expect("a socket");
        }
        let address = self.ground.address.into();
        if socket.connect_timeout(&address, CONNECT_PATIENCE).is_err() {
            *self.tally.endings.entry(Ending::TurnedAway).or_default() += 1;
            return None;
        }
        socket.set_nonblocking(true).expect("a socket");
        socket.set_tcp_nodelay(true).expect("a socket");
        Some(Foe {
            number,
            stream: Some(socket.into()),
            unsent: Vec::new(),
            heard: Vec::new(),
        })
    }

    /// Sends the beginning of a request, or all of it.
    pub(crate) fn ask(&mut self, foe: &mut Foe, request: &[u8]) {
        self.tally.requests += 1;
        self.send(foe, request);
    }

    /// Sends what the socket takes, and the rest in the next turns.
    pub(crate) fn send(&mut self, foe: &mut Foe, bytes: &[u8]) {
        foe.unsent.extend_from_slice(bytes);
        self.flush(foe);
    }

    pub(crate) fn is_all_sent(foe: &Foe) -> bool {
        foe.unsent.is_empty()
    }

    fn flush(&mut self, foe: &mut Foe) {
        while let Some(mut stream) = foe.stream.as_ref().filter(|_| !foe.unsent.is_empty()) {
            match stream.write(&foe.unsent) {
                Ok(len) => {
                    self.tally.bytes_out += len as u64;
                    foe.unsent.drain(..len);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.end(foe, Ending::Cut),
            }
        }
    }

    /// Takes up to this many bytes of what the server has sent.
    pub(crate) fn hear(&mut self, foe: &mut Foe, len_max: usize) {
        let mut buffer = [0; ALL];
        let Some(mut stream) = foe.stream.as_ref() else {
            return;
        };
        match stream.read(&mut buffer[..len_max]) {
            Ok(0) => self.end(foe, Ending::Closed),
            Ok(len) => {
                self.tally.bytes_in += len as u64;
                self.note_status(foe, &buffer[..len]);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.end(foe, Ending::Cut),
        }
    }

    fn note_status(&mut self, foe: &mut Foe, bytes: &[u8]) {
        const STATUS_END: usize = "HTTP/1.1 200".len();
        if foe.heard.len() < STATUS_END {
            foe.heard.extend_from_slice(bytes);
            if let Some(status) = foe.heard.get(STATUS_END - 3..STATUS_END) {
                let status = String::from_utf8_lossy(status).into_owned();
                *self.tally.statuses.entry(status).or_default() += 1;
            }
        }
    }

    /// Ends our side only.
    pub(crate) fn end_output(&mut self, foe: &mut Foe) {
        let ended = foe
            .stream
            .as_ref()
            .map(|stream| stream.shutdown(Shutdown::Write));
        if let Some(Err(_)) = ended {
            self.end(foe, Ending::Cut);
        }
    }

    pub(crate) fn leave(&mut self, foe: &mut Foe) {
        self.end(foe, Ending::Left);
    }

    /// Leaves with a reset: what is under way is lost, on both sides.
    pub(crate) fn reset(&mut self, foe: &mut Foe) {
        if let Some(stream) = &foe.stream {
            // A socket that the server has reset meanwhile needs no reset of ours.
            drop(SockRef::from(stream).set_linger(Some(Duration::ZERO)));
        }
        self.end(foe, Ending::Reset);
    }

    fn end(&mut self, foe: &mut Foe, ending: Ending) {
        if foe.stream.take().is_some() {
            *self.tally.endings.entry(ending).or_default() += 1;
        }
    }
}
