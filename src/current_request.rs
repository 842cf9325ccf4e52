//! The request that a thread works on: its name, and when it arrived. The pool passes it to its threads, so that log lines
//! written there carry the name.

use core::cell::Cell;
use core::mem::ManuallyDrop;
use core::time::Duration;

use crate::os::clock;

/// How many bytes of a name are kept; a UUID has 36.
pub(crate) const NAME_LEN_MAX: usize = 64;

thread_local! {
    /// A pointer, so that the thread-local block fits into what libc reserves for the first thread: a larger one costs a
    /// system call before `main`. The first request with a name allocates it, and later ones reuse it. [`Leave`] drops it, not
    /// the end of the thread: a thread-local destructor costs 2 KB of std and libc code.
    static CURRENT: Cell<Option<Slot>> = const { Cell::new(None) };
}

type Slot = ManuallyDrop<Box<CurrentRequest>>;

/// The request that a thread works on.
#[derive(Clone, Copy)]
pub(crate) struct CurrentRequest {
    name: [u8; NAME_LEN_MAX],
    name_len: usize,
    /// On the monotonic clock.
    arrived_at: Option<Duration>,
}

impl CurrentRequest {
    pub(crate) const NONE: Self = Self {
        name: [0; NAME_LEN_MAX],
        name_len: 0,
        arrived_at: None,
    };

    /// What this thread works on.
    pub(crate) fn current() -> Self {
        let slot = CURRENT.take();
        let known = slot.as_ref().filter(|request| request.is_known());
        let copy = known.map_or(Self::NONE, |request| ***request);
        CURRENT.set(slot);
        copy
    }

    /// The same, to be kept by what goes on for it; `None` if that is nothing, which is the usual case.
    pub(crate) fn kept() -> Option<Box<Self>> {
        let current = Self::current();
        current.is_known().then(|| Box::new(current))
    }

    /// The same request with this name, of which [`NAME_LEN_MAX`] bytes are kept.
    pub(crate) fn named(mut self, name: &str) -> Self {
        self.rename(name.as_bytes());
        self
    }

    /// Whether it is text is asked when somebody reads it.
    fn rename(&mut self, name: &[u8]) {
        let mut len = name.len().min(NAME_LEN_MAX);
        // What follows the first byte of a character goes with it.
        while let Some(0x80..=0xbf) = name.get(len)
            && len > 0
        {
            len = len.wrapping_sub(1);
        }
        let kept = name.get(..len).unwrap_or_default();
        for (slot, byte) in self.name.iter_mut().zip(kept) {
            *slot = *byte;
        }
        self.name_len = kept.len();
    }

    /// The request with this name, which this thread begins to work on. `None` if it has no name, which is the usual case.
    pub(crate) fn of_request(name: Option<&[u8]>) -> Option<Self> {
        if name.is_none() && !Self::is_current_known() {
            return None;
        }
        let mut request = Self::current();
        request.name_len = 0;
        if let Some(name) = name {
            request.rename(name);
        }
        Some(request)
    }

    /// The same request, which now waits for a thread: its time counts from here on.
    pub(crate) fn waiting(self) -> Self {
        let arrived_at = Some(self.arrived_at());
        Self { arrived_at, ..self }
    }

    /// When the request arrived, on the monotonic clock; now, unless it has waited.
    pub(crate) fn arrived_at(self) -> Duration {
        self.arrived_at.unwrap_or_else(clock::monotonic)
    }

    pub(crate) fn name(&self) -> Option<&str> {
        let name = self.name.get(..self.name_len)?;
        core::str::from_utf8(name)
            .ok()
            .filter(|name| !name.is_empty())
    }

    /// This thread works on it until the scope ends, even by a panic, and then on the previous request again.
    pub(crate) fn enter(&self) -> Scope {
        Scope(self.replace())
    }

    pub(crate) fn is_current_known() -> bool {
        let current = CURRENT.take();
        let is_known = current.as_ref().is_some_and(|request| request.is_known());
        CURRENT.set(current);
        is_known
    }

    #[inline(never)] // It has 250 bytes, and each scope has two calls of it.
    fn replace(&self) -> Self {
        let mut slot = CURRENT.take();
        let before = match &mut slot {
            Some(current) => core::mem::replace(&mut ***current, *self),
            None => {
                slot = self.is_known().then(|| ManuallyDrop::new(Box::new(*self)));
                Self::NONE
            }
        };
        CURRENT.set(slot);
        before
    }

    pub(crate) const fn is_known(&self) -> bool {
        self.name_len > 0 || self.arrived_at.is_some()
    }
}

/// Frees, when dropped, what the thread keeps: for a thread that ends, or that its owner may end. `None` while a caller works
/// on a request.
pub(crate) fn leave_afterwards() -> Option<Leave> {
    (!CurrentRequest::is_current_known()).then_some(Leave)
}

/// See [`leave_afterwards`].
#[must_use]
pub(crate) struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        drop(CURRENT.take().map(ManuallyDrop::into_inner));
    }
}

/// See [`CurrentRequest::enter`].
#[must_use]
pub(crate) struct Scope(CurrentRequest);

impl Drop for Scope {
    fn drop(&mut self) {
        self.0.replace();
    }
}

#[cfg(test)]
mod tests {
    use super::{CurrentRequest, leave_afterwards};

    #[test]
    fn a_scope_ends_where_it_began() {
        let _leave = leave_afterwards();
        let outer = CurrentRequest::current().named("outer").enter();
        {
            let _inner = CurrentRequest::current().named("inner").enter();
            assert_eq!(CurrentRequest::current().name(), Some("inner"));
        }
        assert_eq!(CurrentRequest::current().name(), Some("outer"));
        drop(outer);
        assert_eq!(CurrentRequest::current().name(), None);
    }

    #[test]
    fn a_long_name_is_cut_between_two_characters() {
        let name = format!("{}{}", "a".repeat(63), "é");
        let request = CurrentRequest::current().named(&name);
        assert_eq!(request.name(), Some("a".repeat(63).as_str()));
    }

    #[test]
    fn what_is_not_text_is_no_name() {
        let _leave = leave_afterwards();
        let name_of = |name: &[u8]| {
            let request = CurrentRequest::of_request(Some(name));
            let name = request.and_then(|request| request.name().map(str::to_owned));
            name.unwrap_or_default()
        };
        for len in [1, 36, 64, 65, 200] {
            let mut name = vec![b'a'; len];
            assert_eq!(name_of(&name).len(), len.min(64));
            name[len / 4] = 0xff;
            assert_eq!(name_of(&name), "", "{len}");
        }
    }
}
