//! Files down and bodies up: CPU time per GB, of this server, of nginx with `sendfile on`, and of a loop that only receives.
//!
//! `cargo bench --bench files -- [rounds=5] [megabytes=1000] [also=OLDER_BUILD_OF_THIS_PROGRAM]`. Each server has one core and the
//! client the other; the client has one connection and discards what it reads. Ours is this program again. Files are in the page
//! cache, and each request opens its file. nginx has no module that takes a body without a file, so uploads are compared with a
//! loop that receives into a buffer of the same length and looks at nothing.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "benchmarks print, start processes, use sockets of their own and may panic"
)]

mod support;

use std::fs::File;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use coldstart::handler::{Accept, Demand, Outcome, Upload};
use coldstart::message::Head;
use coldstart::{Body, Handler, Request, Response, Server, Status};
use support::machine::{self, Child, OUR_CORE, pin};
use support::programs::{self, Program};
use support::requests::free_port;
use support::table::Table;
use support::{median, setting, text_setting};

/// The arguments with which this program is a server.
const SERVE: &str = "--serve";
const RECEIVE: &str = "--receive";
/// Bytes of a read buffer: as many as the server has.
const BUFFER_LEN: usize = 68 * 1024;
const MB: usize = 1_000_000;

/// What one request moves: its name, and its bytes.
const FILES: [(&str, usize); 4] = [
    ("8kB", 8_000),
    ("64kB", 64_000),
    ("1MB", MB),
    ("100MB", 100 * MB),
];
const UPLOAD_LEN: usize = 10 * MB;

fn main() {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), port(arguments.next())) {
        (Some(SERVE), Some(port)) => return serve(port),
        (Some(RECEIVE), Some(port)) => return receive(port),
        _ => {}
    }
    let (rounds, total) = (setting("rounds", 5), MB * setting("megabytes", 1000));
    for (name, len) in FILES {
        std::fs::write(programs::folder_of_files().join(name), vec![7; len]).expect("a file");
    }
    let (servers, limit) = programs::of_files(SERVE, RECEIVE, text_setting("also"));
    pin(OUR_CORE);
    let mut rows = Vec::new();
    for (name, len) in FILES {
        // Small files are many requests.
        let times = total.div_ceil(len).min(20_000);
        rows.push(Row::new(name, Transfer::Down(name, len), times, &servers));
    }
    let mut receivers: Vec<&Program> = servers.iter().filter(|one| one.is_able_to_echo()).collect();
    receivers.push(&limit);
    let times = total.div_ceil(UPLOAD_LEN);
    rows.push(Row::new(
        "upload",
        Transfer::Up(UPLOAD_LEN),
        times,
        receivers,
    ));
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        for row in &mut rows {
            row.measure();
        }
    }
    report(&rows);
}

fn port(argument: Option<String>) -> Option<u16> {
    argument?.parse().ok()
}

/// What one request moves.
#[derive(Clone, Copy)]
enum Transfer {
    Down(&'static str, usize),
    Up(usize),
}

/// One kind of request, and what each program takes for it.
struct Row<'a> {
    name: &'static str,
    transfer: Transfer,
    times: usize,
    /// CPU time in milliseconds per GB, one for each round.
    series: Vec<(&'a Program, Vec<f64>)>,
}

impl<'a> Row<'a> {
    fn new(
        name: &'static str,
        transfer: Transfer,
        times: usize,
        programs: impl IntoIterator<Item = &'a Program>,
    ) -> Self {
        let series = programs.into_iter().map(|program| (program, Vec::new()));
        Self {
            name,
            transfer,
            times,
            series: series.collect(),
        }
    }

    fn measure(&mut self) {
        for (program, series) in &mut self.series {
            let port = free_port(20_000);
            let child = Child::start(&program.path, &program.arguments(port), port);
            let mut client = Client::connect(port);
            let mut buffer = vec![0; BUFFER_LEN];
            client.transfer(self.transfer, &mut buffer);
            let before = child.cpu();
            let moved: usize = (0..self.times)
                .map(|_| client.transfer(self.transfer, &mut buffer))
                .sum();
            let cpu = child.cpu().saturating_sub(before);
            series.push(cpu.as_secs_f64() * 1e12 / moved as f64);
        }
    }
}

/// One connection.
struct Client(TcpStream);

impl Client {
    fn connect(port: u16) -> Self {
        for _ in 0..500 {
            if let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
                stream.set_nodelay(true).expect("an option");
                return Self(stream);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the server does not listen");
    }

    /// One request, with all of its response; returns how many bytes it moved.
    fn transfer(&mut self, transfer: Transfer, buffer: &mut [u8]) -> usize {
        match transfer {
            Transfer::Down(name, len) => {
                let request = format!("GET /{name} HTTP/1.1\r\nHost: localhost\r\n\r\n");
                self.0.write_all(request.as_bytes()).expect("a server");
                assert_eq!(self.response(buffer), len, "the response is the file");
                len
            }
            Transfer::Up(len) => {
                let head = format!(
                    "POST /up HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len}\r\n\r\n"
                );
                self.0.write_all(head.as_bytes()).expect("a server");
                let mut left = len;
                while left > 0 {
                    let piece = &buffer[..left.min(buffer.len())];
                    self.0.write_all(piece).expect("a server");
                    left -= piece.len();
                }
                self.response(buffer);
                len
            }
        }
    }

    /// Reads a response; returns the length of its body.
    fn response(&mut self, buffer: &mut [u8]) -> usize {
        let (announced, mut len) = read_head(&mut self.0, buffer).expect("a response");
        while len < announced {
            let read = self.0.read(buffer).expect("the rest of it");
            assert!(read > 0, "the response is cut");
            len += read;
        }
        len
    }
}

/// Reads a head. Returns the length that it announces, and how many bytes of the body came with it.
fn read_head(stream: &mut impl Read, buffer: &mut [u8]) -> Option<(usize, usize)> {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).ok()?;
        if read == 0 {
            return None;
        }
        filled += read;
        let end = buffer[..filled]
            .windows(4)
            .position(|end| end == b"\r\n\r\n");
        let Some(end) = end else { continue };
        let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
        let len = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"));
        let len = len.and_then(|len| len.trim().parse().ok());
        return Some((len.unwrap_or(0), filled - end - 4));
    }
}

/// This server: each file of the folder, and a count of what is uploaded.
fn serve(port: u16) {
    struct Site(PathBuf);

    impl Handler for Site {
        fn accept(&mut self, head: &Head<'_>) -> Accept {
            match head.method() {
                "POST" => Accept::Stream(Box::new(Count(0))),
                _ => Accept::Buffer,
            }
        }

        fn call(&mut self, request: &Request<'_>) -> Outcome {
            let path = self.0.join(request.path().trim_start_matches('/'));
            let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
            match opened {
                Ok((len, file)) => Response::bytes(Body::file(file, 0..len)),
                Err(_) => Response::new(Status::NOT_FOUND),
            }
            .into()
        }
    }

    struct Count(usize);

    impl Upload for Count {
        fn body_len_max(&self) -> u64 {
            u64::MAX
        }

        fn on_piece(&mut self, piece: &[u8]) -> Demand {
            self.0 += piece.len();
            Demand::More
        }

        fn on_end(self: Box<Self>) -> Outcome {
            Response::text(format!("{}\n", self.0)).into()
        }
    }

    let site = Site(programs::folder_of_files());
    let served = Server::new().port(port).run_handler(site);
    served.expect("the server starts");
}

/// Receives what is announced, and looks at nothing.
fn receive(port: u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("a port");
    let mut buffer = vec![0; BUFFER_LEN];
    for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        stream.set_nodelay(true).expect("an option");
        while let Some((len, mut received)) = read_head(&mut stream, &mut buffer) {
            while received < len {
                match stream.read(&mut buffer) {
                    Ok(read @ 1..) => received += read,
                    Ok(0) | Err(_) => return,
                }
            }
            let sent = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            if sent.is_err() {
                return;
            }
        }
    }
}

fn report(rows: &[Row<'_>]) {
    let columns = ["transfer", "program", "cpu_ms_gb", "cpu_x"];
    let mut table = Table::new("files", "cargo bench --bench files", &columns);
    println!("{}, load {}\n", machine::describe(), machine::load());
    println!("{:<10} {:<18} {:>12} {:>7}", "", "", "CPU/GB", "×");
    for row in rows {
        let ours = row.series.first();
        let ours = ours.map_or(f64::NAN, |(_, series)| median(series));
        for (program, series) in &row.series {
            let cpu = median(series);
            let cells = [
                row.name.to_owned(),
                program.name.to_owned(),
                format!("{cpu:.1}"),
                format!("{:.3}", cpu / ours),
            ];
            let [name, program, cpu, ratio] = &cells;
            println!("{name:<10} {program:<18} {cpu:>9} ms {ratio:>7}");
            table.row(&cells);
        }
    }
    table.save();
}
