//! The environment without a copy. An island of unsafe code, for the C library's `getenv`.
//!
//! std's `var_os` copies the value, which sets up the heap before the server listens: a tenth of the time to the first byte.
#![expect(
    unsafe_code,
    reason = "the C library hands out pointers into the environment"
)]

use core::ffi::CStr;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

/// Passes the value of an environment variable to `read`, if it is set.
pub(crate) fn read_variable(name: &CStr, read: &mut dyn FnMut(&OsStr)) {
    // SAFETY: the name is a C string. Code that changes the environment has promised that no other code reads it at the
    // same time: that is why `std::env::set_var` is unsafe.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    if !value.is_null() {
        // SAFETY: a value is a C string and stays where it is until the environment is changed.
        read(OsStr::from_bytes(
            unsafe { CStr::from_ptr(value) }.to_bytes(),
        ));
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "std's view is what this is compared with"
)]
mod tests {
    use super::read_variable;

    #[test]
    fn a_variable_is_what_std_says_it_is() {
        for name in [c"PATH", c"COLDSTART_HAS_NO_SUCH_VARIABLE", c""] {
            let mut found = None;
            read_variable(name, &mut |value| found = Some(value.to_owned()));
            let text = name.to_str().expect("a name is text");
            assert_eq!(found, std::env::var_os(text), "{text}");
        }
    }
}
