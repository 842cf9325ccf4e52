//! Load over loopback from one thread: a closed loop, or a fixed rate with latencies counted from when a request
//! was due.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use super::machine;
use super::stops::{Delays, Stop, Watch};

const PATIENCE: Duration = Duration::from_secs(15);
/// How long the last responses under load may take.
const PATIENCE_UNDER_LOAD: Duration = Duration::from_secs(5);
/// How long a connection may stay open after its last response.
const LAST: Duration = Duration::from_secs(2);
/// Calm moments are kept no closer together.
const BETWEEN_CALMS: Duration = Duration::from_micros(20);
/// How a successful response begins.
const OK_LINE: &[u8] = b"HTTP/1.1 200";

/// What is sent, and how.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) request: Vec<u8>,
    /// The body that each response must have.
    pub(crate) body: Vec<u8>,
    /// Requests per write.
    pub(crate) depth: usize,
    pub(crate) connections: usize,
    pub(crate) lifetime: Lifetime,
    pub(crate) pace: Pace,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    KeptAlive,
    /// One connection per request, which asks the server to close it.
    OneRequest,
    /// The client closes each connection after this many.
    Requests(usize),
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    /// Send the next request when the response has arrived.
    Closed,
    /// Send this many per second, whether or not the responses keep up.
    Rate(f64),
}

pub(crate) struct Outcome {
    pub(crate) requests: usize,
    pub(crate) elapsed: Duration,
    /// Empty unless the pace is a rate, like the other two.
    responses: Vec<Response>,
    /// Stops of the load itself.
    stops: Vec<Stop>,
    /// When nothing was due or outstanding, in order.
    calms: Vec<Instant>,
}

#[derive(Clone, Copy)]
struct Response {
    due_at: Instant,
    arrived_at: Instant,
}

struct Connection {
    socket: TcpStream,
    /// Response bytes still to come.
    left: usize,
    /// Requests that have had their response.
    requests: usize,
    due_at: Instant,
}

/// Connections to a server, ready to send.
pub(crate) struct Load {
    epoll: OwnedFd,
    connections: Vec<Connection>,
    port: u16,
    plan: Plan,
    /// What one connection sends in one write.
    written: Vec<u8>,
    response_len: usize,
    buffer: Vec<u8>,
}

impl Outcome {
    /// In microseconds, of the requests that neither a stop of the load nor one of the server's core delayed.
    pub(crate) fn latencies(&self, of_server: &[Stop]) -> Vec<f64> {
        let stops = self.stops.iter().chain(of_server).copied();
        let delays = Delays::new(stops, &self.calms);
        let counted = self
            .responses
            .iter()
            .filter(|response| !delays.overlap(response.due_at, response.arrived_at));
        counted
            .map(|response| (response.arrived_at - response.due_at).as_secs_f64() * 1e6)
            .collect()
    }
}

impl Load {
    /// Checks the responses to one write, then connects.
    ///
    /// # Errors
    ///
    /// What is wrong with a response, or that there is none.
    pub(crate) fn new(port: u16, plan: Plan) -> Result<Self, String> {
        let response_len = check(port, &plan)?;
        // SAFETY: the call takes no pointer, and we own the new descriptor.
        let epoll = unsafe { OwnedFd::from_raw_fd(libc::epoll_create1(libc::EPOLL_CLOEXEC)) };
        let mut load = Self {
            epoll,
            connections: Vec::new(),
            port,
            response_len,
            buffer: vec![0; 256 * 1024],
            written: plan.request.repeat(plan.depth),
            plan,
        };
        let until = Instant::now() + PATIENCE;
        for number in 0..load.plan.connections {
            if Instant::now() > until {
                return Err(format!("accepts only {number} connections"));
            }
            let socket = connect(port)?;
            load.watch(&socket, number);
            load.connections.push(Connection {
                socket,
                left: 0,
                requests: 0,
                due_at: Instant::now(),
            });
        }
        Ok(load)
    }

    fn watch(&self, socket: &TcpStream, number: usize) {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: number as u64,
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
    }

    fn send(&mut self, number: usize) -> Result<(), String> {
        let Some(connection) = self.connections.get_mut(number) else {
            return Ok(());
        };
        connection.left = self.response_len * self.plan.depth;
        // A batch of requests fits in a socket buffer, so this does not block.
        let sent = connection.socket.write_all(&self.written);
        sent.map_err(|error| format!("does not take a request: {error}"))
    }

    /// Collects the numbers of the connections that have received all their responses. Does not wait: a server that
    /// has to wake the load's core would pay for that, on a virtual machine more than for the request.
    fn receive(&mut self, done: &mut Vec<usize>) -> Result<(), String> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 512];
        let whole = self.response_len * self.plan.depth;
        // SAFETY: the array has room for 512 events.
        let count =
            unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), 512, 0) };
        for event in events.iter().take(usize::try_from(count).unwrap_or(0)) {
            let number = event.u64 as usize;
            let Some(connection) = self.connections.get_mut(number) else {
                continue;
            };
            match connection.socket.read(&mut self.buffer) {
                Ok(0) => return Err("closes a connection under load".to_owned()),
                Ok(len) => {
                    let is_ok = connection.left < whole
                        || self.buffer.get(..len.min(OK_LINE.len()))
                            == OK_LINE.get(..len.min(OK_LINE.len()));
                    if !is_ok || connection.left < len {
                        return Err("sends a different response under load".to_owned());
                    }
                    connection.left -= len;
                    if connection.left == 0 {
                        done.push(number);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(format!("fails under load: {error}")),
            }
        }
        Ok(())
    }

    /// Replaces a connection that has had its last response.
    fn renew(&mut self, number: usize) -> Result<(), String> {
        let Some(connection) = self.connections.get_mut(number) else {
            return Ok(());
        };
        connection.requests += self.plan.depth;
        let is_over = match self.plan.lifetime {
            Lifetime::KeptAlive => false,
            Lifetime::OneRequest => true,
            Lifetime::Requests(max) => connection.requests >= max,
        };
        if is_over {
            let socket = connect(self.port)?;
            self.watch(&socket, number);
            if let Some(connection) = self.connections.get_mut(number) {
                connection.socket = socket;
                connection.requests = 0;
            }
        }
        Ok(())
    }

    /// Checks the responses again after the load. Gives up one connection first, as the server may not allow more.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub(crate) fn check(&mut self) -> Result<usize, String> {
        drop(self.connections.pop());
        check(self.port, &self.plan)
    }

    /// Sends for `duration`, then waits for the last responses.
    ///
    /// # Errors
    ///
    /// How the server failed.
    pub(crate) fn run(&mut self, duration: Duration) -> Result<Outcome, String> {
        match self.plan.pace {
            Pace::Closed => self.run_closed(duration),
            Pace::Rate(rate) => self.run_at(rate, duration),
        }
    }

    fn run_closed(&mut self, duration: Duration) -> Result<Outcome, String> {
        let started_at = Instant::now();
        let until = started_at + duration;
        let (mut requests, mut open) = (0, self.connections.len());
        for number in 0..self.connections.len() {
            self.send(number)?;
        }
        let mut done = Vec::new();
        while open > 0 {
            self.receive(&mut done)?;
            let now = Instant::now();
            if now > until + PATIENCE_UNDER_LOAD {
                return Err("leaves requests without a response".to_owned());
            }
            for number in done.drain(..) {
                requests += self.plan.depth;
                self.renew(number)?;
                if now < until {
                    self.send(number)?;
                } else {
                    open -= 1;
                }
            }
        }
        Ok(Outcome {
            requests,
            elapsed: started_at.elapsed(),
            responses: Vec::new(),
            stops: Vec::new(),
            calms: Vec::new(),
        })
    }

    fn run_at(&mut self, rate: f64, duration: Duration) -> Result<Outcome, String> {
        let started_at = Instant::now();
        let total = (rate * duration.as_secs_f64()) as usize;
        let (mut issued, mut responses) = (0, Vec::with_capacity(total));
        let mut idle: VecDeque<usize> = (0..self.connections.len()).collect();
        let mut done = Vec::new();
        // Room for all of them: while a vector grows, nothing is sent.
        let calms_max = duration.as_micros() / BETWEEN_CALMS.as_micros();
        let mut calms: Vec<Instant> = Vec::with_capacity(calms_max as usize);
        let mut watch = Watch::new(Instant::now(), machine::own_cpu());
        while responses.len() < total {
            let now = Instant::now();
            watch.look(now, machine::own_cpu());
            if now > started_at + duration + PATIENCE_UNDER_LOAD {
                return Err("leaves requests without a response".to_owned());
            }
            while issued < total {
                let due_at = started_at + Duration::from_secs_f64(issued as f64 / rate);
                if due_at > now {
                    let is_new = calms.last().is_none_or(|last| now - *last > BETWEEN_CALMS);
                    if is_new && idle.len() == self.connections.len() {
                        calms.push(now);
                    }
                    break;
                }
                let Some(number) = idle.pop_front() else {
                    break;
                };
                if let Some(connection) = self.connections.get_mut(number) {
                    connection.due_at = due_at;
                }
                self.send(number)?;
                issued += 1;
            }
            self.receive(&mut done)?;
            for number in done.drain(..) {
                if let Some(connection) = self.connections.get(number) {
                    responses.push(Response {
                        due_at: connection.due_at,
                        arrived_at: Instant::now(),
                    });
                }
                idle.push_back(number);
            }
        }
        Ok(Outcome {
            requests: total,
            elapsed: started_at.elapsed(),
            responses,
            stops: watch.stops,
            calms,
        })
    }
}

fn connect(port: u16) -> Result<TcpStream, String> {
    let refused = |error: std::io::Error| format!("does not accept a connection: {error}");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let socket = TcpStream::connect_timeout(&address, PATIENCE).map_err(refused)?;
    socket.set_nodelay(true).map_err(refused)?;
    socket.set_nonblocking(true).map_err(refused)?;
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // Reset on close: without TIME_WAIT the ports last. SAFETY: the size is that of the option.
    unsafe {
        let size = size_of::<libc::linger>() as libc::socklen_t;
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size,
        );
    }
    Ok(socket)
}

/// Sends one write of the load and checks each response: status, length, body, and the end of the connection if it
/// was asked for. Waits for the server to listen, and returns the length of one response.
///
/// # Errors
///
/// What is wrong with a response, or that there is none.
pub(crate) fn check(port: u16, plan: &Plan) -> Result<usize, String> {
    let (mut socket, response_len) = first(port, plan)?;
    if plan.lifetime == Lifetime::OneRequest {
        socket
            .set_read_timeout(Some(LAST))
            .map_err(|error| format!("cannot be waited for: {error}"))?;
        // A reset ends the connection as well.
        match socket.read(&mut [0; 8192]) {
            Ok(0) => {}
            Ok(_) => return Err("sends bytes after its last response".to_owned()),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(_) => return Err("does not close when asked to".to_owned()),
        }
    }
    Ok(response_len)
}

/// The same without the end of the connection, which is returned with the length of one response.
///
/// # Errors
///
/// As [`check`].
pub(crate) fn first(port: u16, plan: &Plan) -> Result<(TcpStream, usize), String> {
    let until = Instant::now() + PATIENCE;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut socket = loop {
        match TcpStream::connect(address) {
            Ok(socket) => break socket,
            Err(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(2)),
            Err(error) => return Err(format!("does not listen: {error}")),
        }
    };
    let silent = |error: std::io::Error| format!("does not respond: {error}");
    socket.set_read_timeout(Some(PATIENCE)).map_err(silent)?;
    let written = plan.request.repeat(plan.depth);
    socket.write_all(&written).map_err(silent)?;
    let (mut bytes, mut buffer) = (Vec::new(), [0; 8192]);
    let mut lens = Vec::new();
    while lens.len() < plan.depth {
        while let Some(len) = whole_response(&bytes, &plan.body)? {
            bytes.drain(..len);
            lens.push(len);
        }
        if lens.len() < plan.depth {
            let len = socket.read(&mut buffer).map_err(silent)?;
            if len == 0 {
                return Err("closes within a response".to_owned());
            }
            bytes.extend_from_slice(buffer.get(..len).unwrap_or_default());
        }
    }
    let first = lens.first().copied().unwrap_or(0);
    if !bytes.is_empty() || lens.iter().any(|len| *len != first) {
        return Err("sends responses of different lengths, or too many".to_owned());
    }
    Ok((socket, first))
}

/// The length of the first response, if all of it has arrived. An error if it is not the expected one.
fn whole_response(bytes: &[u8], body: &[u8]) -> Result<Option<usize>, String> {
    let Some(head_len) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else {
        return Ok(None);
    };
    let (head, rest) = bytes.split_at(head_len + 4);
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    if !head.starts_with("http/1.1 200") {
        let status = head.lines().next().unwrap_or_default();
        return Err(format!("responds {status}"));
    }
    let len = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|len| len.trim().parse::<usize>().ok());
    match (len, rest.get(..body.len())) {
        (Some(len), _) if len != body.len() => Err(format!("announces {len} bytes")),
        (None, _) => Err("sends no content-length".to_owned()),
        (Some(_), None) => Ok(None),
        (Some(_), Some(found)) if found == body => Ok(Some(head.len() + body.len())),
        (Some(_), Some(_)) => Err("sends a different body".to_owned()),
    }
}

/// An HTTP call as the platform passes it on: the client's fields and its own (contract §3), 28 in 1.3 KB.
pub(crate) fn platform_request() -> String {
    let token = "CAIS0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+/".repeat(5);
    let fields = [
        ("Host", "hello-demo-abcdefghij.region-1.fc.example"),
        (
            "User-Agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:1) Gecko/20100101",
        ),
        (
            "Accept",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        ),
        ("Accept-Encoding", "gzip, deflate, br"),
        ("Accept-Language", "en-US,en;q=0.5"),
        ("Content-Type", "application/json"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-Proto", "https"),
        ("x-fc-request-id", "1-65f0a1b2-0123abcd-0123456789ab"),
        ("x-fc-access-key-id", "STS.NU0123456789abcdefghijk"),
        (
            "x-fc-access-key-secret",
            "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGH",
        ),
        ("x-fc-security-token", &token),
        ("x-fc-function-name", "hello-demo"),
        ("x-fc-function-handler", "index.handler"),
        ("x-fc-function-memory", "512"),
        ("x-fc-function-timeout", "60"),
        ("x-fc-region", "region-1"),
        ("x-fc-account-id", "1234567890123456"),
        ("x-fc-qualifier", "LATEST"),
        ("x-fc-version-id", "LATEST"),
        ("x-fc-service-name", ""),
        ("x-fc-service-logproject", "serverless-region-1-01234567"),
        ("x-fc-service-logstore", "default-logs"),
        ("x-fc-control-path", "/http-invoke"),
        ("x-fc-retry-count", "0"),
        ("x-fc-base-path", "/hello"),
        ("x-fc-client-ip", "192.0.2.1"),
        ("x-fc-tracing-opentracing-span-context", ""),
    ];
    let lines = fields.map(|(name, value)| format!("{name}: {value}\r\n"));
    format!("GET /hello HTTP/1.1\r\n{}\r\n", lines.concat())
}
