//! A start from C's `main`, without std's runtime, for programs whose time to the first byte counts.
//!
//! Before `main`, std polls three descriptors, sets up signal stacks and looks for the guard page: a tenth of a millisecond
//! of work that a server does not need. The part that it does need is done here. An island of unsafe code, for the argument
//! vector and SIGPIPE.
#![expect(
    unsafe_code,
    reason = "C's `main` gets pointers, and std has no safe interface to SIGPIPE"
)]

use core::ffi::{CStr, c_char, c_int};
use core::sync::atomic::{AtomicPtr, Ordering};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{ExitCode, Termination};

use crate::os::stream::Stream;

/// The argument vector of C's `main`; null after a start through std.
static ARGUMENTS: AtomicPtr<*const c_char> = AtomicPtr::new(core::ptr::null_mut());

/// The exit status after a panic, the same as after a start through std.
const EXIT_PANICKED: i32 = 101;

/// The arguments of the command line without the program's name, in a program that starts with [`main!`](crate::main). In
/// any other program there are none here; use `std::env::args_os`.
///
/// They are borrowed from the kernel's copy, so nothing is allocated before the server listens.
///
/// ```
/// let mut names = coldstart::arguments().map(|name| name.to_string_lossy());
/// let name = names.next().unwrap_or("you".into());
/// // This program has a `main` of Rust's, so there are none.
/// assert_eq!(format!("hello, {name}"), "hello, you");
/// ```
pub fn arguments() -> impl Iterator<Item = &'static OsStr> {
    let vector = ARGUMENTS.load(Ordering::Acquire);
    let mut at = 0_usize;
    let given = core::iter::from_fn(move || {
        if vector.is_null() {
            return None;
        }
        // SAFETY: `from_c`'s caller promised a vector that ends in null, and the walk stops there.
        let argument = unsafe { *vector.add(at) };
        if argument.is_null() {
            return None;
        }
        at = at.saturating_add(1);
        // SAFETY: each pointer of the vector is a C string that lives as long as the process.
        let argument = unsafe { CStr::from_ptr(argument) };
        Some(OsStr::from_bytes(argument.to_bytes()))
    });
    given.skip(1)
}

/// Prints a text on stdout without std's lock and buffer, which are half a kilobyte of a small program; what std has buffered
/// comes after it. It waits for room; false if the text cannot be written.
///
/// ```
/// assert!(coldstart::start::print("usage: greet NAME\n"));
/// ```
#[must_use]
pub fn print(text: &str) -> bool {
    Stream::stdout().write_all(text.as_bytes())
}

/// Prints a text on stderr, as [`print`] does on stdout.
///
/// ```
/// assert!(coldstart::start::print_error("greet: a name is missing\n"));
/// ```
#[must_use]
pub fn print_error(text: &str) -> bool {
    Stream::stderr().write_all(text.as_bytes())
}

/// What C's `main` returns. In a program without `#![no_main]` the compiler takes it for Rust's `main`, and names this type as
/// what is wrong with it.
#[doc(hidden)]
#[derive(Debug)]
#[repr(transparent)]
pub struct WriteNoMainAtTheTopOfTheProgram(c_int);

/// Runs a program from C's `main`; the work of [`main!`](crate::main).
///
/// # Safety
///
/// `argv` is the vector of `main`: pointers to C strings, then a null pointer.
#[doc(hidden)]
#[expect(clippy::exit, reason = "std flushes stdout here, C's exit would not")]
pub unsafe fn from_c<T: Termination>(
    argv: *const *const c_char,
    program: impl FnOnce() -> T,
) -> WriteNoMainAtTheTopOfTheProgram {
    ARGUMENTS.store(argv.cast_mut(), Ordering::Release);
    // Handlers that write to a closed pipe get an error, as after a start through std. `std::process::Command` restores the
    // default for child processes.
    // SAFETY: no handler is installed, the signal is ignored.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    let status = match catch_unwind(AssertUnwindSafe(program)) {
        Ok(outcome) => number_of(outcome.report()),
        Err(_) => EXIT_PANICKED,
    };
    std::process::exit(status)
}

/// An `ExitCode` does not expose its number, but it can be compared.
fn number_of(code: ExitCode) -> i32 {
    (0..=u8::MAX)
        .find(|number| ExitCode::from(*number) == code)
        .map_or(EXIT_PANICKED, i32::from)
}

/// Starts a program without std's runtime, so that its first byte comes as early as `bootstrap`'s.
///
/// ```no_run
/// # // The attribute must be the crate's own: this example only shows the shape.
/// #![no_main]
/// # #[cfg(any())]
/// coldstart::main!(hello);
///
/// fn hello(request: &coldstart::Request<'_>) -> coldstart::Response {
///     coldstart::Response::text(format!("hello from {}\n", request.path()))
/// }
/// # coldstart::main!(hello);
/// ```
///
/// It takes what [`serve`](crate::serve) does, such as an expression that makes a router: `coldstart::main!(router());`
///
/// A program with unit tests has `#![cfg_attr(not(test), no_main)]`, because a test harness brings its own `main`.
///
/// With `start = …` it runs any function that could be a `main`: `coldstart::main!(start = run)` with
/// `fn run() -> ExitCode`. The command line's arguments are in [`arguments`](crate::arguments).
///
/// Differences from a start through std: a stack overflow ends the process with SIGSEGV and without a message, and the main
/// thread has no name in a panic's message. Everything else is the same: panics are caught, SIGPIPE is ignored, stdout is
/// flushed at the end.
#[macro_export]
macro_rules! main {
    (start = $program:expr) => {
        #[cfg(not(test))]
        #[unsafe(no_mangle)]
        extern "C" fn main(
            _argc: ::core::ffi::c_int,
            argv: *const *const ::core::ffi::c_char,
        ) -> $crate::start::WriteNoMainAtTheTopOfTheProgram {
            // SAFETY: the vector is C's, unchanged.
            unsafe { $crate::start::from_c(argv, $program) }
        }

        /// Left out in a test harness, which has its own C `main`.
        #[cfg(test)]
        fn main() -> impl ::std::process::Termination {
            ($program)()
        }
    };
    ($handler:expr) => {
        $crate::main!(start = || $crate::serve($handler));
    };
}

/// Leaves the backtrace printer out of a static program on musl. It is two fifths of a small program, and in a stripped one
/// prints only `<unknown>`. On other targets the macro does nothing. Use it once per program, next to
/// [`main!`](crate::main): `coldstart::without_backtraces!();`
///
/// It replaces the unwinder's functions that only a backtrace needs, so that the linker drops the reader of debug
/// information. musl's unwinder has them in one object file with some that std's personality function refers to, which is why
/// those are here as well. Panics unwind and are caught as before.
#[macro_export]
macro_rules! without_backtraces {
    () => {
        #[cfg(all(target_env = "musl", target_feature = "crt-static", panic = "unwind"))]
        const _: () = {
            use ::core::ffi::{c_int, c_void};

            unsafe extern "C" {
                fn _Unwind_GetIP(context: *mut c_void) -> usize;
            }

            /// The end of the stack: there is no frame to report.
            #[unsafe(no_mangle)]
            extern "C" fn _Unwind_Backtrace(_: *const c_void, _: *mut c_void) -> c_int {
                5
            }

            #[unsafe(no_mangle)]
            extern "C" fn _Unwind_FindEnclosingFunction(instruction: *mut c_void) -> *mut c_void {
                instruction
            }

            #[unsafe(no_mangle)]
            extern "C" fn _Unwind_GetCFA(_: *mut c_void) -> usize {
                0
            }

            /// No encoding on this platform is relative to it; musl's unwinder aborts here.
            #[unsafe(no_mangle)]
            extern "C" fn _Unwind_GetTextRelBase(_: *mut c_void) -> usize {
                0
            }

            #[unsafe(no_mangle)]
            extern "C" fn _Unwind_GetDataRelBase(_: *mut c_void) -> usize {
                0
            }

            /// Panics unwind from calls and never from signals, so the address is always the one after the call.
            #[unsafe(no_mangle)]
            extern "C" fn _Unwind_GetIPInfo(context: *mut c_void, is_before: *mut c_int) -> usize {
                // SAFETY: the personality function passes its context, and a pointer to the flag.
                unsafe {
                    *is_before = 0;
                    _Unwind_GetIP(context)
                }
            }
        };
    };
}

#[cfg(test)]
mod tests {
    use core::ffi::CStr;
    use std::process::ExitCode;

    use super::{ARGUMENTS, EXIT_PANICKED, Ordering, arguments, number_of};

    #[test]
    fn arguments_are_the_vector_s_without_the_program() {
        assert_eq!(
            arguments().count(),
            0,
            "there are none after a start through std"
        );
        let texts = [c"program", c"--port", c"", c"\xff"];
        let mut vector: Vec<_> = texts.iter().map(|text| text.as_ptr()).collect();
        vector.push(core::ptr::null());
        ARGUMENTS.store(vector.as_mut_ptr(), Ordering::Release);
        let found: Vec<_> = arguments().map(|text| text.as_encoded_bytes()).collect();
        ARGUMENTS.store(core::ptr::null_mut(), Ordering::Release);
        assert_eq!(
            found,
            texts[1..]
                .iter()
                .map(|text| CStr::to_bytes(text))
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn an_exit_code_tells_its_number() {
        for number in [0, 1, 69, 255] {
            assert_eq!(number_of(ExitCode::from(number)), i32::from(number));
        }
        assert_eq!(EXIT_PANICKED, 101);
    }
}
