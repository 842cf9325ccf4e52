//! Why a request is refused, and with which status.

use core::fmt;

/// Why a request is refused. No byte after it on the connection is parsed as a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A second empty line, or a bare LF, where a request line should begin (RFC 9112 §2.2).
    EmptyLine,
    /// A method that is empty, too long, or not a token (RFC 9110 §9.1).
    Method,
    /// A request line that is not three parts separated by single spaces (RFC 9112 §3).
    RequestLine,
    /// A request target with a forbidden byte, or of a form that the method does not allow (RFC 9112 §3.2).
    Target,
    /// A request target longer than `target_len_max` (RFC 9112 §3).
    TargetTooLong,
    /// A malformed protocol version (RFC 9112 §2.3).
    Version,
    /// A major version other than 1 (RFC 9110 §15.6.6).
    VersionUnsupported,
    /// A line that does not end in CRLF (RFC 9112 §2.2; this server does not accept a bare LF).
    LineEnd,
    /// A header or trailer line outside the grammar: folding, a space before the colon, a control byte (§5).
    Field,
    /// A head longer than `head_len_max` or with more than `headers_max` fields (RFC 6585 §5).
    HeadTooLarge,
    /// No `Host`, more than one, or a malformed one (RFC 9112 §3.2).
    Host,
    /// A `Content-Length` that is not one number (RFC 9112 §6.3).
    ContentLength,
    /// Both framings in one message, or `Transfer-Encoding` in HTTP/1.0 (RFC 9112 §6.1, §6.3).
    AmbiguousFraming,
    /// A `Transfer-Encoding` that is not a list of codings ending in one `chunked` (RFC 9112 §6.1).
    TransferEncoding,
    /// A transfer coding that this server does not support (RFC 9112 §6.1).
    CodingUnsupported,
    /// A malformed chunk (RFC 9112 §7.1).
    Chunk,
    /// A framing field in the trailer section (RFC 9110 §6.5.1).
    TrailerField,
    /// A body longer than the handler accepts (RFC 9110 §15.5.14).
    BodyTooLarge,
    /// An expectation other than `100-continue` (RFC 9110 §10.1.1).
    Expectation,
    /// CONNECT, to a handler that does not upgrade it (RFC 9110 §9.3.6).
    Connect,
    /// A request that has begun and did not arrive in time (RFC 9110 §15.5.9).
    Timeout,
    /// A request that would need memory that other peers hold (RFC 9110 §15.6.4).
    Memory,
}

impl Refusal {
    /// The status code of the response.
    pub(crate) const fn status(self) -> u16 {
        match self {
            Self::EmptyLine
            | Self::Method
            | Self::RequestLine
            | Self::Target
            | Self::Version
            | Self::LineEnd
            | Self::Field
            | Self::Host
            | Self::ContentLength
            | Self::AmbiguousFraming
            | Self::TransferEncoding
            | Self::Chunk
            | Self::TrailerField => 400,
            Self::Timeout => 408,
            Self::BodyTooLarge => 413,
            Self::TargetTooLong => 414,
            Self::Expectation => 417,
            Self::HeadTooLarge => 431,
            Self::CodingUnsupported | Self::Connect => 501,
            Self::Memory => 503,
            Self::VersionUnsupported => 505,
        }
    }

    /// One sentence for the response's body and the operator's log. It repeats nothing that the peer sent.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::EmptyLine => "an unexpected empty line precedes the request line",
            Self::Method => "the method is not a token of 1 to 32 bytes",
            Self::RequestLine => {
                "the request line is not method, target and version separated by single spaces"
            }
            Self::Target => "the request target has an invalid byte or form",
            Self::TargetTooLong => "the request target is too long",
            Self::Version => "the protocol version is malformed",
            Self::VersionUnsupported => "only HTTP/1.0 and HTTP/1.1 are supported",
            Self::LineEnd => "a line does not end in CRLF",
            Self::Field => "a header or trailer line is malformed",
            Self::HeadTooLarge => "the header section is too large",
            Self::Host => "exactly one valid Host field is required",
            Self::ContentLength => "Content-Length is not exactly one number",
            Self::AmbiguousFraming => "the length of the body is ambiguous",
            Self::TransferEncoding => "Transfer-Encoding is malformed",
            Self::CodingUnsupported => "the only supported transfer coding is chunked",
            Self::Chunk => "a chunk is malformed",
            Self::TrailerField => "a framing field is not allowed in the trailer section",
            Self::BodyTooLarge => "the body is larger than this resource accepts",
            Self::Expectation => "the only supported expectation is 100-continue",
            Self::Connect => "CONNECT is not supported",
            Self::Timeout => "the request did not arrive in time",
            Self::Memory => "the server has no memory left for this request; try again later",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.reason())
    }
}
