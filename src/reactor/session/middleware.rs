//! The place where all responses of a session pass, with what a middleware does to them. Without a middleware nothing of this is
//! in the program.

use crate::h1::{HeadIndex, HeadView, Refusal, UpgradeOffer};
use crate::handler::middleware::{ChangeResponse, Watch};
use crate::handler::{Accept, Handler, Upgrade};
use crate::message::request::Head;
use crate::message::response::{Afterwards, Response, Status};
use crate::observe::ServerEvent;
use crate::os::Os;
use crate::sync::contain::contain;
use crate::sync::memory::SMALL_LEN_MAX;

use super::driver::Driver;

impl<O: Os, H: Handler> Driver<'_, O, H> {
    /// Keeps what is to be done with the response to the request that was accepted.
    #[inline]
    pub(super) fn watch_accepted(&mut self, accept: &mut Accept) {
        if !self.context.handler.has_middleware() || !matches!(accept, Accept::Watched(_)) {
            return;
        }
        let (watched, watch) = std::mem::replace(accept, Accept::Discard).split();
        *accept = watched;
        if let Some(watch) = watch {
            self.keep_watch(watch);
        }
    }

    /// Whether what is parsed next is the body of a request that may be watched already.
    #[inline]
    pub(super) fn is_watched_body(&self) -> bool {
        self.context.handler.has_middleware() && self.session.connection.is_body_pending()
    }

    /// A request is refused because of its head, with which `input` begins. As far as that parses, it can be watched.
    #[inline]
    pub(super) fn refuse_head(&mut self, refusal: Refusal, input: &[u8], index: &mut HeadIndex) {
        if self.context.handler.has_middleware() {
            self.watch_refused(input, index);
        }
        self.refuse(refusal);
    }

    #[cold]
    fn watch_refused(&mut self, input: &[u8], index: &mut HeadIndex) {
        let limits = self.context.settings.head_limits();
        let Some(len) = index.index_begin(input, &limits) else {
            return;
        };
        let view = HeadView::new(input.get(..len).unwrap_or_default(), index);
        let head = Head::new(view, O::peer_address(&self.session.socket));
        let mut watch = Watch::default();
        // A panic has ended what the middleware does, and what others have added remains.
        if contain(|| self.context.handler.on_refused(&head, &mut watch)).is_none() {
            self.context.observer.on(ServerEvent::HandlerPanicked);
        }
        self.keep_watch(watch);
    }

    fn keep_watch(&mut self, watch: Watch) {
        debug_assert!(
            self.taken_watch().is_none(),
            "the request before got no response"
        );
        self.session.work().watch = Some(Box::new(watch));
    }

    fn taken_watch(&mut self) -> Option<Box<dyn ChangeResponse>> {
        self.session.work.as_mut()?.watch.take()
    }

    /// A response is about to be sent. It is what the peer gets: if it cannot be sent, what is sent in its place.
    #[inline]
    pub(super) fn change_response(&mut self, response: &mut Response) {
        if self.context.handler.has_middleware()
            && let Some(watch) = self.taken_watch()
        {
            self.change_awaited(watch, response);
        }
    }

    #[inline(never)]
    fn change_awaited(&mut self, watch: Box<dyn ChangeResponse>, response: &mut Response) {
        if response.afterwards() == Afterwards::Fail {
            *response = self.response_to_invalid_field(response.content());
        }
        if let Some(bytes) = response.content().as_bytes()
            && bytes.len() > SMALL_LEN_MAX
            && let Err(refusal) = self.reserve(bytes.len())
            && let Some(refused) = Self::response_to_refused(refusal)
        {
            *response = refused;
        }
        if self.session.connection.upgrade() == UpgradeOffer::Tunnel
            && matches!(response.head().status().code(), 200..300)
        {
            let given = core::mem::replace(response, Response::new(Status::OK));
            // As the protocol does with each response that makes no tunnel.
            *response = given.status(Status::NOT_IMPLEMENTED);
        }
        self.change(watch, response);
    }

    /// The same for the response that leaves HTTP. Only its fields can change.
    #[inline]
    pub(super) fn change_switch(&mut self, to: &mut Upgrade) {
        if self.context.handler.has_middleware()
            && let Some(watch) = self.taken_watch()
        {
            self.change_switch_awaited(watch, to);
        }
    }

    #[inline(never)]
    fn change_switch_awaited(&mut self, watch: Box<dyn ChangeResponse>, to: &mut Upgrade) {
        let status = match self.session.connection.upgrade() {
            UpgradeOffer::Tunnel => Status::OK,
            UpgradeOffer::Offered | UpgradeOffer::None => Status::SWITCHING_PROTOCOLS,
        };
        let mut response = to.take_response(status);
        self.change(watch, &mut response);
        to.put_response(response);
    }

    fn change(&mut self, watch: Box<dyn ChangeResponse>, response: &mut Response) {
        let given = core::mem::replace(response, Response::new(Status::OK));
        let context = &mut self.context;
        *response = watch.change(given, &mut || {
            context.observer.on(ServerEvent::HandlerPanicked);
            let failure = contain(|| context.handler.failure());
            failure.unwrap_or_else(|| Response::new(Status::INTERNAL_SERVER_ERROR))
        });
    }
}
