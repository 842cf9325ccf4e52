//! Dispatches each request by its control path (contract §3 and §4).

use core::borrow::Borrow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::current_request::CurrentRequest;
use crate::h1::{Names, Wanted, wanted};
use crate::handler::outcome::Outcome;
use crate::handler::{Accept, Demand, Handler, Upload, Watch, accept_then_call};
use crate::message::request::{Head, Request};
use crate::message::response::{Response, Status};
use crate::output;
use crate::sync::loop_thread::is_loop_thread;

use super::call::Call;
use super::context::Context;
use super::failure::{FunctionError, STATUS_FIELD};
use super::record::{CallEnd, Mark, Markers, begin_noted, follow};

/// The code for an event; or for a hook, which gets no payload and whose response is empty. The end of a call that goes on in a
/// future takes over the mark.
pub(super) type Callback = Box<
    dyn Fn(&Context<'_>, &[u8], &mut Mark<&CurrentRequest>) -> Result<Reached, FunctionError>
        + Send
        + Sync,
>;

/// What a callback has reached.
pub(super) enum Reached {
    /// Success, with this response.
    Response(Response),
    /// The whole outcome: a future's, which has its own way to fail.
    Outcome(Outcome),
}

/// The fields that say what a request is for.
const NAMES: Names = Names::of(&[b"x-fc-control-path", b"x-fc-request-id"]);

/// What is looked for in each head: those fields, and what the server needs itself.
pub(super) static WANTED: Wanted = wanted(NAMES);

/// A function's code for calls that are not HTTP calls.
pub(super) struct Contract {
    pub(super) event: Option<Callback>,
    pub(super) initializer: Option<Callback>,
    pub(super) pre_stop: Option<Callback>,
    pub(super) pre_freeze: Option<Callback>,
    pub(super) health: Option<&'static str>,
    pub(super) markers: Markers,
}

impl Contract {
    /// What the request is for, and its id, in one pass over its fields. The first line with a name counts, as in
    /// [`Context`].
    #[inline]
    fn read<'a>(&self, head: &Head<'a>) -> (Call, Option<&'a [u8]>) {
        // The smallest build has no room for a second way.
        if cfg!(smallest) || head.headers().may_have(NAMES) {
            self.read_fields(head)
        } else {
            (self.read_path(head), None)
        }
    }

    #[inline(never)]
    fn read_fields<'a>(&self, head: &Head<'a>) -> (Call, Option<&'a [u8]>) {
        let (mut control_path, mut id) = (None, None);
        for field in head.headers().with_names(NAMES) {
            if control_path.is_none() && field.is_named(b"x-fc-control-path") {
                control_path = Some(field.value());
            } else if id.is_none() && field.is_named(b"x-fc-request-id") {
                id = Some(field.value());
            }
            if control_path.is_some() && id.is_some() {
                break;
            }
        }
        let call = match control_path {
            None | Some(b"") => self.read_path(head),
            // `/http-invoke`, and any unknown one: the handler responds.
            Some(path) => named(path).unwrap_or(Call::Http),
        };
        (call, id)
    }

    /// Without a control path there is no platform, or one that uses the path. A web function on another cloud keeps its own
    /// route `/invoke`; responding to a hook that is not configured does no harm.
    #[inline(never)] // Several callers.
    fn read_path(&self, head: &Head<'_>) -> Call {
        named(head.path().as_bytes()).map_or(Call::Http, |call| self.by_method(call, head))
    }

    /// The call with this path, if the request has its method.
    #[cfg_attr(not(smallest), inline(never))] // Few requests have such a path.
    fn by_method(&self, call: Call, head: &Head<'_>) -> Call {
        let (method, is_taken) = match call {
            Call::Event => ("POST", self.event.is_some()),
            Call::Initialize => ("POST", true),
            Call::PreStop | Call::PreFreeze | Call::Http => ("GET", true),
        };
        if is_taken && head.method() == method {
            call
        } else {
            Call::Http
        }
    }

    fn mark<T: Borrow<CurrentRequest>>(&self, call: Call, current: T) -> Mark<T> {
        let mark = Mark {
            call,
            current,
            markers: self.markers,
            outcome: CallEnd::Success,
        };
        mark.begin();
        mark
    }

    /// Handles an event or a hook. A panic of the function ends here and fails this one call.
    fn respond(
        &self,
        mark: &mut Mark<&CurrentRequest>,
        request: &Request<'_>,
    ) -> Result<Reached, FunctionError> {
        let call = mark.call;
        let callback = match call {
            Call::Event | Call::Http => &self.event,
            Call::Initialize => &self.initializer,
            Call::PreStop => &self.pre_stop,
            Call::PreFreeze => &self.pre_freeze,
        };
        let Some(callback) = callback else {
            return match call {
                Call::Event | Call::Http => Err(FunctionError::new(
                    "this function handles HTTP requests only, but an event came: call it through its HTTP trigger, or \
                     add an `event` handler",
                )
                .error_type("NoEventFunction")),
                Call::Initialize | Call::PreStop | Call::PreFreeze => {
                    Ok(Reached::Response(Response::new(Status::OK)))
                }
            };
        };
        let context = Context::new(request.head());
        match catch_unwind(AssertUnwindSafe(|| {
            callback(&context, request.body(), mark)
        })) {
            Ok(outcome) => outcome.inspect_err(|error| {
                context.error(format_args!("{} failed: {error}", call.name()));
            }),
            Err(panic) => Err(FunctionError::from_panic(&*panic)),
        }
    }
}

/// The call that has this path.
fn named(path: &[u8]) -> Option<Call> {
    static PATHS: [(&str, Call); 4] = [
        ("/invoke", Call::Event),
        ("/initialize", Call::Initialize),
        ("/pre-stop", Call::PreStop),
        ("/pre-freeze", Call::PreFreeze),
    ];
    let (_, call) = PATHS.iter().find(|(name, _)| name.as_bytes() == path)?;
    Some(*call)
}

/// A function as a handler: HTTP calls go to `http`, all others are handled by the contract.
#[derive(Clone)]
pub(super) struct Calls<H> {
    pub(super) contract: Arc<Contract>,
    pub(super) http: H,
}

impl<H: Handler> Handler for Calls<H> {
    fn accept(&mut self, head: &Head<'_>) -> Accept {
        let (call, id) = self.contract.read(head);
        if call != Call::Http {
            return Accept::Buffer;
        }
        if self.contract.health == Some(head.path()) && matches!(head.method(), "GET" | "HEAD") {
            // Here and not in `call`, which may have to wait for a thread.
            return Accept::Respond(Response::text("ok\n").into());
        }
        let current = CurrentRequest::of_request(id);
        let _scope = current.as_ref().map(CurrentRequest::enter);
        let known = current.as_ref().unwrap_or(&CurrentRequest::NONE);
        let accept = self.http.accept(head);
        if self.http.has_middleware() {
            return accept.map_watched(|accept| self.mark_accepted(accept, *known));
        }
        self.mark_accepted(accept, *known)
    }

    fn accept_whole(&mut self, request: &Request<'_>) -> Accept {
        let (call, id) = self.contract.read(request.head_by_reference());
        if call != Call::Http {
            return Accept::Respond(self.respond(call, id, request));
        }
        if self.contract.markers == Markers::On || self.contract.health.is_some() {
            return self.accept_in_steps(request);
        }
        self.accept_http(id, request)
    }

    fn call(&mut self, request: &Request<'_>) -> Outcome {
        let (call, id) = self.contract.read(request.head_by_reference());
        let outcome = self.respond(call, id, request);
        if !is_loop_thread() {
            output::flush_printed();
        }
        outcome
    }

    /// The instance may be frozen after the response is sent ([contract §5](crate::contract#5-logs)).
    fn before_send(&mut self) {
        self.http.before_send();
        output::flush();
    }

    /// The failure of an HTTP call: the caller sees the status, the platform the field.
    fn failure(&self) -> Response {
        self.http.failure().header(STATUS_FIELD, "404")
    }

    fn has_middleware(&self) -> bool {
        self.http.has_middleware()
    }

    fn on_refused(&mut self, head: &Head<'_>, watch: &mut Watch) {
        if self.contract.read(head).0 == Call::Http {
            self.http.on_refused(head, watch);
        }
    }
}

impl<H: Handler> Calls<H> {
    /// An HTTP call without marker lines. One local is returned, so that the response is not moved.
    fn accept_http(&mut self, id: Option<&[u8]>, request: &Request<'_>) -> Accept {
        let current = CurrentRequest::of_request(id);
        let _scope = current.as_ref().map(CurrentRequest::enter);
        let mut accept = self.http.accept_whole(request);
        if !matches!(accept, Accept::Respond(_)) {
            accept = self.mark_stream(accept, current.unwrap_or(CurrentRequest::NONE));
        }
        accept
    }

    #[cfg_attr(not(smallest), inline(never))] // It has several outcomes, which would be beneath each call.
    fn accept_in_steps(&mut self, request: &Request<'_>) -> Accept {
        accept_then_call(self, request)
    }

    fn respond(&mut self, call: Call, id: Option<&[u8]>, request: &Request<'_>) -> Outcome {
        let current = CurrentRequest::of_request(id);
        let _scope = current.as_ref().map(CurrentRequest::enter);
        let known = current.as_ref().unwrap_or(&CurrentRequest::NONE);
        let mut mark = self.contract.mark(call, known);
        if call == Call::Http {
            // If it panics, `failure` is the response.
            let mut outcome = self.http.call(request);
            follow(&mut outcome, &mut mark.markers);
            return outcome;
        }
        match self.contract.respond(&mut mark, request) {
            Ok(Reached::Response(response)) => response.header(STATUS_FIELD, "200").into(),
            Ok(Reached::Outcome(outcome)) => outcome,
            Err(error) => {
                mark.outcome = CallEnd::Failure;
                error.response().into()
            }
        }
    }

    /// A response that is here, or promised, is marked as a call.
    #[inline]
    fn mark_accepted(&self, mut accept: Accept, current: CurrentRequest) -> Accept {
        if let Accept::Respond(outcome) = &mut accept {
            let mut mark = self.contract.mark(Call::Http, &current);
            follow(outcome, &mut mark.markers);
        }
        self.mark_stream(accept, current)
    }

    /// A stream is marked from here to its end.
    fn mark_stream(&self, accept: Accept, current: CurrentRequest) -> Accept {
        match accept {
            Accept::Stream(upload) => {
                let mark = self.contract.mark(Call::Http, current);
                Accept::Stream(Box::new(MarkedUpload { upload, mark }))
            }
            Accept::Pull(mut pulled) => {
                let note = begin_noted(self.contract.markers, &current);
                pulled.0.mark(current, note);
                Accept::Pull(pulled)
            }
            Accept::Watched(watched) if self.http.has_middleware() => {
                watched.map(|accept| self.mark_stream(accept, current))
            }
            accept @ (Accept::Buffer
            | Accept::BufferUpTo(_)
            | Accept::Discard
            | Accept::Upgrade(_)
            | Accept::Respond(_)
            | Accept::Watched(_)) => accept,
        }
    }
}

/// The user's upload, during whose calls the thread works on its request.
struct MarkedUpload {
    upload: Box<dyn Upload>,
    mark: Mark<CurrentRequest>,
}

impl Upload for MarkedUpload {
    fn body_len_max(&self) -> u64 {
        self.upload.body_len_max()
    }

    fn on_piece(&mut self, piece: &[u8]) -> Demand {
        let _scope = self.mark.current.enter();
        self.mark.outcome = CallEnd::Failure;
        let mut demand = self.upload.on_piece(piece);
        self.mark.outcome = CallEnd::Success;
        if let Demand::Respond(outcome) = &mut demand {
            follow(outcome, &mut self.mark.markers);
        }
        demand
    }

    fn on_end(self: Box<Self>) -> Outcome {
        let Self { upload, mut mark } = *self;
        let _scope = mark.current.enter();
        let mut outcome = upload.on_end();
        follow(&mut outcome, &mut mark.markers);
        outcome
    }

    fn on_cut(self: Box<Self>) {
        let Self { upload, mark } = *self;
        let _scope = mark.current.enter();
        upload.on_cut();
    }
}
