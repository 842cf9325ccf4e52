//! The limit: an epoll loop that searches for `\r\n\r\n` and checks nothing. It sends one prepared response per head;
//! after a POST head it echoes the body. No server that reads requests can do with fewer system calls.

use std::os::fd::AsRawFd as _;

const GREETING: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 13\r\n\
    Date: Mon, 23 Nov 2026 00:00:00 GMT\r\n\r\nHello, World!";
const ECHO_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1024\r\nDate: Mon, 23 Nov 2026 00:00:00 GMT\r\n\r\n";
const ECHO_LEN: usize = 1024;

fn main() {
    let port: u16 = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(9000);
    let listener = std::net::TcpListener::bind(("0.0.0.0", port)).expect("the port is free");
    listener.set_nonblocking(true).expect("a listener");
    let listener = listener.as_raw_fd();
    let (mut input, mut out) = (vec![0_u8; 65_536], Vec::with_capacity(65_536));
    // SAFETY: the descriptors and buffers are ours and live through the calls.
    unsafe {
        let one = 1_i32;
        libc::listen(listener, 4096);
        libc::setsockopt(listener, libc::IPPROTO_TCP, libc::TCP_NODELAY, (&raw const one).cast(), 4);
        let epoll = libc::epoll_create1(0);
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: listener as u64 };
        libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, listener, &raw mut event);
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 256];
        loop {
            let count = libc::epoll_wait(epoll, events.as_mut_ptr(), 256, -1);
            for event in events.iter().take(usize::try_from(count).unwrap_or(0)) {
                let fd = event.u64 as i32;
                if fd == listener {
                    accept(listener, epoll);
                } else {
                    serve(fd, &mut input, &mut out);
                }
            }
        }
    }
}

unsafe fn accept(listener: i32, epoll: i32) {
    loop {
        // SAFETY: null pointers ask for no address.
        let fd = unsafe {
            libc::accept4(listener, std::ptr::null_mut(), std::ptr::null_mut(), libc::SOCK_NONBLOCK)
        };
        if fd < 0 {
            return;
        }
        let events = (libc::EPOLLIN | libc::EPOLLET) as u32;
        let mut event = libc::epoll_event { events, u64: fd as u64 };
        // SAFETY: both descriptors are open.
        unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event) };
    }
}

unsafe fn serve(fd: i32, input: &mut [u8], out: &mut Vec<u8>) {
    // SAFETY: the length is that of the buffer.
    let len = unsafe { libc::recv(fd, input.as_mut_ptr().cast(), input.len(), 0) };
    if len == 0 || (len < 0 && std::io::Error::last_os_error().raw_os_error() != Some(libc::EAGAIN)) {
        // SAFETY: the descriptor is ours.
        unsafe { libc::close(fd) };
        return;
    }
    let input = &input[..usize::try_from(len).unwrap_or(0)];
    out.clear();
    if input.first() == Some(&b'P') {
        // The load sends head and body in one write.
        if let Some(body) = input.len().checked_sub(ECHO_LEN) {
            out.extend_from_slice(ECHO_HEAD);
            out.extend_from_slice(&input[body..]);
        }
    } else {
        for _ in 0..heads(input) {
            out.extend_from_slice(GREETING);
        }
    }
    if !out.is_empty() {
        // SAFETY: the length is that of the buffer.
        unsafe { libc::send(fd, out.as_ptr().cast(), out.len(), libc::MSG_NOSIGNAL) };
        // The load sends this field last. Searching the whole head for it would cost what the limit must not cost.
        if input.ends_with(b"Connection: close\r\n\r\n") {
            // SAFETY: the descriptor is ours.
            unsafe { libc::close(fd) };
        }
    }
}

fn heads(input: &[u8]) -> usize {
    let (mut count, mut rest) = (0, input);
    while let Some(at) = find(rest) {
        count += 1;
        rest = &rest[at + 4..];
    }
    count
}

fn find(rest: &[u8]) -> Option<usize> {
    // SAFETY: both lengths match their pointers.
    let found = unsafe { libc::memmem(rest.as_ptr().cast(), rest.len(), b"\r\n\r\n".as_ptr().cast(), 4) };
    (!found.is_null()).then(|| found as usize - rest.as_ptr() as usize)
}
