//! The floor: socket, setsockopt, bind, listen, accept, read and write in that order, with nothing in between.
//! `floor PORT` responds to the first bytes of each connection, whatever they are, with a fixed greeting.
#![no_std]
#![no_main]

mod system;

use core::arch::global_asm;

use system::{BIND, EXIT, GREETING, LISTEN, SETSOCKOPT, SOCKET, WRITE, call, port_of};

const READ: usize = 0;
const CLOSE: usize = 3;
const ACCEPT: usize = 43;

global_asm!(".globl _start", "_start:", "mov rdi, rsp", "and rsp, -16", "call {serve}", serve = sym serve);

/// `stack` is what the kernel passes to a program: the argument count, then pointers to the arguments.
unsafe extern "C" fn serve(stack: *const *const u8) -> ! {
    // SAFETY: the program is started with the port as its first argument.
    let port = unsafe { port_of(*stack.add(2)) };
    let [high, low] = port.to_be_bytes();
    let address = [2_u8, 0, high, low, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let one = 1_u32;
    let listener = call(SOCKET, [2, 1, 0, 0, 0]);
    call(SETSOCKOPT, [listener, 1, 2, (&raw const one).addr(), 4]);
    if call(BIND, [listener, address.as_ptr().addr(), 16, 0, 0]) != 0 {
        call(EXIT, [1, 0, 0, 0, 0]);
    }
    call(LISTEN, [listener, 1024, 0, 0, 0]);
    let mut buffer = core::mem::MaybeUninit::<[u8; 1024]>::uninit();
    loop {
        let socket = call(ACCEPT, [listener, 0, 0, 0, 0]);
        call(READ, [socket, buffer.as_mut_ptr().addr(), 1024, 0, 0]);
        call(
            WRITE,
            [socket, GREETING.as_ptr().addr(), GREETING.len(), 0, 0],
        );
        call(CLOSE, [socket, 0, 0, 0, 0]);
    }
}

#[panic_handler]
fn on_panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
