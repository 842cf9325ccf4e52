//! An MCP server: tools, a resource and a prompt for assistants, over Streamable HTTP.
//!
//! ```console
//! $ cargo run -p coldstart-tower --features tokio --example mcp -- stateless
//! $ curl localhost:9000/mcp -H 'accept: application/json, text/event-stream' --json '{"jsonrpc":"2.0","id":1, \
//!     "method":"tools/call","params":{"name":"add","arguments":{"a":40,"b":2}}}'
//! {"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"{\"sum\":42}"}],"structuredContent":{"sum":42},"isError":false}}
//! ```
//!
//! A client names its era with each request. One of 2025-06-18 begins a session, and may resume a stream that was cut. One of
//! 2026-07-28 has no session, and drops its work by closing the stream. With the argument `stateless` neither has one, which
//! is what a function with many instances wants.

use std::borrow::Cow;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use coldstart::function::{exit_code, port_from_environment};
use coldstart::server::{Observer, ServerEvent, StartError, StderrObserver};
use coldstart::{Function, Server};
use coldstart_tower::ServiceHandler;
use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::model::{
    Implementation, ListResourcesResult, PaginatedRequestParams, ProgressNotificationParam,
    PromptMessage, ProtocolVersion, ReadResourceRequestParams, ReadResourceResponse,
    ReadResourceResult, Resource, ResourceContents, Role, ServerCapabilities, ServerConfig,
};
use rmcp::schemars::{self, JsonSchema};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{
    ErrorData, RoleServer, ServerHandler, prompt, prompt_handler, prompt_router, tool,
    tool_handler, tool_router,
};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

const RUNNING: &str = "counter://running";

/// What all sessions share: how many calls of `count` are at work.
#[derive(Clone, Default)]
struct Counter(Arc<AtomicUsize>);

/// One call of `count`. Its end is seen however it comes.
struct AtWork(Arc<AtomicUsize>);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Deserialize, JsonSchema)]
struct Pair {
    a: i32,
    b: i32,
}

#[derive(Serialize, JsonSchema)]
struct Sum {
    sum: i32,
}

#[derive(Deserialize, JsonSchema)]
struct Steps {
    to: u32,
    /// Milliseconds before each step.
    pause: u64,
}

#[derive(Deserialize, JsonSchema)]
struct Person {
    name: String,
}

#[tool_router]
impl Counter {
    #[tool(description = "Adds two numbers")]
    fn add(&self, Parameters(Pair { a, b }): Parameters<Pair>) -> Result<Json<Sum>, String> {
        let sum = a.checked_add(b).ok_or("the sum is too large")?;
        Ok(Json(Sum { sum }))
    }

    #[tool(description = "Counts, and reports each step")]
    async fn count(
        &self,
        Parameters(Steps { to, pause }): Parameters<Steps>,
        context: RequestContext<RoleServer>,
    ) -> Result<String, ErrorData> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let _at_work = AtWork(Arc::clone(&self.0));
        for step in 1..=to {
            tokio::select! {
                // The client has gone, or its session has ended.
                () = context.ct.cancelled() => return Err(ErrorData::internal_error("cancelled", None)),
                () = tokio::time::sleep(Duration::from_millis(pause)) => {}
            }
            if let Some(token) = context.meta.get_progress_token() {
                let progress =
                    ProgressNotificationParam::new(token, step.into()).with_total(to.into());
                context.peer.notify_progress(progress).await.ok();
            }
        }
        Ok(format!("counted to {to}"))
    }
}

#[prompt_router]
impl Counter {
    #[prompt(description = "Greets a person")]
    fn greet(&self, Parameters(Person { name }): Parameters<Person>) -> Vec<PromptMessage> {
        vec![PromptMessage::new_text(
            Role::User,
            format!("Greet {name} in one line."),
        )]
    }
}

#[tool_handler]
#[prompt_handler]
impl ServerHandler for Counter {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_resources()
            .enable_prompts()
            .build();
        ServerConfig::new(capabilities).with_server_info(Implementation::new("counter", "1.0.0"))
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(&[ProtocolVersion::V_2025_06_18, ProtocolVersion::V_2026_07_28])
    }

    async fn list_resources(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let running = Resource::new(RUNNING, "calls of `count` at work");
        Ok(ListResourcesResult::with_all_items(vec![running]))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        if request.uri != RUNNING {
            return Err(ErrorData::resource_not_found("no such resource", None));
        }
        let running = self.0.load(Ordering::Relaxed).to_string();
        Ok(ReadResourceResult::new(vec![ResourceContents::text(running, RUNNING)]).into())
    }
}

/// Ends the streams once the server stops, which would otherwise be cut when its time to drain is over.
#[derive(Debug)]
struct EndOfStreams(CancellationToken);

impl Observer for EndOfStreams {
    fn on(&mut self, event: ServerEvent) {
        if matches!(event, ServerEvent::Draining(_)) {
            self.0.cancel();
        }
        StderrObserver::default().on(event);
    }
}

fn main() -> ExitCode {
    exit_code(serve())
}

fn serve() -> Result<(), StartError> {
    let with_sessions = std::env::args().nth(1).as_deref() != Some("stateless");
    // Only this machine's own hosts are accepted, and no page of another site: no DNS rebinding.
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(with_sessions)
        .with_json_response(true)
        .enforce_origin_validation();
    let end = EndOfStreams(config.cancellation_token.clone());
    let counter = Counter::default();
    let service = StreamableHttpService::new(
        move || Ok(counter.clone()),
        Arc::new(LocalSessionManager::default()),
        config,
    );
    let router = Router::new().route_service("/mcp", service).with_state(());
    let function = Function::new().http_handler(ServiceHandler::new(router));
    let server = Server::new().port(port_from_environment()?).bind()?;
    server.observer(end).run_handler(function.handler())
}
