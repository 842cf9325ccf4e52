//! One server that sends events: one a second on each of many streams, or as many as its one peer takes. CPU time per event, and
//! memory per stream.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use super::machine::Child;
use super::programs::Program;

/// How often each stream has an event.
pub(crate) const PERIOD: Duration = Duration::from_secs(1);
/// How many events a burst has.
pub(crate) const BURST: usize = 2000;
/// What ends the response that a burst is: its last chunk.
const LAST: &[u8] = b"\r\n0\r\n\r\n";
/// Once all streams are open, for what their opening has left.
const SETTLING: Duration = Duration::from_secs(2);
const REQUEST: &[u8] =
    b"GET /events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n";
/// Streams that are opened before the client waits for an event of each.
const BATCH: usize = 100;
/// The text of each event, which is nowhere else in a response.
const MARK: u8 = b'@';

/// One server's figures, one per round.
#[derive(Default)]
pub(crate) struct Series {
    pub(crate) cpu_per_event: Vec<f64>,
    pub(crate) events_per_second: Vec<f64>,
    pub(crate) memory_per_stream: Vec<f64>,
}

/// # Errors
///
/// How the server failed.
pub(crate) fn measure(
    program: &Program,
    streams: usize,
    window: Duration,
    series: &mut Series,
) -> Result<(), String> {
    let port = free_port().map_err(|error| error.to_string())?;
    let child = Child::start(&program.path, &program.arguments(port), port);
    let mut client = Client::new();
    client.open(port, 1)?;
    client.read_for(PERIOD)?;
    let memory = child.memory();
    client.open(port, streams)?;
    client.read_for(SETTLING)?;
    let (cpu, begun_at) = (child.cpu(), Instant::now());
    let events = client.read_for(window)?;
    let (cpu, elapsed) = (child.cpu().saturating_sub(cpu), begun_at.elapsed());
    let rate = events as f64 / elapsed.as_secs_f64();
    // Each stream sends one per second; what a server leaves out must not look cheap.
    if rate < 0.9 * streams as f64 {
        return Err(format!("sends {rate:.0} events per second"));
    }
    series.events_per_second.push(rate);
    series
        .cpu_per_event
        .push(cpu.as_secs_f64() * 1e6 / events as f64);
    let grown = child.memory().saturating_sub(memory);
    series.memory_per_stream.push(grown as f64 / streams as f64);
    child.end();
    Ok(())
}

fn free_port() -> std::io::Result<u16> {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(free.local_addr()?.port())
}

/// CPU time per event, in microseconds, of bursts that follow one another on one connection, the requests included.
///
/// # Errors
///
/// How the server failed.
pub(crate) fn burst(program: &Program, target: &str, window: Duration) -> Result<f64, String> {
    let port = free_port().map_err(|error| error.to_string())?;
    let child = Child::start(&program.path, &program.arguments(port), port);
    let until = Instant::now() + Duration::from_secs(10);
    let mut socket = loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Ok(socket) => break socket,
            Err(error) if Instant::now() > until => return Err(format!("does not start: {error}")),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let mut take = || take_burst(&mut socket, target);
    // What is only done once is not counted.
    take()?;
    let (cpu, until, mut bursts) = (child.cpu(), Instant::now() + window, 0);
    while Instant::now() < until {
        take()?;
        bursts += 1;
    }
    let cpu = child.cpu().saturating_sub(cpu);
    child.end();
    Ok(cpu.as_secs_f64() * 1e6 / (bursts * BURST) as f64)
}

/// Asks for a burst and reads it.
fn take_burst(socket: &mut TcpStream, target: &str) -> Result<(), String> {
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let failed = |error: std::io::Error| format!("cuts a burst: {error}");
    socket.set_read_timeout(Some(SETTLING)).map_err(failed)?;
    socket.write_all(request.as_bytes()).map_err(failed)?;
    let (mut events, mut tail) = (0, Vec::new());
    let mut buffer = vec![0; 64 * 1024];
    while !tail.ends_with(LAST) {
        let len = socket.read(&mut buffer).map_err(failed)?;
        let read = buffer.get(..len).unwrap_or_default();
        if read.is_empty() {
            return Err("ends a burst early".to_owned());
        }
        events += read.iter().filter(|byte| **byte == MARK).count();
        tail.drain(..tail.len().saturating_sub(LAST.len()));
        tail.extend_from_slice(read.get(len.saturating_sub(LAST.len())..).unwrap_or(read));
    }
    if events != BURST {
        return Err(format!("sends {events} events in a burst of {BURST}"));
    }
    Ok(())
}

/// Streams that are read from one thread.
struct Client {
    epoll: OwnedFd,
    sockets: Vec<TcpStream>,
    /// Which of them have had an event.
    begun: Vec<bool>,
    buffer: Vec<u8>,
}

impl Client {
    fn new() -> Self {
        // SAFETY: the call takes no pointer, and we own the new descriptor.
        let epoll = unsafe { OwnedFd::from_raw_fd(libc::epoll_create1(libc::EPOLL_CLOEXEC)) };
        Self {
            epoll,
            sockets: Vec::new(),
            begun: Vec::new(),
            buffer: vec![0; 64 * 1024],
        }
    }

    /// Opens streams until there are `count`.
    fn open(&mut self, port: u16, count: usize) -> Result<(), String> {
        let until = Instant::now() + Duration::from_secs(120);
        while self.sockets.len() < count {
            match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
                Ok(socket) => self.add(socket).map_err(|error| error.to_string())?,
                Err(_) if Instant::now() < until && self.sockets.is_empty() => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => return Err(format!("{error} at stream {}", self.sockets.len())),
            }
            // A server's queue of connections that it has yet to accept is short.
            while self.sockets.len().is_multiple_of(BATCH) && self.begun.contains(&false) {
                self.read_for(Duration::from_millis(1))?;
                if Instant::now() > until {
                    return Err(format!("is late with stream {}", self.sockets.len()));
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, mut socket: TcpStream) -> std::io::Result<()> {
        socket.write_all(REQUEST)?;
        socket.set_nonblocking(true)?;
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN.cast_unsigned(),
            u64: self.sockets.len() as u64,
        };
        // SAFETY: both descriptors are open, the event is read before the call returns.
        unsafe {
            libc::epoll_ctl(
                self.epoll.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                socket.as_raw_fd(),
                &raw mut event,
            );
        }
        self.sockets.push(socket);
        self.begun.push(false);
        Ok(())
    }

    /// Reads for this long, and returns how many events have come.
    fn read_for(&mut self, time: Duration) -> Result<usize, String> {
        const READY_MAX: u16 = 256;
        let mut ready = [libc::epoll_event { events: 0, u64: 0 }; READY_MAX as usize];
        let (until, mut events) = (Instant::now() + time, 0);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let left = i32::try_from(left.as_millis()).unwrap_or(i32::MAX);
            // SAFETY: the array has room for that many events.
            let count = unsafe {
                libc::epoll_wait(
                    self.epoll.as_raw_fd(),
                    ready.as_mut_ptr(),
                    i32::from(READY_MAX),
                    left,
                )
            };
            for event in ready.iter().take(usize::try_from(count).unwrap_or(0)) {
                events += self.read(event.u64)?;
            }
            if left == 0 {
                return Ok(events);
            }
        }
    }

    fn read(&mut self, number: u64) -> Result<usize, String> {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        let pair = (self.sockets.get_mut(number), self.begun.get_mut(number));
        let (Some(socket), Some(begun)) = pair else {
            return Ok(0);
        };
        match socket.read(&mut self.buffer) {
            Ok(0) => Err("ends a stream".to_owned()),
            Ok(len) => {
                let read = self.buffer.iter().take(len);
                let events = read.filter(|byte| **byte == MARK).count();
                *begun |= events > 0;
                Ok(events)
            }
            Err(error) => Err(format!("cuts a stream: {error}")),
        }
    }
}
