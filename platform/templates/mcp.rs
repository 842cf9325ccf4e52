//! {{name}}: has tools for assistants, by the Model Context Protocol.

use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::schemars::{self, JsonSchema};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{tool, tool_router};
use serde::Deserialize;

struct Tools;

/// What a tool is called with; its schema is made from it.
#[derive(Deserialize, JsonSchema)]
struct Text {
    text: String,
}

#[tool_router(server_handler)]
impl Tools {
    #[tool(description = "Counts the words of a text")]
    fn count_words(&self, Parameters(Text { text }): Parameters<Text>) -> String {
        println!("a text of {} bytes", text.len());
        text.split_whitespace().count().to_string()
    }
}

fn main() -> ExitCode {
    // Two calls of one client may reach two instances, so there are no sessions. The gateway checks the host.
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .disable_allowed_hosts();
    let sessions = Arc::new(NeverSessionManager::default());
    let service = StreamableHttpService::new(|| Ok(Tools), sessions, config);
    let router = Router::new()
        .route_service("/mcp", service)
        .route("/healthz", get(async || "ok\n"));
    coldstart_tower::serve(router.with_state(()))
}

#[cfg(test)]
mod tests {
    use super::{Parameters, Text, Tools};

    #[test]
    fn words_are_counted() {
        let text = "one two  three".to_owned();
        assert_eq!(Tools.count_words(Parameters(Text { text })), "3");
    }
}
