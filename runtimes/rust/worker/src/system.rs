//! Calls of the system that Rust's library does not have.

use std::fs::File;
use std::os::raw::{c_int, c_short, c_ulong, c_void};
use std::os::unix::io::FromRawFd;

const CLOSE_ON_EXEC: c_int = 0o2000000;
const NON_BLOCKING: c_int = 0o4000;
const SET_DESCRIPTOR_FLAGS: c_int = 2;
const DUPLICATE_CLOSE_ON_EXEC: c_int = 1030;
const SET_STATUS_FLAGS: c_int = 4;
const DESCRIPTOR_CLOSE_ON_EXEC: c_int = 1;
const READABLE: c_short = 1;
const FOREVER: c_int = -1;
const SIGABRT: c_int = 6;
/// First descriptor of a copy: after standard input, output and error.
const FIRST_COPY: c_int = 3;

#[repr(C)]
struct Poll {
    descriptor: c_int,
    events: c_short,
    found: c_short,
}

extern "C" {
    fn pipe2(ends: *mut c_int, flags: c_int) -> c_int;
    fn dup2(from: c_int, to: c_int) -> c_int;
    fn fcntl(descriptor: c_int, command: c_int, ...) -> c_int;
    fn poll(polls: *mut Poll, count: c_ulong, milliseconds: c_int) -> c_int;
    fn atexit(run: extern "C" fn()) -> c_int;
    fn signal(number: c_int, run: extern "C" fn(c_int)) -> usize;
    #[link_name = "read"]
    fn read_bytes(descriptor: c_int, buffer: *mut c_void, count: usize) -> isize;
    #[link_name = "write"]
    fn write_bytes(descriptor: c_int, buffer: *const c_void, count: usize) -> isize;
    fn _exit(status: c_int) -> !;
}

/// Ends the process at once.
pub(crate) fn exit(status: i32) -> ! {
    unsafe { _exit(status) }
}

/// Runs `run` when the process ends by `std::process::exit`.
pub(crate) fn at_exit(run: extern "C" fn()) {
    unsafe { atexit(run) };
}

/// Runs `run` before the process is ended by `abort`, as when memory or a stack is used up. Only
/// system calls are safe in it.
pub(crate) fn before_abort(run: extern "C" fn(c_int)) {
    unsafe { signal(SIGABRT, run) };
}

/// Keeps a descriptor from child processes.
pub(crate) fn close_on_exec(descriptor: i32) {
    unsafe { fcntl(descriptor, SET_DESCRIPTOR_FLAGS, DESCRIPTOR_CLOSE_ON_EXEC) };
}

/// Puts a pipe into the place of `descriptor`. Returns its end for reading, which does not block,
/// and a copy of the descriptor as it was.
pub(crate) fn replace_by_pipe(descriptor: i32) -> (i32, i32) {
    let mut ends = [-1, -1];
    unsafe {
        let copy = fcntl(descriptor, DUPLICATE_CLOSE_ON_EXEC, FIRST_COPY);
        if pipe2(ends.as_mut_ptr(), CLOSE_ON_EXEC) != 0 {
            exit(1);
        }
        fcntl(ends[0], SET_STATUS_FLAGS, NON_BLOCKING);
        // The copy in the descriptor's place is inherited by children.
        dup2(ends[1], descriptor);
        drop(File::from_raw_fd(ends[1]));
        (ends[0], copy)
    }
}

/// Returns what one call reads without waiting, None when there is nothing.
pub(crate) fn read(descriptor: i32, buffer: &mut [u8]) -> Option<&[u8]> {
    let count = unsafe { read_bytes(descriptor, buffer.as_mut_ptr().cast(), buffer.len()) };
    match count > 0 {
        true => Some(&buffer[..count as usize]),
        false => None,
    }
}

pub(crate) fn write(descriptor: i32, bytes: &[u8]) {
    unsafe { write_bytes(descriptor, bytes.as_ptr().cast(), bytes.len()) };
}

/// Waits until one of two descriptors can be read.
pub(crate) fn wait_readable(descriptors: [i32; 2]) {
    let mut polls = descriptors.map(|descriptor| Poll { descriptor, events: READABLE, found: 0 });
    unsafe { poll(polls.as_mut_ptr(), polls.len() as c_ulong, FOREVER) };
}
