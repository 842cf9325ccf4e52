//! The bounds on what peers can make the server hold or wait for: each with its default, its reason, and what others choose.
//!
//! Bounds that belong to the grammar of one part of a message, such as a chunk's extensions, are in `h1` beside their parser;
//! the bound on a log line is in `function/record.rs`.

use core::time::Duration;

/// The largest value of [`Limits::head_len_max`]: positions in a head have 16 bits.
pub const HEAD_LEN_CEILING: usize = u16::MAX as usize;
/// The largest value of [`Limits::headers_max`]: a head's index is built on the stack.
pub const HEADERS_CEILING: usize = 256;

/// Bodies of up to this many bytes are copied after their head, so that the response is one piece of memory; a longer body
/// is shared and sent in a vectored write.
pub(crate) const COPY_LEN_MAX: usize = 4 * 1024;
/// The read buffer of a worker, in bytes: one read takes a pipelined batch or a good part of an upload. Seventeen pages
/// less the 20 bytes of overhead of musl's allocator: with this size malloc writes no footer into the last page, and knows
/// without reading it that the memory is zero.
pub(crate) const READ_LEN_MAX: usize = 68 * 1024 - 20;
/// The memory for small blocks of [`Allocator`](crate::Allocator), in bytes: ten times what a start takes. What was used of it stays
/// resident, so a burst of connections costs no more than this afterwards.
pub(crate) const ARENA_LEN: usize = 64 * 1024;
/// The largest block in it. A few larger ones would take the room of all others.
pub(crate) const ARENA_BLOCK_MAX: usize = 4096;
/// What the first sessions, the lines of a head and a first response get, in bytes. musl's allocator has blocks of up to this
/// length in the page of all smaller ones, and maps another page for longer ones.
pub(crate) const FIRST_BLOCK_LEN: usize = 236;
/// An empty table of sessions keeps its memory up to this many slots: those of a small function, for which it is never freed.
pub(crate) const SLOTS_KEPT: u32 = 256;
/// Types of values whose memory a loop keeps for the next one: a handler of its own for each.
pub(crate) const PLACES_MAX: usize = 8;
/// Bytes of each of them. What a larger value does takes longer than to allocate it.
pub(crate) const PLACE_LEN_MAX: usize = 2048;
/// Bytes that are allocated at once for copies of heads: some tens of small ones. A part of one that is kept keeps all of them.
#[cfg(feature = "http")]
pub(crate) const COPIES_LEN: usize = 4096;
/// A map with more room for fields is not kept.
#[cfg(feature = "http")]
pub(crate) const FIELDS_KEPT_MAX: usize = 48;
/// How many sessions are read one after another before the first of them is driven: the kernel's code for a read, and then
/// our own, stay in the processor's caches. More would take memory and gain nothing.
pub(crate) const READS_TOGETHER_MAX: usize = 16;
/// Room for each of them; a session that has sent more is read again.
pub(crate) const READ_TOGETHER_LEN_MAX: usize = 4 * 1024;
/// Accepts per turn, so that a flood of new connections does not starve the existing ones.
pub(crate) const ACCEPTS_A_TURN_MAX: usize = 64;
/// Reads of a session per turn before the other sessions are driven.
pub(crate) const READS_A_TURN_MAX: usize = 4;
/// Writes of a session per turn, each with the next batch of its response, before the other sessions are driven.
pub(crate) const WRITES_A_TURN_MAX: usize = 8;
/// Pieces of bodies, received or sent, that a session may handle per turn before the other sessions are driven. Tiny pieces
/// cost work that their bytes do not show: a lock and a chunk for each.
pub(crate) const PIECES_A_TURN_MAX: usize = 128;
/// Polls of tasks per turn before the sessions are driven, so that tasks that wake themselves do not starve them; each task is
/// polled once. As many as tokio's current-thread runtime polls before it looks for events, twice.
pub(crate) const TASKS_A_TURN_MAX: usize = 128;
/// The longest poll while a timer is armed: mio counts in milliseconds of 31 bits.
pub(crate) const POLL_TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Events taken from the kernel per poll; after a full list, [`EVENTS_A_POLL_MAX`]. A list of half a kilobyte fits beside the
/// other allocations of a start.
pub(crate) const EVENTS_A_POLL_FIRST: usize = 32;
/// Events taken from the kernel per poll under load.
pub(crate) const EVENTS_A_POLL_MAX: usize = 256;
/// Pieces of memory per vectored write; the kernel takes at most 1024 (`IOV_MAX`).
pub(crate) const SLICES_A_WRITE_MAX: usize = 32;
/// Bytes of a pulled body that wait for its reader before the peer has to wait. What one read has brought may go beyond it.
pub(crate) const INCOMING_LEN_MAX: usize = 64 * 1024;
/// A file that the kernel does not send itself is sent in pieces of this many bytes.
pub(crate) const FILE_PIECE_LEN: usize = 64 * 1024;
/// A file of up to this many bytes is read, and sent together with the head of its response: that is one call less.
pub(crate) const SHORT_FILE_LEN_MAX: usize = 16 * 1024;
/// Bytes of a file that one call sends.
pub(crate) const FILE_SEND_LEN_MAX: usize = 512 * 1024;
/// Bytes that the kernel sends from a file for the price of a piece: [`PIECES_A_TURN_MAX`] of them are 1 MiB per turn. nginx sends
/// 2 MiB before it looks at its other connections.
pub(crate) const FILE_SENT_PIECE_LEN: usize = 8 * 1024;
/// What such a call costs at least, so that a turn has no more of them than [`WRITES_A_TURN_MAX`].
pub(crate) const FILE_SEND_PIECES_MIN: usize = PIECES_A_TURN_MAX / WRITES_A_TURN_MAX;
/// How long bytes are discarded from a peer that sends on after its last response, so that no reset destroys the response. No
/// memory is held for it. As in nginx: Python's `http.client`, Node and curl, which send on, got each of 200 refusals.
pub(crate) const LINGER_TIME_MAX: Duration = Duration::from_secs(30);
/// Bytes that must arrive within each [`Timeouts::body`] for a body to make progress. Apache requires 500 per second.
pub(crate) const BODY_QUOTA_LEN: u32 = 1024;
/// How often accepting is tried again while descriptors are exhausted; also when a connection closes.
pub(crate) const EXHAUSTED_RETRY: Duration = Duration::from_millis(100);
/// How often a condition of the loop that lasts is reported, such as a shortage of descriptors.
pub(crate) const REPORT_INTERVAL: Duration = Duration::from_secs(10);
/// A call of the handler that takes this long is reported: it has blocked the loop, and every other connection has waited.
pub(crate) const BLOCKED_MIN: Duration = Duration::from_millis(100);
/// The handler's calls are timed in one busy turn of this many in release builds.
pub(crate) const BLOCKED_SAMPLE: u8 = 64;
/// Bytes of lines that wait for room on stdout, and as many on stderr, where nothing reads them: as many as a pipe holds, and
/// more than the longest record.
pub(crate) const LINES_KEPT_LEN_MAX: usize = 64 * 1024;
/// How often a server that has stopped waits for room for them, in all 50 ms at most.
pub(crate) const LINES_FINISH_ROUNDS: u8 = 25;
/// How long each time, in milliseconds.
pub(crate) const LINES_FINISH_WAIT: i32 = 2;
/// Connections that the kernel queues before they are accepted.
pub(crate) const BACKLOG: i32 = 1024;
/// How long a server that stops accepts what is in the backlog. Then the listener is closed.
pub(crate) const DRAIN_ACCEPT: Duration = Duration::from_millis(100);
/// Descriptors that connections leave to handlers, for files and sockets of their own.
pub(crate) const DESCRIPTORS_RESERVED: i32 = 8;
/// Loops of one server. A function has at most 16 processors on the platform.
pub const WORKERS_MAX: usize = 64;
/// Requests that wait for a thread of the pool; more get 503.
pub(crate) const POOL_QUEUE_MAX: usize = 1024;
/// Bytes of all requests that wait for a thread of the pool: two of the largest default bodies.
pub(crate) const POOL_QUEUE_LEN_MAX: usize = 64 * 1024 * 1024;
/// Causes of an error that a log line and a failure keep: an error may be its own cause.
pub(crate) const CAUSES_MAX: usize = 16;
/// Bytes that wait for the peer in a [`Body::writer`](crate::Body::writer), unless it has a bound of its own.
pub(crate) const WRITER_LEN_MAX: usize = 64 * 1024;
/// The largest message of a WebSocket, in bytes, unless it has a bound of its own. Node's `ws` takes 100 MiB, tungstenite 64 MiB.
#[cfg(feature = "websocket")]
pub(crate) const WEB_SOCKET_MESSAGE_LEN_MAX: usize = 1024 * 1024;
/// Pieces that may wait in a channel: one for each of this many of its bytes, the memory that a piece of one byte takes, and at
/// least [`CHANNEL_PIECES_MIN`].
pub(crate) const CHANNEL_PIECE_LEN: usize = 64;
/// So that a channel of a few bytes is still one.
pub(crate) const CHANNEL_PIECES_MIN: usize = 16;
/// What an idle worker keeps of its output buffer, in bytes.
pub(crate) const SPARE_LEN_MAX: usize = 64 * 1024;

/// Bounds on what one peer may send, and on what all of them can make the server hold.
///
/// ```
/// let limits = coldstart::server::Limits::new().body_len_max(1024 * 1024).headers_max(64);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub(crate) head_len_max: usize,
    pub(crate) headers_max: usize,
    pub(crate) target_len_max: usize,
    pub(crate) body_len_max: u64,
    pub(crate) pending_out_len_max: usize,
    pub(crate) connections_max: usize,
    pub(crate) pipeline_max: usize,
    pub(crate) upgrades_max: usize,
    pub(crate) memory_max: Option<usize>,
    pub(crate) tasks_max: u32,
    pub(crate) timers_max: u32,
}

impl Limits {
    /// The defaults: each setter below names its own.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            head_len_max: 16 * 1024,
            headers_max: 100,
            target_len_max: 8 * 1024,
            body_len_max: 32 * 1024 * 1024,
            pending_out_len_max: 1024 * 1024,
            connections_max: 10_000,
            pipeline_max: 128,
            upgrades_max: 1024,
            memory_max: None,
            tasks_max: 10_000,
            timers_max: 100_000,
        }
    }

    /// Bytes of a head, from the method to the empty line; beyond it the request is refused with 431. Default 16 KiB: the
    /// platform sends up to 8 KiB of the caller's fields, and its own. Apache and Node take 8 and 16 KiB, nginx 8 KiB a line.
    /// Values over [`HEAD_LEN_CEILING`] count as that.
    #[must_use]
    pub const fn head_len_max(mut self, bytes: usize) -> Self {
        self.head_len_max = if bytes > HEAD_LEN_CEILING {
            HEAD_LEN_CEILING
        } else {
            bytes
        };
        self
    }

    /// Field lines of a head; beyond it the request is refused with 431. Default 100, as in Apache and hyper. Values over
    /// [`HEADERS_CEILING`] count as that.
    #[must_use]
    pub const fn headers_max(mut self, count: usize) -> Self {
        self.headers_max = if count > HEADERS_CEILING {
            HEADERS_CEILING
        } else {
            count
        };
        self
    }

    /// Bytes of a request target; beyond it the request is refused with 414. Default 8 KiB: RFC 9112 §3 recommends at least
    /// 8000, the platform sends up to 4 KiB.
    #[must_use]
    pub const fn target_len_max(mut self, bytes: usize) -> Self {
        self.target_len_max = bytes;
        self
    }

    /// Bytes of a body that is buffered; beyond it the request is refused with 413, before the body is read if its length is
    /// announced. Default 32 MiB, the platform's own bound. A handler may set another one per request.
    #[must_use]
    pub const fn body_len_max(mut self, bytes: u64) -> Self {
        self.body_len_max = bytes;
        self
    }

    /// Bytes of responses that may wait for a slow reader; beyond it no further request of that connection is read. Default
    /// 1 MiB.
    #[must_use]
    pub const fn pending_out_len_max(mut self, bytes: usize) -> Self {
        self.pending_out_len_max = bytes;
        self
    }

    /// Connections per worker; beyond it accepting pauses, and new connections wait in the kernel's backlog. Default 10 000, or as
    /// many as the process has descriptors, less 8, if that is fewer.
    #[must_use]
    pub const fn connections_max(mut self, count: usize) -> Self {
        self.connections_max = if count == 0 { 1 } else { count };
        self
    }

    /// Requests of one connection per turn before the other connections are driven. Default 128.
    #[must_use]
    pub const fn pipeline_max(mut self, count: usize) -> Self {
        self.pipeline_max = if count == 0 { 1 } else { count };
        self
    }

    /// Upgraded connections of the process at once; beyond that the response is 503. Default 1024: a thread takes four memory
    /// mappings, of which a process may have 65 530, and the platform allows 1024 threads. Those [on the
    /// loop](crate::handler::Upgrade::on_loop) take none, and a few kilobytes: a program that has no others may allow many more.
    #[must_use]
    pub const fn upgrades_max(mut self, count: usize) -> Self {
        self.upgrades_max = count;
        self
    }

    /// Bytes that all peers together can make the server hold, its workers included: bodies and heads that arrive, responses that
    /// are not read, pieces in channels. A request that would need more gets 503 with `Retry-After`; a response that has begun is
    /// cut. Idle connections hold nothing, and the last eighth is left to sessions that hold at most 128 KiB.
    ///
    /// Default: three quarters of the memory of the instance, as the platform's variable, the control group or `ulimit -v` says,
    /// at least 16 MiB and at most 512 MiB. What handlers keep is their own.
    #[must_use]
    pub const fn memory_max(mut self, bytes: usize) -> Self {
        self.memory_max = Some(bytes);
        self
    }

    /// Tasks per worker; beyond it [`spawn`](crate::spawn) returns [`SpawnError::TooMany`](crate::task::SpawnError::TooMany). Default
    /// 10 000, as many as connections: one task for each request. Tokio and Node have no bound.
    #[must_use]
    pub const fn tasks_max(mut self, count: u32) -> Self {
        self.tasks_max = count;
        self
    }

    /// Timers per worker that are waited for at once; beyond it a [`sleep`](crate::sleep) panics, which ends its own request or task.
    /// Default 100 000, ten for each connection: about 50 bytes each, beside their futures. Tokio and Node have no bound.
    #[must_use]
    pub const fn timers_max(mut self, count: u32) -> Self {
        self.timers_max = count;
        self
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}

/// How long the server waits for a peer. There is none for the first byte and none between requests: the platform keeps
/// idle connections for a day and takes a close for a crash ([contract rule 4](crate::contract#1-the-rules)).
///
/// ```
/// use std::time::Duration;
///
/// let timeouts = coldstart::server::Timeouts::new().head(Duration::from_secs(5));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    pub(crate) head: Duration,
    pub(crate) body: Duration,
    pub(crate) write: Duration,
    pub(crate) linger: Duration,
    pub(crate) drain: Duration,
}

impl Timeouts {
    /// The defaults: each setter below names its own.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            head: Duration::from_secs(30),
            body: Duration::from_secs(30),
            write: Duration::from_secs(60),
            linger: Duration::from_secs(1),
            drain: Duration::from_secs(10),
        }
    }

    /// How long a head may take, from its first byte to its last; then 408. Default 30 s; nginx and Node wait 60 s, hyper 30 s.
    #[must_use]
    pub const fn head(mut self, timeout: Duration) -> Self {
        self.head = timeout;
        self
    }

    /// How long each further KiB of a body may take; then 408. Default 30 s; nginx waits 60 s between two reads.
    #[must_use]
    pub const fn body(mut self, timeout: Duration) -> Self {
        self.body = timeout;
        self
    }

    /// How long a peer may read nothing of its response; then the connection is cut. Default 60 s, as in nginx.
    #[must_use]
    pub const fn write(mut self, timeout: Duration) -> Self {
        self.write = timeout;
        self
    }

    /// How long a peer may take to read the last response and close, after the server has closed its side. For a peer that sends
    /// on, it counts from the last bytes, with 30 s in all. Default 1 s.
    #[must_use]
    pub const fn linger(mut self, timeout: Duration) -> Self {
        self.linger = timeout;
        self
    }

    /// How long running requests have after SIGTERM; then they are cut. Default 10 s, as on other clouds.
    #[must_use]
    pub const fn drain(mut self, timeout: Duration) -> Self {
        self.drain = timeout;
        self
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self::new()
    }
}
