//! The floor with what a start of this server asks of the kernel besides, step by step: an epoll loop; with the feature `calls`
//! also a wake-up, the options of its sockets, signals, a look for early connections and a line on stderr; with `memory` two
//! pages of data as well. There is no other code, so what a start costs more than the last step is the server's own code, and
//! where it lies.
#![no_std]
#![no_main]

#[path = "../system.rs"]
mod system;

use core::arch::global_asm;
use core::mem::MaybeUninit;

use system::{BIND, EXIT, GREETING, LISTEN, SETSOCKOPT, SOCKET, WRITE, call, port_of};

const LINE: &[u8] = b"coldstart: listening on 0.0.0.0:9000\n";

const POLL: usize = 7;
const RT_SIGACTION: usize = 13;
const RT_SIGPROCMASK: usize = 14;
const SENDTO: usize = 44;
const RECVFROM: usize = 45;
const ARCH_PRCTL: usize = 158;
const SET_TID_ADDRESS: usize = 218;
const EPOLL_WAIT: usize = 232;
const EPOLL_CTL: usize = 233;
const ACCEPT4: usize = 288;
const EVENTFD2: usize = 290;
const EPOLL_CREATE1: usize = 291;

const NONBLOCK_CLOEXEC: usize = 0o2_004_000;
const STDERR: usize = 2;
const SOL_SOCKET: usize = 1;
const SOL_TCP: usize = 6;
const SIGINT: usize = 2;
const SIGPIPE: usize = 13;
const SIGTERM: usize = 15;
const SIG_DFL: usize = 0;
const SIG_IGN: usize = 1;
const NO_TIMEOUT: usize = usize::MAX;

/// Its first byte and the one in its middle are on two pages, wherever it begins.
static mut MEMORY: [u8; 2 * 4096] = [0; 2 * 4096];

#[repr(C, packed)]
struct Event {
    events: u32,
    data: u64,
}

/// For input, and the end of it, once per edge.
static WATCHED: Event = Event {
    events: 0x8000_2001,
    data: 0,
};

global_asm!(".globl _start", "_start:", "mov rdi, rsp", "and rsp, -16", "call {serve}", serve = sym serve);

/// `stack` is what the kernel passes to a program: the argument count, then pointers to the arguments.
unsafe extern "C" fn serve(stack: *const *const u8) -> ! {
    // SAFETY: the program is started with the port as its first argument.
    let port = unsafe { port_of(*stack.add(2)) };
    if cfg!(feature = "calls") {
        begin();
    }
    let [high, low] = port.to_be_bytes();
    let address = [2_u8, 0, high, low, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let listener = call(SOCKET, [2, 1 | NONBLOCK_CLOEXEC, 0, 0, 0]);
    // SO_REUSEADDR.
    set(listener, SOL_SOCKET, 2, 1);
    if cfg!(feature = "calls") {
        // TCP_NODELAY.
        set(listener, SOL_TCP, 1, 1);
    }
    if call(BIND, [listener, address.as_ptr().addr(), 16, 0, 0]) != 0 {
        call(EXIT, [1, 0, 0, 0, 0]);
    }
    call(LISTEN, [listener, 1024, 0, 0, 0]);
    if cfg!(feature = "calls") {
        // SO_KEEPALIVE and its three times.
        for (level, option, value) in [
            (SOL_SOCKET, 9, 1),
            (SOL_TCP, 4, 60),
            (SOL_TCP, 5, 15),
            (SOL_TCP, 6, 8),
        ] {
            set(listener, level, option, value);
        }
    }
    if cfg!(feature = "memory") {
        // SAFETY: both are within it, and there is one thread.
        unsafe {
            for at in [0, 4096] {
                (&raw mut MEMORY).cast::<u8>().add(at).write_volatile(1);
            }
        }
    }
    let epoll = call(EPOLL_CREATE1, [NONBLOCK_CLOEXEC & 0o2_000_000, 0, 0, 0, 0]);
    if cfg!(feature = "calls") {
        // Whether a connection waits that has not all options: a `pollfd` for input.
        let mut polled = listener | 1 << 32;
        call(POLL, [(&raw mut polled).addr(), 1, 0, 0, 0]);
    }
    watch(epoll, listener);
    if cfg!(feature = "calls") {
        watch(epoll, call(EVENTFD2, [0, NONBLOCK_CLOEXEC, 0, 0, 0]));
        call(WRITE, [STDERR, LINE.as_ptr().addr(), LINE.len(), 0, 0]);
    }
    respond(epoll, listener)
}

/// What the C library does at a start, and the signals.
fn begin() {
    const ARCH_SET_FS: usize = 0x1002;
    let word = 0_usize;
    call(ARCH_PRCTL, [ARCH_SET_FS, (&raw const word).addr(), 0, 0, 0]);
    call(SET_TID_ADDRESS, [(&raw const word).addr(), 0, 0, 0, 0]);
    // The actions are the kernel's: there is no code to catch a signal with.
    for (signal, action) in [(SIGPIPE, SIG_IGN), (SIGTERM, SIG_DFL), (SIGINT, SIG_DFL)] {
        let action = [action, 0, 0, 0];
        call(RT_SIGACTION, [signal, action.as_ptr().addr(), 0, 8, 0]);
    }
    call(RT_SIGPROCMASK, [1, (&raw const word).addr(), 0, 8, 0]);
}

fn set(socket: usize, level: usize, option: usize, value: u32) {
    call(
        SETSOCKOPT,
        [socket, level, option, (&raw const value).addr(), 4],
    );
}

fn watch(epoll: usize, descriptor: usize) {
    const ADD: usize = 1;
    call(
        EPOLL_CTL,
        [epoll, ADD, descriptor, (&raw const WATCHED).addr(), 0],
    );
}

/// In the order of the server: it watches a connection once its first request has been responded to.
fn respond(epoll: usize, listener: usize) -> ! {
    let mut found = MaybeUninit::<[Event; 16]>::uninit();
    let mut buffer = MaybeUninit::<[u8; 1024]>::uninit();
    loop {
        call(
            EPOLL_WAIT,
            [epoll, found.as_mut_ptr().addr(), 16, NO_TIMEOUT, 0],
        );
        loop {
            let socket = call(ACCEPT4, [listener, 0, 0, NONBLOCK_CLOEXEC, 0]);
            if socket.cast_signed() < 0 {
                break;
            }
            // The request may come after the connection.
            while call(RECVFROM, [socket, buffer.as_mut_ptr().addr(), 1024, 0, 0]).cast_signed() < 0
            {
            }
            call(
                SENDTO,
                [socket, GREETING.as_ptr().addr(), GREETING.len(), 0, 0],
            );
            watch(epoll, socket);
        }
    }
}

#[panic_handler]
fn on_panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
