//! Leaving HTTP over real sockets: upgrades and tunnels, by RFC 9110 §7.8 and §9.3.6.
#![expect(clippy::expect_used, reason = "a failed set-up must fail the test")]

mod loopback;

use core::future::{pending, poll_fn};
use core::pin::pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Poll;
use core::time::Duration;
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use coldstart::handler::{Accept, Outcome, SocketReader, SocketWriter, Upgrade};
use coldstart::message::{Head, Written};
use coldstart::server::{Limits, ServerEvent, Timeouts};
use coldstart::{Handler, Request, Response, Router, draining};

use loopback::server::{Running, on_loopback};
use loopback::{Client, PATIENCE, get, outlast, pattern};

/// Becomes the protocol `echo` for peers that offer it, and for CONNECT: what was sent with the request comes back.
#[derive(Clone, Copy)]
enum Echo {
    OnThread,
    OnLoop,
}

const BOTH: [Echo; 2] = [Echo::OnThread, Echo::OnLoop];

impl Handler for Echo {
    fn accept(&mut self, _: &Head<'_>) -> Accept {
        Accept::Upgrade(match self {
            Self::OnThread => Upgrade::new("echo", |mut socket, rest| {
                drop(socket.write_all(&rest));
                let mut more = [0];
                while socket.read(&mut more).is_ok_and(|len| len > 0) {
                    drop(socket.write_all(&more));
                }
            }),
            Self::OnLoop => Upgrade::on_loop("echo", echo),
        })
    }

    fn call(&mut self, _: &Request<'_>) -> Outcome {
        Response::text("in HTTP").into()
    }
}

async fn echo(mut reader: SocketReader, writer: SocketWriter) -> Written {
    while let Some(bytes) = reader.read().await? {
        assert!(!bytes.is_empty(), "what is read is never empty");
        writer.write(bytes).await?;
    }
    Ok(())
}

#[test]
fn only_a_protocol_that_the_request_offers_is_switched_to() {
    for form in BOTH {
        let server = Running::start_handler(on_loopback(), form);
        let mut client = Client::connect(server.address);
        // What `curl --http2` sends.
        let h2c = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n\
            Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n";
        assert_eq!(client.request(h2c).text(), "in HTTP");
        let old = "GET / HTTP/1.0\r\nConnection: Upgrade, keep-alive\r\nUpgrade: echo\r\n\r\n";
        assert_eq!(client.request(old).text(), "in HTTP");
        let offers =
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c, ECHO\r\n\r\n";
        client.send(format!("{offers}hello"));
        let response = client.head().expect("a response");
        assert_eq!(
            (response.status, response.field("upgrade")),
            (101, Some("echo"))
        );
        let mut back = [0; 5];
        client.read_exact(&mut back);
        assert_eq!(&back, b"hello");
        drop(client);
        server.stop();
    }
}

#[test]
fn an_upgrade_that_expects_continue_gets_it_first() {
    for form in BOTH {
        let server = Running::start_handler(on_loopback(), form);
        let mut client = Client::connect(server.address);
        client.send(
            "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: Upgrade\r\n\
         Upgrade: echo\r\n\r\n",
        );
        assert_eq!(client.head().expect("a response").status, 100);
        assert_eq!(client.head().expect("a response").status, 101);
        drop(client);
        server.stop();
    }
}

#[test]
fn connect_becomes_a_tunnel_with_a_2xx() {
    for form in BOTH {
        let server = Running::start_handler(on_loopback(), form);
        for head in [
            "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
            "CONNECT a:1 HTTP/1.0\r\n\r\n",
        ] {
            let mut client = Client::connect(server.address);
            client.send(format!("{head}hello"));
            let response = client.head().expect("a response");
            let framing = [
                "upgrade",
                "connection",
                "content-length",
                "transfer-encoding",
            ];
            assert_eq!(response.status, 200);
            assert!(framing.iter().all(|name| response.field(name).is_none()));
            let mut back = [0; 5];
            client.read_exact(&mut back);
            assert_eq!(&back, b"hello");
        }
        server.stop();
    }
}

/// What follows a CONNECT may be meant for the tunnel: it is never read as a request.
#[test]
fn a_refused_connect_closes() {
    let refused = |server: Running, status: u16| {
        let mut client = Client::connect(server.address);
        client.send(format!(
            "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n{}",
            get("/")
        ));
        let response = client.response();
        assert_eq!(response.status, status);
        assert_eq!(response.field("connection"), Some("close"));
        assert!(client.is_at_end());
        server.stop();
    };
    let page = |_: &Request<'_>| Response::text("a page");
    refused(Running::start(on_loopback(), page), 501);
    let router = Router::new().get("/", page);
    refused(Running::start_handler(on_loopback(), router), 501);
    let router = Router::new().any("/", page);
    refused(Running::start_handler(on_loopback(), router), 404);
    let router = Router::new().fallback(page);
    refused(Running::start_handler(on_loopback(), router), 501);
}

const OFFER: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n";

/// Upgrades each request to this code on the loop.
fn upgrading<F: Future<Output = Written> + 'static>(
    run: impl Fn(SocketReader, SocketWriter) -> F + Clone + Send + Sync + 'static,
) -> Router {
    Router::new().accept("GET", "/", move |_| {
        Accept::Upgrade(Upgrade::on_loop("raw", run.clone()))
    })
}

/// A connection that has left HTTP.
fn upgraded(server: &Running) -> Client {
    let mut client = Client::connect(server.address);
    client.send(OFFER);
    assert_eq!(client.head().expect("a response").status, 101, "upgraded");
    client
}

/// Sends when it is dropped.
struct OnDrop(Sender<&'static str>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}

#[test]
fn bytes_pass_in_both_directions_at_once_with_back_pressure() {
    let server = Running::start_handler(on_loopback(), upgrading(echo));
    let mut client = upgraded(&server);
    let sent = pattern(8 * 1024 * 1024);
    let mut output = client.stream().try_clone().expect("a second handle");
    let back = std::thread::scope(|scope| {
        scope.spawn(|| {
            output.write_all(&sent).expect("it is read");
            output.shutdown(std::net::Shutdown::Write).expect("open");
        });
        client.rest().expect("all of it, and an end")
    });
    assert!(back == sent, "{} of {} bytes", back.len(), sent.len());
    server.stop();
}

#[test]
fn the_end_of_the_peers_side_ends_neither_the_code_nor_its_output() {
    let run = async |mut reader: SocketReader, writer: SocketWriter| {
        let mut len = 0;
        while let Some(bytes) = reader.read().await? {
            len += bytes.len();
        }
        assert_eq!(reader.read().await, Ok(None), "the end stays");
        for _ in 0..len {
            writer.write(pattern(1000)).await?;
        }
        Ok(())
    };
    let server = Running::start_handler(on_loopback(), upgrading(run));
    let mut client = upgraded(&server);
    client.send("abc");
    client.shut_down_output();
    let back = client.rest().expect("bytes and an end");
    assert_eq!(back.len(), 3000);
    server.stop();
}

#[test]
fn our_side_ends_alone_and_all_that_follows_is_read() {
    let (tell, told) = channel();
    let run = move |mut reader: SocketReader, writer: SocketWriter| {
        let tell = tell.clone();
        async move {
            writer.write("bye").await?;
            writer.close();
            let mut received = Vec::new();
            while let Some(bytes) = reader.read().await? {
                // Slower than the peer: its end arrives while bytes wait.
                yield_once().await;
                received.extend_from_slice(&bytes);
            }
            // Both sides have ended, and it goes on.
            for _ in 0..3 {
                yield_once().await;
            }
            tell.send(received)?;
            Ok(())
        }
    };
    let server = Running::start_handler(on_loopback(), upgrading(run));
    let mut client = upgraded(&server);
    assert_eq!(client.rest().expect("an end"), b"bye");
    let sent = pattern(3 * 1024 * 1024);
    client.send(&sent);
    drop(client);
    let received = told.recv_timeout(PATIENCE).expect("the code goes on");
    assert!(received == sent, "{} of {}", received.len(), sent.len());
    server.stop();
}

async fn yield_once() {
    let mut has_waited = false;
    poll_fn(|context| {
        if core::mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The peer has ended its side, ours is to end once the peer has read, and the code goes on: the loop waits for the peer.
#[test]
fn what_was_written_last_waits_for_a_peer_that_reads_late() {
    let (tell, told) = channel();
    let last = pattern(16 * 1024 * 1024);
    let expected = last.clone();
    let run = move |mut reader: SocketReader, writer: SocketWriter| {
        let (tell, last) = (tell.clone(), last.clone());
        async move {
            if reader.read().await? == Some("echo".into()) {
                writer.write("echo").await?;
                return Ok(());
            }
            while reader.read().await?.is_some() {}
            writer.write(last).await?;
            writer.close();
            tell.send("closed")?;
            writer_is_gone().await
        }
    };
    let server = Running::start_handler(on_loopback(), upgrading(run));
    let mut late = upgraded(&server);
    late.send("a");
    late.shut_down_output();
    assert_eq!(told.recv_timeout(PATIENCE), Ok("closed"));
    let mut other = upgraded(&server);
    other.send("echo");
    assert_eq!(other.rest().expect("the loop serves others"), b"echo");
    assert!(late.rest().expect("all of it") == expected, "other bytes");
    drop(late);
    server.stop();
}

/// Some work after the last byte.
async fn writer_is_gone() -> Written {
    for _ in 0..100 {
        yield_once().await;
    }
    Ok(())
}

#[test]
fn code_without_a_reader_or_a_writer_goes_on_and_its_end_ends_the_connection() {
    let (tell, told) = channel();
    let has_read = Arc::new(AtomicBool::new(false));
    let may_end = Arc::clone(&has_read);
    let run = move |reader: SocketReader, writer: SocketWriter| {
        let (tell, may_end) = (tell.clone(), Arc::clone(&may_end));
        async move {
            drop(reader);
            yield_once().await;
            writer.write("a").await?;
            drop(writer);
            while !may_end.load(Ordering::Relaxed) {
                yield_once().await;
            }
            tell.send("over")?;
            Err("an error is an end as well".into())
        }
    };
    let server = Running::start_handler(on_loopback(), upgrading(run));
    let mut client = upgraded(&server);
    assert_eq!(client.rest().expect("an end"), b"a");
    has_read.store(true, Ordering::Relaxed);
    assert_eq!(told.recv_timeout(PATIENCE), Ok("over"));
    server.stop();
}

#[test]
fn a_reset_drops_the_code() {
    let (tell, told) = channel();
    let run = move |mut reader: SocketReader, writer: SocketWriter| {
        let guard = OnDrop(tell.clone());
        async move {
            writer.write(pattern(64 * 1024)).await?;
            assert_eq!(
                reader.read().await.expect("bytes").as_deref(),
                Some(&b"a"[..])
            );
            guard.0.send("read")?;
            let after = reader.read().await;
            guard.0.send("returned")?;
            after?;
            Ok(())
        }
    };
    let server = Running::start_handler(on_loopback(), upgrading(run));
    let client = upgraded(&server);
    client.send("a");
    assert_eq!(told.recv_timeout(PATIENCE), Ok("read"));
    // Bytes that it has not read make the kernel reset the connection.
    drop(client);
    assert_eq!(told.recv_timeout(PATIENCE), Ok("dropped"));
    server.stop();
}

#[test]
fn the_code_learns_that_the_server_stops_and_may_say_goodbye() {
    let run = async |mut reader: SocketReader, writer: SocketWriter| {
        let mut draining = pin!(draining());
        let said = poll_fn(|context| match draining.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready("stopping"),
            Poll::Pending => reader.poll_read(context).map(|_| "read"),
        });
        let said = said.await;
        writer.write(said).await?;
        writer.close();
        while reader.read().await?.is_some() {}
        Ok(())
    };
    let server = Running::start_handler(on_loopback(), upgrading(run));
    let mut client = upgraded(&server);
    server.begin_stop();
    assert_eq!(client.rest().expect("an end"), b"stopping");
    drop(client);
    server.ended().expect("it stops");
}

#[test]
fn code_that_does_not_end_is_cut_at_the_deadline_of_the_drain() {
    let (tell, told) = channel();
    let run = move |reader: SocketReader, writer: SocketWriter| {
        let guard = OnDrop(tell.clone());
        async move {
            guard.0.send("begun")?;
            draining().await;
            guard.0.send("draining")?;
            pending::<()>().await;
            drop((reader, writer, guard));
            Ok(())
        }
    };
    let timeouts = Timeouts::new().drain(Duration::from_millis(50));
    let server = on_loopback().timeouts(timeouts);
    let server = Running::start_handler(server, upgrading(run));
    let mut client = upgraded(&server);
    assert_eq!(told.recv_timeout(PATIENCE), Ok("begun"));
    server.begin_stop();
    server.ended().expect("it stops");
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["draining", "dropped"]);
    drop(client.rest());
    let cut = server.events.try_iter();
    assert!(
        cut.into_iter()
            .any(|event| event == ServerEvent::Stopped(1))
    );
}

#[test]
fn an_idle_connection_outlives_the_time_outs_of_requests() {
    let short = Duration::from_millis(20);
    let timeouts = Timeouts::new().head(short).body(short).write(short);
    let server = Running::start_handler(on_loopback().timeouts(timeouts), upgrading(echo));
    let mut client = upgraded(&server);
    for _ in 0..3 {
        outlast(short * 3);
        client.send("a");
        let mut back = [0];
        client.read_exact(&mut back);
        assert_eq!(&back, b"a");
    }
    drop(client);
    server.stop();
}

#[test]
fn a_peer_that_does_not_read_is_cut_after_the_time_out_of_writes() {
    let (tell, told) = channel();
    let run = move |mut reader: SocketReader, writer: SocketWriter| {
        let guard = OnDrop(tell.clone());
        async move {
            // It goes on sending: that does not count.
            reader.read().await?;
            loop {
                writer.write(pattern(64 * 1024)).await?;
                let _ = &guard;
            }
        }
    };
    let timeouts = Timeouts::new().write(Duration::from_millis(100));
    let server = Running::start_handler(on_loopback().timeouts(timeouts), upgrading(run));
    let client = upgraded(&server);
    client.send("a");
    assert_eq!(told.recv_timeout(PATIENCE), Ok("dropped"));
    drop(client);
    server.stop();
}

#[test]
fn connections_on_the_loop_count_among_those_upgraded() {
    // In a process of its own: the count is that of the process.
    let test = "connections_on_the_loop_count_among_those_upgraded";
    if !loopback::process::is_again() {
        let mut again = loopback::process::Process::again(test);
        assert!(again.ended().success(), "the test fails in its own process");
        return;
    }
    let limits = Limits::new().upgrades_max(1);
    let server = Running::start_handler(on_loopback().limits(limits), upgrading(echo));
    let mut first = upgraded(&server);
    let mut second = Client::connect(server.address);
    let refused = second.request(OFFER);
    assert_eq!(
        (refused.status, refused.field("retry-after")),
        (503, Some("1"))
    );
    first.shut_down_output();
    assert_eq!(first.rest().expect("an end"), b"");
    // Our end is sent before the place is given back.
    loopback::eventually("the place is free", || second.request(OFFER).status == 101);
    drop(second);
    server.stop();
}

#[test]
fn a_panic_ends_the_connection_and_no_other() {
    let run = async |mut reader: SocketReader, writer: SocketWriter| {
        while let Some(bytes) = reader.read().await? {
            assert_eq!(bytes, "a", "what it expects");
            writer.write(bytes).await?;
        }
        Ok(())
    };
    let server = Running::start_handler(on_loopback(), upgrading(run));
    let (mut panics, mut echoes) = (upgraded(&server), upgraded(&server));
    panics.send("b");
    assert_eq!(panics.rest().expect("an end"), b"");
    echoes.send("a");
    let mut back = [0];
    echoes.read_exact(&mut back);
    assert_eq!(&back, b"a");
    server.begin_stop();
    drop(echoes);
    server.ended().expect("it stops");
    let reported = server.events.try_iter();
    assert!(
        reported
            .into_iter()
            .any(|event| event == ServerEvent::HandlerPanicked)
    );
}
