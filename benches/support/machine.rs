//! CPU cores and child processes, and what the kernel reports about them.

use std::ffi::CString;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// One core for the load and the prober, one for the server.
pub(crate) const OUR_CORE: usize = 0;
pub(crate) const CHILD_CORE: usize = 1;

pub(crate) fn describe() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split(": ").nth(1));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // All cores of the machine, not only those this process may use.
    let cores = cpu
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    format!(
        "{}, {cores} cores, Linux {}",
        model.unwrap_or("unknown processor"),
        kernel.trim()
    )
}

/// How many threads wanted a processor in the last minute, of the whole machine.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

pub(crate) fn date() -> String {
    let output = std::process::Command::new("date")
        .args(["-u", "+%Y-%m-%d %H:%M UTC"])
        .output();
    output.map_or_else(
        |_| "?".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

/// Pins the calling thread to a core.
pub(crate) fn pin(core: usize) {
    // SAFETY: a zeroed set is empty, and the size is that of the set.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
    }
}

/// Lets the calling thread run when nothing else wants its core.
pub(crate) fn run_only_when_idle() {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the structure is read before the call returns.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) };
    assert_eq!(result, 0, "any thread may give up its priority");
}

/// CPU time of the calling thread.
pub(crate) fn own_cpu() -> Duration {
    time_of(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// The clocks of the CPU time of a process and of its children.
pub(crate) fn cpu_clocks(pid: i32) -> Vec<libc::clockid_t> {
    let clock_of = |pid| {
        let mut clock = 0;
        // SAFETY: the call writes to a variable of ours.
        let result = unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) };
        (result == 0).then_some(clock)
    };
    family(pid).into_iter().filter_map(clock_of).collect()
}

/// What a clock says; zero if its process has ended.
pub(crate) fn time_of(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call writes to a variable of ours.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A started program. Killed on drop.
pub(crate) struct Child {
    pub(crate) pid: i32,
    pub(crate) started_at: Instant,
    is_over: bool,
}

/// What a child cost over its life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) cpu: Duration,
    pub(crate) minor_faults: i64,
    pub(crate) major_faults: i64,
    /// Bytes read from disk.
    pub(crate) read_len: i64,
}

struct Exec {
    path: CString,
    arguments: Vec<*const libc::c_char>,
    environment: [*const libc::c_char; 2],
    output: i32,
}

/// Runs between `clone` and `exec` in the parent's memory, on a stack of its own, so it makes system calls and
/// nothing else.
extern "C" fn become_program(exec: *mut libc::c_void) -> libc::c_int {
    // SAFETY: the parent waits and keeps the pointed-to values alive.
    unsafe {
        let exec = &*exec.cast::<Exec>();
        pin(CHILD_CORE);
        libc::dup2(exec.output, 1);
        libc::dup2(exec.output, 2);
        libc::execve(
            exec.path.as_ptr(),
            exec.arguments.as_ptr(),
            exec.environment.as_ptr(),
        );
        libc::_exit(127)
    }
}

impl Child {
    /// Starts a program on its core with `CLONE_VFORK`, the cheapest way, so that the time measured is the
    /// program's own.
    pub(crate) fn start(path: &Path, arguments: &[String], port: u16) -> Self {
        let c_string = |text: &str| CString::new(text).expect("no NUL in a path");
        let texts: Vec<CString> = arguments.iter().map(|text| c_string(text)).collect();
        let path = c_string(&path.to_string_lossy());
        let mut pointers = vec![path.as_ptr()];
        pointers.extend(texts.iter().map(|text| text.as_ptr()));
        pointers.push(std::ptr::null());
        let variable = c_string(&format!("PORT={port}"));
        let null = fs::OpenOptions::new()
            .write(true)
            .open("/dev/null")
            .expect("/dev/null can be opened");
        let output = std::os::fd::AsRawFd::as_raw_fd(&null);
        let mut exec = Exec {
            path,
            arguments: pointers,
            environment: [variable.as_ptr(), std::ptr::null()],
            output,
        };
        let mut stack = vec![0_u8; 64 * 1024];
        let started_at = Instant::now();
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        // SAFETY: with CLONE_VFORK this thread sleeps until the child has left our memory and this stack.
        let pid = unsafe {
            let top = stack.as_mut_ptr().add(stack.len() - 16).cast();
            libc::clone(become_program, top, flags, (&raw mut exec).cast())
        };
        assert!(pid > 0, "clone failed");
        Self {
            pid,
            started_at,
            is_over: false,
        }
    }

    /// Kills the child and returns what it cost.
    pub(crate) fn end(mut self) -> Cost {
        self.is_over = true;
        // SAFETY: the process is our child and has not been waited for.
        let usage = unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            let mut usage: libc::rusage = std::mem::zeroed();
            libc::wait4(self.pid, std::ptr::null_mut(), 0, &raw mut usage);
            usage
        };
        let time = |value: libc::timeval| {
            Duration::from_micros((value.tv_sec * 1_000_000 + value.tv_usec) as u64)
        };
        Cost {
            cpu: time(usage.ru_utime) + time(usage.ru_stime),
            minor_faults: usage.ru_minflt,
            major_faults: usage.ru_majflt,
            // getrusage(2) counts blocks of 512 bytes on every file system.
            read_len: usage.ru_inblock * 512,
        }
    }

    /// CPU time so far of all threads and child processes (nginx works in a child).
    pub(crate) fn cpu(&self) -> Duration {
        family(self.pid).iter().map(|pid| cpu_of(*pid)).sum()
    }

    /// Private resident memory in bytes. Pages shared with the page cache do not count.
    pub(crate) fn memory(&self) -> u64 {
        family(self.pid).iter().map(|pid| anonymous_of(*pid)).sum()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.is_over {
            // SAFETY: the process is our child and has not been waited for.
            unsafe {
                libc::kill(self.pid, libc::SIGKILL);
                libc::waitpid(self.pid, std::ptr::null_mut(), 0);
            }
        }
    }
}

fn family(pid: i32) -> Vec<i32> {
    let children =
        fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    std::iter::once(pid)
        .chain(
            children
                .split_whitespace()
                .filter_map(|child| child.parse().ok()),
        )
        .collect()
}

/// Nanoseconds of CPU time over all threads, from the scheduler's own count.
fn cpu_of(pid: i32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let of_thread = |thread: fs::DirEntry| {
        let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        text.split(' ')
            .next()
            .and_then(|field| field.parse::<u64>().ok())
            .unwrap_or(0)
    };
    Duration::from_nanos(threads.map(of_thread).sum())
}

fn anonymous_of(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .unwrap_or("0 kB");
    line.split_whitespace()
        .next()
        .and_then(|field| field.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

/// Drops a file's pages from the page cache.
pub(crate) fn forget_file(path: &Path) {
    let Ok(file) = fs::File::open(path) else {
        return;
    };
    // SAFETY: the descriptor is open.
    unsafe {
        libc::fsync(std::os::fd::AsRawFd::as_raw_fd(&file));
        libc::posix_fadvise(
            std::os::fd::AsRawFd::as_raw_fd(&file),
            0,
            0,
            libc::POSIX_FADV_DONTNEED,
        );
    }
}

/// Raises the descriptor limit for us and our children.
pub(crate) fn allow_descriptors() {
    // SAFETY: the structure outlives the calls.
    unsafe {
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max.min(100_000);
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
    }
}
