//! A service as the kernel sees it: how it is woken, and what a runtime adds. No test measures time.
#![expect(clippy::expect_used, reason = "what a test cannot set up must fail it")]

use core::convert::Infallible;
use core::future::poll_fn;
use core::task::Poll;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use coldstart_tower::{Incoming, ServiceHandler};
use http::{Request, Response};
use loopback::process::{Process, can_run, is_again};
use loopback::server::on_loopback;
use loopback::{Client, eventually, get};
use tower::service_fn;

#[path = "../../tests/loopback/mod.rs"]
mod loopback;

/// How often a request to `/own` and `/other` is woken.
const WAKES: usize = 5;

/// Is woken by the loop's own thread, or by others, as the path says.
fn serve() {
    let service = service_fn(async |request: Request<Incoming>| {
        let path = request.uri().path().to_owned();
        for _ in 0..WAKES {
            match path.as_str() {
                "/own" => coldstart::yield_now().await,
                "/other" => woken_by_another_thread().await,
                _ => {}
            }
        }
        Ok::<_, Infallible>(Response::new(path))
    });
    on_loopback()
        .run_handler(ServiceHandler::new(service))
        .expect("it serves");
}

/// Ends once another thread has woken it, which waits until this one sleeps.
async fn woken_by_another_thread() {
    let mut is_woken = false;
    poll_fn(move |context| {
        if is_woken {
            return Poll::Ready(());
        }
        is_woken = true;
        let waker = context.waker().clone();
        let here = fs::read_link("/proc/thread-self").expect("a thread");
        let status = Path::new("/proc").join(here).join("status");
        #[expect(clippy::disallowed_methods, reason = "a test may start a thread")]
        std::thread::spawn(move || {
            let status = || fs::read_to_string(&status).unwrap_or_default();
            eventually("the loop sleeps", || status().contains("\nState:\tS"));
            waker.wake();
        });
        Poll::Pending
    })
    .await;
}

/// This test's program as a server, and its system calls.
struct Traced {
    _process: Process,
    address: SocketAddr,
    trace: PathBuf,
}

impl Traced {
    /// Returns `None` without strace.
    fn start(test: &str, calls: &str) -> Option<Self> {
        if !can_run("system calls", &["strace", "-o", "/dev/null", "true"]) {
            return None;
        }
        let trace = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tower-{test}.strace"));
        let (process, address) = Process::again_traced(test, calls, &trace);
        Some(Self {
            _process: process,
            address,
            trace,
        })
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.trace).expect("a trace")
    }

    /// Writes of the number 1 to an eventfd. A call that another thread interrupts has its arguments in its first line only.
    fn wakes(&self) -> usize {
        self.text().matches(r#", "\1\0\0\0\0\0\0\0", 8"#).count()
    }
}

#[test]
fn a_wake_takes_one_system_call_from_another_thread_and_none_from_the_loops() {
    const NAME: &str = "a_wake_takes_one_system_call_from_another_thread_and_none_from_the_loops";
    const REQUESTS: usize = 5;
    if is_again() {
        return serve();
    }
    let Some(server) = Traced::start(NAME, "write,writev,sendto,sendmsg") else {
        return;
    };
    let mut client = Client::connect(server.address);
    assert_eq!(client.request(get("/")).text(), "/");
    for _ in 0..REQUESTS {
        assert_eq!(client.request(get("/own")).text(), "/own");
    }
    // What comes after is in the trace, so all that came before is.
    assert_eq!(client.request(get("/other")).text(), "/other");
    eventually("the trace has the writes", || server.wakes() >= WAKES);
    for _ in 1..REQUESTS {
        assert_eq!(client.request(get("/other")).text(), "/other");
    }
    let expected = WAKES * REQUESTS;
    eventually("the trace has the writes", || server.wakes() >= expected);
    assert_eq!(server.wakes(), expected);
}

#[test]
fn a_runtime_is_made_by_the_first_request_and_by_no_other() {
    const NAME: &str = "a_runtime_is_made_by_the_first_request_and_by_no_other";
    if is_again() {
        return serve();
    }
    let Some(server) = Traced::start(NAME, "listen,accept4,epoll_create1,clone,clone3") else {
        return;
    };
    let mut client = Client::connect(server.address);
    for _ in 0..3 {
        assert_eq!(client.request(get("/")).text(), "/");
    }
    // Until the second connection is accepted.
    let mut second = Client::connect(server.address);
    assert_eq!(second.request(get("/")).text(), "/");
    let calls = || {
        let text = server.text();
        let names = text.lines().filter_map(|line| {
            let (_, call) = line.split_once(' ')?;
            let (name, rest) = call.trim_start().split_once('(')?;
            let is_call = !call.trim_start().starts_with('<');
            (is_call && !rest.contains("= -1")).then(|| name.to_owned())
        });
        names.collect::<Vec<_>>()
    };
    let mut all = Vec::new();
    eventually("the trace has both connections", || {
        all = calls();
        all.iter().filter(|name| *name == "accept4").count() >= 2
    });
    let listened = all.iter().position(|name| name == "listen");
    let (before, after) = all.split_at(listened.expect("it listens"));
    let polls = |calls: &[String]| calls.iter().filter(|name| *name == "epoll_create1").count();
    let threads = |calls: &[String]| {
        calls
            .iter()
            .filter(|name| name.starts_with("clone"))
            .count()
    };
    assert_eq!(polls(before), 0, "{all:?}");
    let first = after.iter().position(|name| name == "accept4");
    let (waiting, served) = after.split_at(first.expect("a connection"));
    // The loop's own.
    assert_eq!((polls(waiting), threads(waiting)), (1, 0), "{all:?}");
    let runtimes = usize::from(cfg!(feature = "tokio"));
    assert_eq!(
        (polls(served), threads(served)),
        (runtimes, runtimes),
        "{all:?}"
    );
}
