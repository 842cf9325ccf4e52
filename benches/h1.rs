//! The protocol alone, per byte: reading heads, decoding chunked bodies, writing heads.
//!
//! `cargo bench --bench h1 [-- NAME]` compares times and throughput with the last run on this machine (criterion
//! keeps them in `target/criterion`). It calls the parser through `sim`, without a socket or a loop, so it shows
//! where a change of the parser went. `instructions` shows what the change is worth in the program.

use std::fmt::Write as _;
use std::hint::black_box;

use coldstart::sim::Protocol;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};

const SMALL: &str = "GET /hello HTTP/1.1\r\nHost: localhost:9000\r\n\r\n";
const BROWSER: &str = "GET /articles/2026/november?page=2&sort=new HTTP/1.1\r\nHost: www.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nReferer: https://www.example.com/articles/2026\r\n\
    Connection: keep-alive\r\nCookie: session=0123456789abcdef0123456789abcdef; theme=dark; seen=1732312345\r\n\
    Upgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Site: same-origin\r\nSec-Fetch-User: ?1\r\nPriority: u=0, i\r\n\r\n";
const CHUNKED: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
const BODY_LEN: usize = 64 * 1024;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    heads_in(&mut criterion);
    bodies_in(&mut criterion);
    heads_out(&mut criterion);
    criterion.final_summary();
}

/// A head near the limit, as proxies make them: many fields, some of them long.
fn large() -> String {
    let mut head = "GET /large HTTP/1.1\r\nHost: www.example.com\r\n".to_owned();
    for number in 0..48 {
        let _ = write!(head, "X-Field-{number}: {}\r\n", "value ".repeat(20).trim());
    }
    head + "\r\n"
}

fn heads_in(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read head");
    let large = large();
    for (name, head) in [("small", SMALL), ("browser", BROWSER), ("large", &large)] {
        let mut protocol = Protocol::default();
        group.throughput(Throughput::Bytes(head.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), head, |bencher, head| {
            bencher.iter(|| protocol.read_head(black_box(head.as_bytes())));
        });
    }
    group.finish();
}

fn bodies_in(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode chunks");
    for chunk_len in [16, 1024, 16 * 1024] {
        let chunk = format!("{chunk_len:x}\r\n{}\r\n", "x".repeat(chunk_len));
        let body = chunk.repeat(BODY_LEN / chunk_len) + "0\r\n\r\n";
        let started = || {
            let mut protocol = Protocol::default();
            protocol.read_head(CHUNKED);
            protocol
        };
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(
            BenchmarkId::from_parameter(chunk_len),
            body.as_bytes(),
            |bencher, body| {
                let decode = |protocol: &mut Protocol| protocol.read_body(black_box(body));
                bencher.iter_batched_ref(started, decode, BatchSize::SmallInput);
            },
        );
    }
    group.finish();
}

fn heads_out(criterion: &mut Criterion) {
    let plain: &[(&str, &[u8])] = &[];
    let many: &[(&str, &[u8])] = &[
        ("cache-control", b"public, max-age=3600, must-revalidate"),
        ("etag", b"\"0123456789abcdef0123456789abcdef\""),
        ("last-modified", b"Sun, 06 Nov 1994 08:49:37 GMT"),
        ("vary", b"accept-encoding, accept-language"),
        ("content-security-policy", b"default-src 'self'; img-src *"),
        (
            "strict-transport-security",
            b"max-age=63072000; includeSubDomains",
        ),
        (
            "set-cookie",
            b"session=0123456789abcdef; HttpOnly; Secure; SameSite=Lax",
        ),
        ("x-request-id", b"1-00000000-00000000-000000000000"),
    ];
    let mut group = criterion.benchmark_group("write head");
    for (name, fields) in [("plain", plain), ("many fields", many)] {
        let asked = || {
            let mut protocol = Protocol::default();
            protocol.read_head(SMALL.as_bytes());
            (protocol, Vec::with_capacity(4096))
        };
        let write = |(protocol, out): &mut (Protocol, Vec<u8>)| {
            protocol.write_head(out, black_box(fields));
            out.len()
        };
        let len = write(&mut asked());
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter_batched_ref(asked, write, BatchSize::SmallInput);
        });
    }
    group.finish();
}
