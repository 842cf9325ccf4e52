//! How to fix a server for the platform, in the server's language.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use crate::listeners::Obstacle;
use crate::project::{Project, Start};
use crate::system;

const SCANNED_LEN_MAX: usize = 64 * 1024 * 1024;
const BAD_INTERPRETER: i32 = 127;

/// What the server is written in, judged by its start command or file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Node,
    Python,
    Java,
    Php,
    Go,
    Rust,
    Unknown,
}

/// What is wrong with the server itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It listens on loopback.
    Bind,
    /// It ignores the configured port.
    Port,
    /// It closes idle connections.
    KeepAlive,
    /// One silent connection blocks all others.
    OneWorker,
    /// It accepts fewer connections at a time than the platform opens.
    Backlog,
    /// It handles requests one after the other.
    Serial,
    /// It reads bodies or heads only up to a small limit.
    SmallLimits,
    /// It holds output back.
    Buffering,
    /// It ends at once on SIGTERM.
    Termination,
    /// Its responses do not say where their bodies end.
    Framing,
}

impl Language {
    /// Guesses from the start command, else from the start file.
    pub(crate) fn of(project: &Project) -> Self {
        match &project.start {
            Start::Command(words) => Self::of_words(words, &project.code),
            Start::File(name) => Self::of_file(&project.code.join(name)),
        }
    }

    fn of_words(words: &[String], code: &Path) -> Self {
        // A script after `sh -c` is one word.
        let known = words
            .iter()
            .flat_map(|word| word.split_whitespace())
            .map(Self::of_program)
            .find(|language| *language != Self::Unknown);
        let first = words.first().map(|word| code.join(word));
        known
            .or_else(|| first.map(|path| Self::of_file(&path)))
            .unwrap_or(Self::Unknown)
    }

    fn of_program(word: &str) -> Self {
        let name = word.rsplit('/').next().unwrap_or_default();
        let stem = name.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
        let end = name.rsplit_once('.').map(|(_, end)| end);
        match (stem, end) {
            ("node" | "nodejs" | "npm" | "npx" | "tsx" | "bun" | "deno", _)
            | (_, Some("js" | "mjs" | "cjs" | "ts")) => Self::Node,
            ("python" | "uvicorn" | "gunicorn" | "hypercorn" | "flask", _) | (_, Some("py")) => {
                Self::Python
            }
            ("java", _) | (_, Some("jar" | "java")) => Self::Java,
            ("php" | "php-fpm", _) | (_, Some("php")) => Self::Php,
            ("go", _) => Self::Go,
            ("cargo", _) => Self::Rust,
            _ => Self::Unknown,
        }
    }

    fn of_file(path: &Path) -> Self {
        let Ok(bytes) = fs::read(path) else {
            return Self::Unknown;
        };
        let bytes = &bytes[..bytes.len().min(SCANNED_LEN_MAX)];
        if bytes.starts_with(b"#!") {
            let text = String::from_utf8_lossy(bytes);
            let mut languages = text
                .split_whitespace()
                .map(|word| Self::of_program(word.trim_start_matches("#!")));
            return languages
                .find(|language| *language != Self::Unknown)
                .unwrap_or(Self::Unknown);
        }
        let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        if holds(b"Go build ID:") || holds(b"\xff Go buildinf:") {
            Self::Go
        } else if holds(b"/rustc/") || holds(b"RUST_BACKTRACE") {
            Self::Rust
        } else {
            Self::Unknown
        }
    }
}

/// What to change, in one line.
pub(crate) const fn fix_for(language: Language, trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::Bind => bind(language),
        Trouble::Port => port(language),
        Trouble::KeepAlive => keep_alive(language),
        Trouble::OneWorker => one_worker(language),
        Trouble::Backlog => backlog(language),
        Trouble::Serial => serial(language),
        Trouble::SmallLimits => small_limits(language),
        Trouble::Buffering => buffering(language),
        Trouble::Termination => termination(language),
        Trouble::Framing => framing(language),
    }
}

const fn bind(language: Language) -> &'static str {
    match language {
        Language::Node => "server.listen(port, '0.0.0.0')",
        Language::Python => {
            "bind '0.0.0.0': HTTPServer(('0.0.0.0', port), …), app.run(host='0.0.0.0'), uvicorn --host 0.0.0.0, gunicorn -b 0.0.0.0:9000"
        }
        Language::Java => {
            "new InetSocketAddress(port) without a host; Spring Boot: server.address=0.0.0.0"
        }
        Language::Php => {
            "stream_socket_server('tcp://0.0.0.0:9000'); php -S 0.0.0.0:9000; Swoole: new Server('0.0.0.0', 9000)"
        }
        Language::Go => "http.ListenAndServe(\":\"+port, …) without a host",
        Language::Rust => {
            "bind 0.0.0.0: axum TcpListener::bind((\"0.0.0.0\", port)), actix .bind((\"0.0.0.0\", port))"
        }
        Language::Unknown => "bind 0.0.0.0 (every address), not 127.0.0.1 or localhost",
    }
}

const fn port(language: Language) -> &'static str {
    match language {
        Language::Node => {
            "listen on process.env.FC_CUSTOM_LISTEN_PORT || 9000, or configure the port the server uses"
        }
        Language::Python => {
            "listen on int(os.environ.get('FC_CUSTOM_LISTEN_PORT') or 9000), or configure the port the server uses"
        }
        Language::Java => {
            "read System.getenv(\"FC_CUSTOM_LISTEN_PORT\"); Spring Boot: server.port=${FC_CUSTOM_LISTEN_PORT:9000}; or configure the port the server uses"
        }
        Language::Php => {
            "listen on getenv('FC_CUSTOM_LISTEN_PORT') ?: 9000, or configure the port the server uses"
        }
        Language::Go => {
            "listen on os.Getenv(\"FC_CUSTOM_LISTEN_PORT\"), 9000 when empty, or configure the port the server uses"
        }
        Language::Rust => {
            "read FC_CUSTOM_LISTEN_PORT, 9000 when empty (coldstart does), or configure the port the server uses"
        }
        Language::Unknown => {
            "listen on $FC_CUSTOM_LISTEN_PORT (9000 when empty), or set customRuntimeConfig.port (CAPort) to the server's"
        }
    }
}

const fn keep_alive(language: Language) -> &'static str {
    match language {
        Language::Node => {
            "server.keepAliveTimeout = 0; server.headersTimeout = 0; server.requestTimeout = 0; server.timeout = 0"
        }
        Language::Python => {
            "uvicorn --timeout-keep-alive 86400; gunicorn -k gthread --keep-alive 86400; http.server: protocol_version = 'HTTP/1.1', a Content-Length in each response, and no timeout; Flask's own server has no keep-alive, use one of these"
        }
        Language::Java => {
            "Spring Boot: server.tomcat.keep-alive-timeout=-1 and server.tomcat.max-keep-alive-requests=-1; com.sun.net.httpserver: -Dsun.net.httpserver.idleInterval=86400 -Dsun.net.httpserver.maxIdleConnections=1000"
        }
        Language::Php => {
            "php -S has no keep-alive: use Swoole or Workerman, or loop over requests on each accepted socket; nginx in front: keepalive_timeout 24h; keepalive_requests 1000000"
        }
        Language::Go => {
            "http.Server{IdleTimeout: 0, ReadHeaderTimeout: 0, ReadTimeout: 0} never closes an idle connection"
        }
        Language::Rust => {
            "coldstart has no idle timer; actix: .keep_alive(KeepAlive::Disabled) closes, use Duration of 24 h; hyper: no header_read_timeout, or 24 h; axum::serve: no idle timer"
        }
        Language::Unknown => {
            "turn keep-alive on and its idle time-out off, or at least 24 hours; no maximum of requests a connection"
        }
    }
}

const fn one_worker(language: Language) -> &'static str {
    match language {
        Language::Python => {
            "http.server: ThreadingHTTPServer; gunicorn: -k gthread --threads 20, or an async server such as uvicorn"
        }
        Language::Php => {
            "serve each connection without blocking the others: stream_select over all sockets, Swoole or Workerman; php -S: PHP_CLI_SERVER_WORKERS=8"
        }
        Language::Java => {
            "com.sun.net.httpserver: server.setExecutor(Executors.newCachedThreadPool())"
        }
        Language::Node | Language::Go | Language::Rust | Language::Unknown => {
            "serve connections at the same time: one that sends nothing must not keep the others waiting"
        }
    }
}

const fn backlog(language: Language) -> &'static str {
    match language {
        Language::Python => {
            "http.server: request_queue_size = 1024; uvicorn --backlog 2048; gunicorn --backlog 2048; or a lower instanceConcurrency"
        }
        Language::Php => {
            "stream_context_create(['socket' => ['backlog' => 1024]]), and serve connections at the same time; or a lower instanceConcurrency"
        }
        Language::Java => {
            "HttpServer.create(address, 1024); Spring Boot: server.tomcat.accept-count=1024; or a lower instanceConcurrency"
        }
        Language::Node | Language::Go | Language::Rust | Language::Unknown => {
            "listen with a backlog of 1024 and serve connections at the same time, or configure a lower instanceConcurrency"
        }
    }
}

const fn serial(language: Language) -> &'static str {
    match language {
        Language::Node => {
            "replace *Sync calls by their async forms, and move long computation to worker_threads; or a lower instanceConcurrency"
        }
        Language::Python => {
            "gunicorn -k gthread --threads 20; in async handlers await, never time.sleep or blocking clients; or a lower instanceConcurrency"
        }
        Language::Java => {
            "com.sun.net.httpserver: server.setExecutor(Executors.newCachedThreadPool()); or a lower instanceConcurrency"
        }
        Language::Php => {
            "PHP_CLI_SERVER_WORKERS=20, php-fpm, Swoole or Workerman; or a lower instanceConcurrency"
        }
        Language::Go => {
            "hold no lock while a request waits for something else; or a lower instanceConcurrency"
        }
        Language::Rust => {
            "coldstart: wrap a handler that waits in coldstart::blocking, or use Server::threads; tokio: spawn_blocking; or a lower instanceConcurrency"
        }
        Language::Unknown => {
            "handle requests at the same time, on threads or asynchronously; or configure a lower instanceConcurrency"
        }
    }
}

const fn small_limits(language: Language) -> &'static str {
    match language {
        Language::Node => {
            "Express: express.raw({limit: '32mb', type: () => true}); Node: --max-http-header-size=16384"
        }
        Language::Python => {
            "gunicorn: --limit-request-line 8190 --limit-request-field_size 16380; Flask: MAX_CONTENT_LENGTH = 33554432"
        }
        Language::Java => {
            "Spring Boot: server.max-http-request-header-size=16KB, server.tomcat.max-http-form-post-size=32MB"
        }
        Language::Php => "post_max_size = 32M, and read requests until Content-Length is reached",
        Language::Go => "http.Server{MaxHeaderBytes: 16 << 10}; http.MaxBytesReader with 32 << 20",
        Language::Rust => {
            "coldstart takes all of it; axum: DefaultBodyLimit::max(32 << 20); actix: PayloadConfig::new(32 << 20)"
        }
        Language::Unknown => "accept headers of 8 KB, a path of 4 KB and a body of 32 MB",
    }
}

const fn buffering(language: Language) -> &'static str {
    match language {
        Language::Python => {
            "python -u, or print(…, flush=True), or PYTHONUNBUFFERED=1; stream with a generator, no Content-Length"
        }
        Language::Node => {
            "res.write() each event, no compression in between; console.log is flushed already"
        }
        Language::Java => {
            "System.out.flush() after each request; flush the response's stream after each event"
        }
        Language::Php => "flush() and ob_flush(), or fwrite(STDOUT, …), before the response ends",
        Language::Go => "http.Flusher.Flush() after each event; os.Stdout is not buffered",
        Language::Rust => {
            "write logs before the response (std::io::stdout().flush()); coldstart sends each piece at once"
        }
        Language::Unknown => {
            "flush standard output, and each piece of a stream, before the response's last byte"
        }
    }
}

const fn termination(language: Language) -> &'static str {
    match language {
        Language::Node => "process.on('SIGTERM', () => server.close(() => process.exit(0)))",
        Language::Python => {
            "signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start()); from the handler itself, shutdown() waits for ever"
        }
        Language::Java => {
            "Runtime.getRuntime().addShutdownHook(…); Spring Boot: server.shutdown=graceful"
        }
        Language::Php => "pcntl_async_signals(true); pcntl_signal(SIGTERM, …) and exit(0)",
        Language::Go => "signal.NotifyContext(ctx, syscall.SIGTERM), then server.Shutdown(ctx)",
        Language::Rust => "coldstart drains on SIGTERM; axum: .with_graceful_shutdown(…)",
        Language::Unknown => {
            "on SIGTERM finish what is in flight, close, exit 0; a shell script: exec the server"
        }
    }
}

const fn framing(language: Language) -> &'static str {
    match language {
        Language::Python => {
            "http.server: self.send_header('Content-Length', str(len(body))) before end_headers(), or chunks for a stream"
        }
        Language::Node => {
            "node:http frames by itself: set neither Connection nor Transfer-Encoding; node:net: write Content-Length"
        }
        Language::Java => {
            "com.sun.net.httpserver: sendResponseHeaders(status, body.length), or 0 for chunks"
        }
        Language::Php | Language::Go | Language::Rust | Language::Unknown => {
            "send Content-Length with each response, or Transfer-Encoding: chunked for a stream"
        }
    }
}

/// The fix for a command that the kernel did not execute.
pub(crate) fn cannot_execute(start: &Start, error: &io::Error) -> Vec<String> {
    let line = match (start, error.kind()) {
        (Start::File(_), io::ErrorKind::NotFound) => {
            "the interpreter after #! does not exist; with CRLF line ends its name ends in \\r: sed -i 's/\\r$//' bootstrap"
        }
        (Start::Command(_), io::ErrorKind::NotFound) => {
            "the command does not exist here: check its spelling and PATH, and that the platform's image has it"
        }
        (_, io::ErrorKind::PermissionDenied) => "chmod 755 the file, and its folders",
        (_, _) if system::FOREIGN.is_some() => {
            "executables for Linux do not run here: build it for this machine, and name the program: coldstart run -- PROGRAM"
        }
        (_, _) => "build for Linux on x86-64, or begin a script with #!",
    };
    vec![line.to_owned()]
}

/// The fix for a process that ended before it listened.
pub(crate) fn exited(code: i32, lines: &[String]) -> Vec<String> {
    let mentions = |text: &str| lines.iter().any(|line| line.contains(text));
    let line = if mentions("\\r") || mentions("\r") || (code == BAD_INTERPRETER && mentions("^M")) {
        "the script has CRLF line ends: sed -i 's/\\r$//' bootstrap"
    } else if mentions("ddress already in use") || mentions("EADDRINUSE") {
        "another process uses the port: end it, or choose another with --port"
    } else if mentions("GLIBC_") {
        "link statically: Rust --target x86_64-unknown-linux-musl, Go CGO_ENABLED=0; or a newer runtime"
    } else if code == 0 {
        "the start command must not end: run the server in the foreground, end the script with exec server"
    } else {
        "the logs say why it ended; the last lines are in the error above"
    };
    vec![line.to_owned()]
}

/// Says how to remove what keeps the port from serving.
pub(crate) fn blocked(project: &Project, obstacle: &Obstacle) -> Vec<String> {
    let language = Language::of(project);
    let line = match obstacle {
        Obstacle::Foreign { .. } => "stop that process, or choose another port with --port",
        Obstacle::Loopback { .. } | Obstacle::OneAddress { .. } | Obstacle::OnlyIpv6 { .. } => {
            fix_for(language, Trouble::Bind)
        }
        Obstacle::NotAccepting { .. } => {
            "accept connections at once, before slow work; see also --start-timeout"
        }
        Obstacle::OtherPort { loopback, .. } => return other_port(language, *loopback),
        Obstacle::NoListener { .. } | Obstacle::Unknown { .. } => {
            "listen before slow work: open the port first, load models and caches afterwards or in /initialize"
        }
    };
    vec![line.to_owned()]
}

fn other_port(language: Language, loopback: Option<IpAddr>) -> Vec<String> {
    let bind = loopback.map(|_| Trouble::Bind);
    let troubles = [Some(Trouble::Port), bind].into_iter().flatten();
    troubles
        .map(|trouble| fix_for(language, trouble).to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_names_the_language() {
        let of = |text: &str| {
            let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
            Language::of_words(&words, Path::new("/nowhere"))
        };
        assert_eq!(of("python3.11 server.py"), Language::Python);
        assert_eq!(of("/usr/bin/node server.js"), Language::Node);
        assert_eq!(of("java -jar demo.jar"), Language::Java);
        assert_eq!(of("php server.php"), Language::Php);
        assert_eq!(of("./server"), Language::Unknown);
        let script = ["sh", "-c", "exec gunicorn app:app"].map(str::to_owned);
        assert_eq!(
            Language::of_words(&script, Path::new("/nowhere")),
            Language::Python
        );
    }

    #[test]
    fn another_port_on_loopback_needs_both_fixes() {
        let python = fix_for(Language::Python, Trouble::Bind);
        let lines = |loopback| other_port(Language::Python, loopback);
        assert_eq!(lines(None), [fix_for(Language::Python, Trouble::Port)]);
        let address = Some(IpAddr::from([127, 0, 0, 1]));
        assert_eq!(lines(address)[1..], [python]);
    }
}
