//! The platform's context of a call.

use core::fmt::{self, Display};
use core::time::Duration;
use std::time::Instant;

use bytes::Bytes;

use crate::current_request::CurrentRequest;
use crate::message::owned::OwnedHead;
use crate::message::request::Head;
use crate::os::clock;
use crate::task::{Elapsed, timeout};

use super::environment::variable;
use super::record;

/// The platform's context of a call, borrowed from the fields of its request
/// ([contract §3](crate::contract#3-requests)). A field that is absent or empty is `None`: the platform sends many
/// empty ones.
///
/// Event functions and hooks get it as an argument; a handler of HTTP calls makes its own.
///
/// Log lines never wait for a reader of stdout. Where nothing reads it, 64 KiB of lines are kept until there is room; further
/// ones are dropped, and one line says how many. std's `print!` and `eprint!` do wait: on the loop, with all connections.
///
/// ```
/// use coldstart::{Context, Request, Response};
///
/// fn hello(request: &Request<'_>) -> Response {
///     let context = Context::new(request.head());
///     context.log("somebody says hello");
///     Response::text(format!("hello from {}\n", context.region().unwrap_or("nowhere")))
/// }
/// ```
#[derive(Clone, Copy)]
pub struct Context<'a> {
    head: Head<'a>,
    /// On the monotonic clock.
    arrived_at: Duration,
}

macro_rules! texts {
    ($($name:ident $field:literal $what:literal;)*) => {$(
        #[doc = concat!($what, ": `", $field, "` ([contract §3](crate::contract#3-requests)).")]
        #[must_use]
        pub fn $name(&self) -> Option<&'a str> {
            self.field($field)
        }
    )*};
}

macro_rules! levels {
    ($($name:ident $level:literal;)*) => {$(
        #[doc = concat!("Writes a log line of the level `", $level, "` to stdout ([contract §5](crate::contract#5-logs)).")]
        pub fn $name(&self, message: impl Display) {
            record::write($level, self.request_id(), &message);
        }
    )*};
}

impl<'a> Context<'a> {
    /// The context of the request with this head.
    ///
    /// ```
    /// use coldstart::{Context, Request, TestRequest};
    ///
    /// fn hello(request: &Request<'_>) -> String {
    ///     let context = Context::new(request.head());
    ///     context.log("says hello"); // With the id of the request.
    ///     format!("hello from {}\n", context.function_name().unwrap_or("no platform"))
    /// }
    ///
    /// let call = TestRequest::get("/").header("x-fc-function-name", "greeter");
    /// assert_eq!(call.run(hello).text(), "hello from greeter\n");
    /// ```
    #[must_use]
    pub fn new(head: Head<'a>) -> Self {
        Self {
            head,
            arrived_at: CurrentRequest::current().arrived_at(),
        }
    }

    /// A copy in memory of its own, with the head: for a future, which cannot borrow the request.
    ///
    /// ```
    /// use coldstart::{Context, TestRequest};
    ///
    /// let call = TestRequest::get("/").header("x-fc-region", "cn-hangzhou");
    /// let response = call.run(|request| {
    ///     let context = Context::new(request.head()).to_owned();
    ///     async move { format!("in {}\n", context.as_context().region().unwrap_or("nowhere")) }
    /// });
    /// assert_eq!(response.text(), "in cn-hangzhou\n");
    /// ```
    #[must_use]
    pub fn to_owned(&self) -> OwnedContext {
        OwnedContext {
            head: OwnedHead::new(Bytes::copy_from_slice(self.head.as_bytes())),
            arrived_at: self.arrived_at,
        }
    }

    /// The head of the request as [`Head::to_http`] makes it, and the same context in memory of its own: both of one copy of the
    /// head.
    ///
    /// # Errors
    ///
    /// As [`Head::to_http`].
    ///
    /// ```
    /// use coldstart::{Context, Request, Response, Status, TestRequest};
    ///
    /// fn path(request: &Request<'_>) -> Result<String, Status> {
    ///     let theirs = Context::new(request.head()).to_http(());
    ///     let (theirs, context) = theirs.map_err(|_| Status::BAD_REQUEST)?;
    ///     let region = context.as_context().region().unwrap_or("nowhere").to_owned();
    ///     Ok(format!("{} in {region}", theirs.uri().path()))
    /// }
    ///
    /// assert_eq!(TestRequest::get("/a?b").run(path).text(), "/a in nowhere");
    /// ```
    #[cfg(feature = "http")]
    pub fn to_http<B>(&self, body: B) -> Result<(http::Request<B>, OwnedContext), http::Error> {
        let (request, head) = self.head.to_http_and_owned(body)?;
        let arrived_at = self.arrived_at;
        Ok((request, OwnedContext { head, arrived_at }))
    }

    texts! {
        request_id "x-fc-request-id" "The id under which the platform logs the call";
        function_name "x-fc-function-name" "The function's name";
        region "x-fc-region" "The region that the function runs in";
        account_id "x-fc-account-id" "The account that owns the function";
        qualifier "x-fc-qualifier" "The version or alias that was called";
        version_id "x-fc-version-id" "The version that runs";
    }

    // Not `info`: this is for lines that need no particular level, like `console.log`.
    levels! {
        log "INFO";
        debug "DEBUG";
        warn "WARN";
        error "ERROR";
    }

    /// The memory of the instance in MB: `x-fc-function-memory` ([contract §3](crate::contract#3-requests)).
    #[must_use]
    pub fn memory_mb(&self) -> Option<u32> {
        self.number("x-fc-function-memory")
    }

    /// How often an asynchronous call was tried before: `x-fc-retry-count` ([contract §3](crate::contract#3-requests)).
    #[must_use]
    pub fn retry_count(&self) -> Option<u32> {
        self.number("x-fc-retry-count")
    }

    /// How long the call may take: `x-fc-function-timeout`, in seconds ([contract §3](crate::contract#3-requests)).
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        let seconds = self.number("x-fc-function-timeout")?;
        Some(Duration::from_secs(u64::from(seconds)))
    }

    /// When the platform gives up on the call: [`timeout`](Self::timeout) after the complete request arrived, even if it then
    /// waited for a thread.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// use coldstart::{Context, Status, TestRequest, sleep, timeout};
    ///
    /// let call = TestRequest::get("/").header("x-fc-function-timeout", "60");
    /// let response = call.run(|request| {
    ///     let deadline = Context::new(request.head()).deadline();
    ///     let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    ///     async move {
    ///         // Better a response of ours than the platform's end of the call.
    ///         let work = sleep(Duration::from_millis(1));
    ///         timeout(left.unwrap_or(Duration::MAX), work).await.map_err(|_| Status::GATEWAY_TIMEOUT)?;
    ///         Ok::<_, Status>("done\n")
    ///     }
    /// });
    /// assert_eq!(response.text(), "done\n");
    /// ```
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "only std makes a value of its clock, which is what others wait by"
    )]
    pub fn deadline(&self) -> Option<Instant> {
        let timeout = self.timeout()?;
        let elapsed = clock::monotonic().saturating_sub(self.arrived_at);
        Instant::now().checked_sub(elapsed)?.checked_add(timeout)
    }

    /// How much is left until the [`deadline`](Self::deadline): zero once it has passed, `None` if the platform has set none.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use coldstart::{Context, Request, TestRequest};
    ///
    /// fn is_there_time(request: &Request<'_>) -> &'static str {
    ///     match Context::new(request.head()).remaining() {
    ///         Some(left) if left < Duration::from_secs(1) => "no\n",
    ///         Some(_) | None => "yes\n",
    ///     }
    /// }
    ///
    /// let request = TestRequest::get("/");
    /// assert_eq!(request.run(is_there_time).text(), "yes\n");
    /// let request = request.header("x-fc-function-timeout", "1");
    /// assert_eq!(request.run(is_there_time).text(), "no\n");
    /// ```
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        let elapsed = clock::monotonic().saturating_sub(self.arrived_at);
        Some(self.timeout()?.saturating_sub(elapsed))
    }

    /// Awaits a future until `margin` before the [`deadline`](Self::deadline): yields its output, or [`Elapsed`], which as a
    /// response is 504. Without a deadline it waits for as long as the future takes.
    ///
    /// The platform gives up at the deadline itself: the caller gets the platform's error and never the function's, the platform
    /// bills the whole time, and its log says nothing of what the function was about. With a margin of some hundred milliseconds
    /// the function says it first. The future is dropped then; code on other threads goes on.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use coldstart::{Context, Request, TestRequest, sleep};
    ///
    /// fn report(request: &Request<'_>) -> impl Future<Output = Result<String, coldstart::task::Elapsed>> + use<> {
    ///     Context::new(request.head()).before_deadline(Duration::from_millis(980), async {
    ///         sleep(Duration::from_secs(3600)).await; // Stands for a slow database.
    ///         "never seen\n".to_owned()
    ///     })
    /// }
    ///
    /// let request = TestRequest::get("/").header("x-fc-function-timeout", "1");
    /// assert_eq!(request.run(report).status(), 504);
    /// ```
    ///
    /// # Errors
    ///
    /// [`Elapsed`]: less than the margin is left.
    ///
    /// # Panics
    ///
    /// As [`timeout`](crate::timeout()).
    pub fn before_deadline<F: IntoFuture>(
        &self,
        margin: Duration,
        future: F,
    ) -> impl Future<Output = Result<F::Output, Elapsed>> + use<F> {
        let remaining = self.remaining().map(|left| left.saturating_sub(margin));
        async move {
            match remaining {
                Some(remaining) => timeout(remaining, future).await,
                None => Ok(future.await),
            }
        }
    }

    /// The keys of the function's role ([contract §2](crate::contract#2-start) and [§3](crate::contract#3-requests)):
    /// from the environment, where they are from Debian 11 on, else from the request's fields. Never a mixture: a secret
    /// fits only its own id.
    ///
    /// ```
    /// use coldstart::{Context, Request, TestRequest};
    ///
    /// fn role(request: &Request<'_>) -> String {
    ///     let keys = Context::new(request.head()).credentials();
    ///     keys.map_or_else(|| "no role\n".to_owned(), |keys| format!("{}\n", keys.access_key_id()))
    /// }
    ///
    /// let request = TestRequest::get("/")
    ///     .header("x-fc-access-key-id", "id")
    ///     .header("x-fc-access-key-secret", "secret")
    ///     .header("x-fc-security-token", "token");
    /// assert_eq!(request.run(role).text(), "id\n");
    /// ```
    #[must_use]
    pub fn credentials(&self) -> Option<Credentials> {
        self.credentials_beside(variable)
    }

    pub(super) fn credentials_beside(
        &self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Option<Credentials> {
        let environment = Credentials::find(variable, |part| {
            format!("ALIBABA_CLOUD_{}", part.to_uppercase().replace('-', "_"))
        });
        let field = |name: &str| self.field(name).map(str::to_owned);
        environment.or_else(|| Credentials::find(field, |part| format!("x-fc-{part}")))
    }

    fn field(&self, name: &str) -> Option<&'a str> {
        self.head.header(name).filter(|value| !value.is_empty())
    }

    fn number(&self, name: &str) -> Option<u32> {
        let text = self.field(name)?;
        // `parse` would also accept a sign.
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| is_number)
    }
}

impl fmt::Debug for Context<'_> {
    /// The parts that are not secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Context")
            .field("request_id", &self.request_id())
            .field("function_name", &self.function_name())
            .finish_non_exhaustive()
    }
}

/// A context that owns its bytes, made by [`Context::to_owned`]. It moves to any thread.
///
/// ```
/// use coldstart::{Function, TestRequest};
///
/// let function = Function::new().event(|context, _| {
///     let context = context.to_owned();
///     async move { Ok(format!("in {}\n", context.as_context().region().unwrap_or("nowhere"))) }
/// });
/// let request = TestRequest::post("/invoke").header("x-fc-region", "cn-hangzhou");
/// assert_eq!(request.run_handler(&mut function.handler()).text(), "in cn-hangzhou\n");
/// ```
#[derive(Clone)]
pub struct OwnedContext {
    head: OwnedHead,
    /// On the monotonic clock.
    arrived_at: Duration,
}

impl OwnedContext {
    /// Borrows the context, to read it.
    #[must_use]
    pub fn as_context(&self) -> Context<'_> {
        Context {
            head: self.head.as_head(),
            arrived_at: self.arrived_at,
        }
    }

    /// The head of the request as [`Head::to_http`] makes it, without another copy.
    ///
    /// # Errors
    ///
    /// As [`Head::to_http`].
    ///
    /// ```
    /// use coldstart::{Context, Request, Response, Status, TestRequest};
    ///
    /// fn path(request: &Request<'_>) -> Result<String, Status> {
    ///     let context = Context::new(request.head()).to_owned();
    ///     let head = context.to_http(()).map_err(|_| Status::BAD_REQUEST)?;
    ///     Ok(head.uri().path().to_owned())
    /// }
    ///
    /// assert_eq!(TestRequest::get("/a?b").run(path).text(), "/a");
    /// ```
    #[cfg(feature = "http")]
    pub fn to_http<B>(&self, body: B) -> Result<http::Request<B>, http::Error> {
        self.head.to_http(body)
    }
}

impl fmt::Debug for OwnedContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_context().fmt(formatter)
    }
}

/// The keys with which a function calls other services in its role. `Debug` shows none of them.
///
/// ```
/// use coldstart::{Context, Request, Status, TestRequest};
///
/// fn sign(request: &Request<'_>) -> Result<String, Status> {
///     let keys = Context::new(request.head()).credentials().ok_or(Status::SERVICE_UNAVAILABLE)?;
///     // Here a client of another service gets all three parts.
///     Ok(keys.access_key_id().to_owned())
/// }
///
/// let request = TestRequest::get("/")
///     .header("x-fc-access-key-id", "id")
///     .header("x-fc-access-key-secret", "secret")
///     .header("x-fc-security-token", "token");
/// assert_eq!(request.run(sign).text(), "id");
/// ```
#[derive(Clone)]
pub struct Credentials {
    access_key_id: String,
    access_key_secret: String,
    security_token: Option<String>,
}

impl Credentials {
    fn find(value: impl Fn(&str) -> Option<String>, name: impl Fn(&str) -> String) -> Option<Self> {
        Some(Self {
            access_key_id: value(&name("access-key-id"))?,
            access_key_secret: value(&name("access-key-secret"))?,
            security_token: value(&name("security-token")),
        })
    }

    /// `x-fc-access-key-id`, `ALIBABA_CLOUD_ACCESS_KEY_ID` ([contract §2](crate::contract#2-start) and
    /// [§3](crate::contract#3-requests)).
    #[must_use]
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// `x-fc-access-key-secret`, `ALIBABA_CLOUD_ACCESS_KEY_SECRET` ([contract §2](crate::contract#2-start) and
    /// [§3](crate::contract#3-requests)).
    #[must_use]
    pub fn access_key_secret(&self) -> &str {
        &self.access_key_secret
    }

    /// `x-fc-security-token`, `ALIBABA_CLOUD_SECURITY_TOKEN` ([contract §2](crate::contract#2-start) and
    /// [§3](crate::contract#3-requests)).
    #[must_use]
    pub fn security_token(&self) -> Option<&str> {
        self.security_token.as_deref()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Credentials")
            .finish_non_exhaustive()
    }
}
