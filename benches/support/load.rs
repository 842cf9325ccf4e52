//! A load on loopback from one thread: closed loops, or a fixed rate whose latencies count from when a request was due.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(5);

/// What is asked, and how.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) request: Vec<u8>,
    /// Requests a write.
    pub(crate) depth: usize,
    pub(crate) connections: usize,
    pub(crate) lifetime: Lifetime,
    pub(crate) pace: Pace,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    KeptAlive,
    /// A connection for each request.
    OneRequest,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    /// The next request when the answer is there.
    Closed,
    /// So many a second, whether or not the answers keep up.
    Rate(f64),
}

pub(crate) struct Outcome {
    pub(crate) requests: usize,
    pub(crate) elapsed: Duration,
    /// Microseconds; only at a rate.
    pub(crate) latencies: Vec<f64>,
}

struct Connection {
    socket: TcpStream,
    /// Bytes of the answers that have not come.
    left: usize,
    due_at: Instant,
}

/// Connections to a server, ready to be asked.
pub(crate) struct Load {
    epoll: OwnedFd,
    connections: Vec<Connection>,
    port: u16,
    plan: Plan,
    answer_len: usize,
    buffer: Vec<u8>,
}

impl Load {
    /// Learns how long an answer is, then connects. `None` if there is none, or it is not 200.
    pub(crate) fn new(port: u16, plan: Plan) -> Option<Self> {
        let answer_len = answer_len(port, &plan.request)?;
        // SAFETY: the call takes no pointer, and the descriptor is nobody else's.
        let epoll = unsafe { OwnedFd::from_raw_fd(libc::epoll_create1(libc::EPOLL_CLOEXEC)) };
        let mut load = Self {
            epoll,
            connections: Vec::new(),
            port,
            answer_len,
            buffer: vec![0; 256 * 1024],
            plan,
        };
        for number in 0..load.plan.connections {
            let socket = connect(port)?;
            load.watch(&socket, number);
            load.connections.push(Connection {
                socket,
                left: 0,
                due_at: Instant::now(),
            });
        }
        Some(load)
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

    fn ask(&mut self, number: usize) -> Option<()> {
        let connection = self.connections.get_mut(number)?;
        connection.left = self.answer_len * self.plan.depth;
        // A batch of requests is far smaller than a socket's buffer.
        connection
            .socket
            .write_all(&self.plan.request.repeat_or_self(self.plan.depth))
            .ok()
    }

    /// The numbers of connections whose answers are whole.
    fn receive(&mut self, timeout: i32, done: &mut Vec<usize>) -> Option<()> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 512];
        // SAFETY: the array has room for that many.
        let count =
            unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), 512, timeout) };
        for event in events.iter().take(usize::try_from(count).unwrap_or(0)) {
            let number = event.u64 as usize;
            let connection = self.connections.get_mut(number)?;
            match connection.socket.read(&mut self.buffer) {
                Ok(0) => return None,
                Ok(len) => {
                    connection.left = connection.left.checked_sub(len)?;
                    if connection.left == 0 {
                        done.push(number);
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
        Some(())
    }

    /// A new connection in the place of one that has had its answer.
    fn reconnect(&mut self, number: usize) -> Option<()> {
        let socket = connect(self.port)?;
        self.watch(&socket, number);
        self.connections.get_mut(number)?.socket = socket;
        Some(())
    }

    /// Asks for as long as that, and waits for the last answers. `None` if the server fails on the way.
    pub(crate) fn run(&mut self, duration: Duration) -> Option<Outcome> {
        match self.plan.pace {
            Pace::Closed => self.run_closed(duration),
            Pace::Rate(rate) => self.run_at(rate, duration),
        }
    }

    fn run_closed(&mut self, duration: Duration) -> Option<Outcome> {
        let started_at = Instant::now();
        let until = started_at + duration;
        let (mut requests, mut open) = (0, self.connections.len());
        for number in 0..self.connections.len() {
            self.ask(number)?;
        }
        let mut done = Vec::new();
        while open > 0 {
            self.receive(1000, &mut done)?;
            let now = Instant::now();
            if now > until + PATIENCE {
                return None;
            }
            for number in done.drain(..) {
                requests += self.plan.depth;
                if self.plan.lifetime == Lifetime::OneRequest {
                    self.reconnect(number)?;
                }
                if now < until {
                    self.ask(number)?;
                } else {
                    open -= 1;
                }
            }
        }
        Some(Outcome {
            requests,
            elapsed: started_at.elapsed(),
            latencies: Vec::new(),
        })
    }

    fn run_at(&mut self, rate: f64, duration: Duration) -> Option<Outcome> {
        let started_at = Instant::now();
        let total = (rate * duration.as_secs_f64()) as usize;
        let (mut issued, mut latencies) = (0, Vec::with_capacity(total));
        let mut idle: VecDeque<usize> = (0..self.connections.len()).collect();
        let mut done = Vec::new();
        while latencies.len() < total {
            let now = Instant::now();
            if now > started_at + duration + PATIENCE {
                return None;
            }
            while issued < total {
                let due_at = started_at + Duration::from_secs_f64(issued as f64 / rate);
                if due_at > now {
                    break;
                }
                let Some(number) = idle.pop_front() else {
                    break;
                };
                self.connections.get_mut(number)?.due_at = due_at;
                self.ask(number)?;
                issued += 1;
            }
            self.receive(0, &mut done)?;
            for number in done.drain(..) {
                let due_at = self.connections.get(number)?.due_at;
                latencies.push(due_at.elapsed().as_secs_f64() * 1e6);
                idle.push_back(number);
            }
        }
        Some(Outcome {
            requests: total,
            elapsed: started_at.elapsed(),
            latencies,
        })
    }
}

trait Repeated {
    fn repeat_or_self(&self, times: usize) -> std::borrow::Cow<'_, [u8]>;
}

impl Repeated for Vec<u8> {
    fn repeat_or_self(&self, times: usize) -> std::borrow::Cow<'_, [u8]> {
        if times == 1 {
            self.as_slice().into()
        } else {
            self.repeat(times).into()
        }
    }
}

fn connect(port: u16) -> Option<TcpStream> {
    let socket = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).ok()?;
    socket.set_nodelay(true).ok()?;
    socket.set_nonblocking(true).ok()?;
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // No TIME_WAIT, so that the ports last. SAFETY: the option's size is told.
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
    Some(socket)
}

/// The length of one answer, head and body, once the server is there.
fn answer_len(port: u16, request: &[u8]) -> Option<usize> {
    let until = Instant::now() + PATIENCE;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut socket = loop {
        match TcpStream::connect(address) {
            Ok(socket) => break socket,
            Err(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(2)),
            Err(_) => return None,
        }
    };
    socket.set_read_timeout(Some(PATIENCE)).ok()?;
    socket.write_all(request).ok()?;
    let mut answer = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        let len = socket.read(&mut buffer).ok().filter(|len| *len > 0)?;
        answer.extend_from_slice(buffer.get(..len)?);
        let Some(head_len) = answer.windows(4).position(|end| end == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(answer.get(..head_len)?).to_ascii_lowercase();
        let body_len = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))?;
        let len = head_len + 4 + body_len.trim().parse::<usize>().ok()?;
        if answer.len() >= len {
            return head.starts_with("http/1.1 200").then_some(len);
        }
    }
}
