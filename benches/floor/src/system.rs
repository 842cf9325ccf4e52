//! What both programs have: system calls without a C library, the port on the command line, the response.

use core::arch::asm;

/// The response to whatever comes.
pub const GREETING: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, World!";

pub const WRITE: usize = 1;
pub const SOCKET: usize = 41;
pub const BIND: usize = 49;
pub const LISTEN: usize = 50;
pub const SETSOCKOPT: usize = 54;
pub const EXIT: usize = 60;

pub fn call(number: usize, arguments: [usize; 5]) -> usize {
    let result;
    // SAFETY: the kernel's calling convention; pointers among the arguments are valid for the call.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") arguments[0], in("rsi") arguments[1],
            in("rdx") arguments[2], in("r10") arguments[3], in("r8") arguments[4], lateout("rcx") _, lateout("r11") _);
    }
    result
}

/// # Safety
///
/// `digits` is a C string of digits.
pub unsafe fn port_of(mut digits: *const u8) -> u16 {
    let mut port = 0_u16;
    // SAFETY: the walk stops at the end of the string.
    unsafe {
        while *digits != 0 {
            port = port
                .wrapping_mul(10)
                .wrapping_add(u16::from(*digits - b'0'));
            digits = digits.add(1);
        }
    }
    port
}
