//! An attacker's connections, on non-blocking sockets, with a tally of how each ended.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use super::random::Random;
use super::run::Run;

/// How long a connect may wait for room in the backlog before it counts as not accepted.
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);
/// The most an attacker reads at once.
pub(crate) const ALL: usize = 64 * 1024;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ending {
    /// There was no room in the backlog.
    NotAccepted,
    /// We closed it.
    ClosedByUs,
    /// We reset it.
    ResetByUs,
    /// The server closed it.
    ClosedByServer,
    /// The server reset it.
    ResetByServer,
}

/// What one kind of attack did, and how its connections ended.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) connections: u64,
    pub(crate) requests: u64,
    pub(crate) bytes_out: u64,
    pub(crate) bytes_in: u64,
    /// The status of the first response on each connection that got one.
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
pub(crate) struct Connection {
    /// The index in the wave: some attacks use different connections differently.
    pub(crate) index: usize,
    stream: Option<TcpStream>,
    /// Bytes that the socket had no room for.
    unsent: Vec<u8>,
    received: Vec<u8>,
}

impl Connection {
    fn is_open(&self) -> bool {
        self.stream.is_some()
    }
}

/// The size of the receive window of a wave's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    Usual,
    Tiny,
}

/// How many connections attack together, for how long at most, and the pause between two turns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wave {
    pub(crate) connections: usize,
    pub(crate) time_max: Duration,
    pub(crate) pace: Duration,
    pub(crate) window: Window,
}

/// One attacker: its random numbers and its tally.
#[derive(Debug)]
pub(crate) struct Attack<'g> {
    pub(crate) run: &'g Run,
    pub(crate) random: Random,
    pub(crate) tally: Tally,
}

impl Attack<'_> {
    /// Opens the wave's connections and gives each one turn after turn, until all have ended or the time is up.
    /// Closes or resets those that are left.
    pub(crate) fn wave(
        &mut self,
        wave: Wave,
        mut turn: impl FnMut(&mut Self, &mut Connection, usize),
    ) {
        let mut connections: Vec<Connection> = (0..wave.connections)
            .filter_map(|number| self.connect(number, wave.window))
            .collect();
        let ends_at = Instant::now() + self.vary(wave.time_max);
        for number in 0.. {
            for connection in &mut connections {
                self.flush(connection);
                turn(self, connection, number);
            }
            connections.retain(Connection::is_open);
            let is_over = connections.is_empty() || Instant::now() >= ends_at;
            if is_over || !self.run.pause(wave.pace) {
                break;
            }
        }
        for connection in &mut connections {
            match self.random.below(2) {
                0 => self.close(connection),
                _ => self.reset(connection),
            }
        }
    }

    /// Half of the time to all of it.
    fn vary(&mut self, time: Duration) -> Duration {
        let percent = u32::try_from(50 + self.random.below(51)).unwrap_or(100);
        time * percent / 100
    }

    pub(crate) fn connect(&mut self, number: usize, window: Window) -> Option<Connection> {
        self.tally.connections += 1;
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        if window == Window::Tiny {
            socket.set_recv_buffer_size(4096).expect("a socket");
        }
        let address = self.run.address.into();
        if socket.connect_timeout(&address, CONNECT_PATIENCE).is_err() {
            *self.tally.endings.entry(Ending::NotAccepted).or_default() += 1;
            return None;
        }
        socket.set_nonblocking(true).expect("a socket");
        socket.set_tcp_nodelay(true).expect("a socket");
        Some(Connection {
            index: number,
            stream: Some(socket.into()),
            unsent: Vec::new(),
            received: Vec::new(),
        })
    }

    /// Sends all of a request, or its beginning.
    pub(crate) fn request(&mut self, connection: &mut Connection, request: &[u8]) {
        self.tally.requests += 1;
        self.send(connection, request);
    }

    /// Sends what the socket takes now, and the rest in later turns.
    pub(crate) fn send(&mut self, connection: &mut Connection, bytes: &[u8]) {
        connection.unsent.extend_from_slice(bytes);
        self.flush(connection);
    }

    pub(crate) fn is_all_sent(connection: &Connection) -> bool {
        connection.unsent.is_empty()
    }

    fn flush(&mut self, connection: &mut Connection) {
        while let Some(mut stream) = connection
            .stream
            .as_ref()
            .filter(|_| !connection.unsent.is_empty())
        {
            match stream.write(&connection.unsent) {
                Ok(len) => {
                    self.tally.bytes_out += len as u64;
                    connection.unsent.drain(..len);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.end(connection, Ending::ResetByServer),
            }
        }
    }

    /// Reads up to this many bytes of what the server has sent.
    pub(crate) fn read(&mut self, connection: &mut Connection, len_max: usize) {
        let mut buffer = [0; ALL];
        let Some(mut stream) = connection.stream.as_ref() else {
            return;
        };
        match stream.read(&mut buffer[..len_max]) {
            Ok(0) => self.end(connection, Ending::ClosedByServer),
            Ok(len) => {
                self.tally.bytes_in += len as u64;
                self.record_status(connection, &buffer[..len]);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.end(connection, Ending::ResetByServer),
        }
    }

    fn record_status(&mut self, connection: &mut Connection, bytes: &[u8]) {
        const STATUS_END: usize = "HTTP/1.1 200".len();
        if connection.received.len() < STATUS_END {
            connection.received.extend_from_slice(bytes);
            if let Some(status) = connection.received.get(STATUS_END - 3..STATUS_END) {
                let status = String::from_utf8_lossy(status).into_owned();
                *self.tally.statuses.entry(status).or_default() += 1;
            }
        }
    }

    /// Shuts down our direction only.
    pub(crate) fn shut_down_output(&mut self, connection: &mut Connection) {
        let ended = connection
            .stream
            .as_ref()
            .map(|stream| stream.shutdown(Shutdown::Write));
        if let Some(Err(_)) = ended {
            self.end(connection, Ending::ResetByServer);
        }
    }

    pub(crate) fn close(&mut self, connection: &mut Connection) {
        self.end(connection, Ending::ClosedByUs);
    }

    /// Closes with a reset, which discards data in flight in both directions.
    pub(crate) fn reset(&mut self, connection: &mut Connection) {
        if let Some(stream) = &connection.stream {
            // Fails if the server has reset the connection already.
            drop(SockRef::from(stream).set_linger(Some(Duration::ZERO)));
        }
        self.end(connection, Ending::ResetByUs);
    }

    fn end(&mut self, connection: &mut Connection, ending: Ending) {
        if connection.stream.take().is_some() {
            *self.tally.endings.entry(ending).or_default() += 1;
        }
    }
}
