//! A gateway to another server, at both sides' pace: it holds no more than a few buffers of each body.
//!
//! ```console
//! $ PORT=8000 cargo run --example hello &
//! $ cargo run --example proxy --features http -- http://localhost:8000
//! $ curl 'localhost:9000/some/path?of=it'
//! hello from a function without a platform, at /some/path
//! $ curl -T Cargo.lock localhost:9000/files/
//! hello from a function without a platform, at /files/Cargo.lock
//! ```

use std::{error::Error, pin::pin, process::ExitCode, time::Duration};

use coldstart::{Bytes, Function, Status, handler::incoming, message};
use http::{HeaderMap, HeaderValue, Request, Response, Version, header};
use http_body_util::{BodyExt as _, combinators::UnsyncBoxBody};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};

/// Fields of one connection, beside those that `Connection` names (RFC 9110 §7.6.1).
const OF_ONE_HOP: &str = "connection,keep-alive,proxy-connection,te,transfer-encoding,upgrade";
/// An upstream that neither takes a part of the body nor responds for this long has timed out.
const PATIENCE: Duration = Duration::from_secs(10);

fn keep_end_to_end(headers: &mut HeaderMap) {
    let mut names = OF_ONE_HOP.to_owned();
    for list in headers.get_all(header::CONNECTION) {
        names.extend([",", list.to_str().unwrap_or_default()]);
    }
    for name in names.split(',') {
        headers.remove(name.trim());
    }
}

async fn forward(
    client: Client<HttpConnector, UnsyncBoxBody<Bytes, message::IncomingError>>,
    upstream: String,
    request: Result<Request<message::Incoming>, http::Error>,
) -> Result<Response<hyper::body::Incoming>, Status> {
    let mut request = request.map_err(|_| Status::BAD_REQUEST)?;
    let path = request.uri().path_and_query();
    let uri = format!("{upstream}{}", path.map_or("/", |path| path.as_str()));
    *request.uri_mut() = uri.parse().map_err(|_| Status::BAD_REQUEST)?;
    *request.version_mut() = Version::HTTP_11;
    let fields = request.headers_mut();
    keep_end_to_end(fields);
    fields.append(header::VIA, HeaderValue::from_static("1.1 coldstart"));
    let (moved, mut moves) = mpsc::channel(1);
    let note = move |_: &_| moved.try_send(()).unwrap_or_default();
    let request = request.map(|body| body.inspect_frame(note).boxed_unsync());
    let mut sent = pin!(client.request(request));
    loop {
        if let Ok(sent) = timeout(PATIENCE, &mut sent).await {
            return sent.map_err(|_| Status::BAD_GATEWAY);
        }
        moves.try_recv().map_err(|_| Status::GATEWAY_TIMEOUT)?;
    }
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let upstream = std::env::args().nth(1).ok_or("name the upstream")?;
    let runtime = tokio::runtime::Runtime::new()?;
    let client = Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
    let proxy = incoming(move |head, body| {
        // Dropped with the peer, the set aborts its task.
        let mut task = JoinSet::new();
        let sent = forward(client.clone(), upstream.clone(), head.to_http(body));
        task.spawn_on(sent, runtime.handle());
        async move {
            let sent = task.join_next().await.and_then(Result::ok);
            let mut response = sent.ok_or(Status::BAD_GATEWAY)??;
            keep_end_to_end(response.headers_mut());
            Ok::<_, Status>(response)
        }
    });
    Ok(Function::new().http_handler(proxy).run())
}
