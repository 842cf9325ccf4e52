//! What a new function handles.

use clap::ValueEnum;

/// The templates of `new`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// HTTP calls
    #[default]
    Http,
    /// Events, each with a whole response
    Event,
    /// HTTP calls, with streams of server-sent events
    Sse,
    /// Calls of an MCP server's tools
    Mcp,
    /// HTTP calls, by an axum application
    Axum,
}
