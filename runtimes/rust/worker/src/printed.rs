//! What the function prints, as log lines. All calls print to the same descriptors: while several
//! are in flight, a line counts for the one that began last.

use crate::call::Call;
use crate::{lock, system, Worker};
use openruntimes::LoggerType;
use std::io::Write;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

const READ_BYTES: usize = 16 * 1024;
/// Bytes that are kept of a line that has no end yet: more than the logs show.
const LINE_BYTES: usize = 64 * 1024;
const FOLLOWER_STACK_BYTES: usize = 256 * 1024;
const ABORT_BYTES: usize = 512;

pub(crate) struct Printed {
    /// Standard output and error, in this order.
    pipes: [i32; 2],
    state: Mutex<State>,
}

struct State {
    streams: [Stream; 2],
    buffer: Vec<u8>,
}

struct Stream {
    kind: LoggerType,
    pipe: i32,
    /// A copy of the descriptor that the pipe replaces, for what is printed outside of calls.
    original: i32,
    /// The beginning of a line, and its call.
    line: Vec<u8>,
    owner: Option<Arc<Call>>,
}

/// For the functions that the system calls at the end of the process.
static WORKER: AtomicPtr<Worker> = AtomicPtr::new(std::ptr::null_mut());
static ERRORS: [AtomicI32; 2] = [AtomicI32::new(-1), AtomicI32::new(-1)];

impl Printed {
    /// Puts pipes into the place of standard output and error.
    pub(crate) fn capture() -> Self {
        let streams = [(1, LoggerType::Log), (2, LoggerType::Error)].map(|(descriptor, kind)| {
            let (pipe, original) = system::replace_by_pipe(descriptor);
            Stream { kind, pipe, original, line: Vec::new(), owner: None }
        });
        ERRORS[0].store(streams[1].pipe, Ordering::Relaxed);
        ERRORS[1].store(streams[1].original, Ordering::Relaxed);
        system::before_abort(tell_rest);
        Printed {
            pipes: [streams[0].pipe, streams[1].pipe],
            state: Mutex::new(State { streams, buffer: vec![0; READ_BYTES] }),
        }
    }

    /// Starts the thread that logs lines as they are printed.
    pub(crate) fn follow(&self, worker: &'static Worker) {
        WORKER.store(worker as *const Worker as *mut Worker, Ordering::Relaxed);
        system::at_exit(log_rest);
        let pipes = self.pipes;
        let follower = thread::Builder::new().stack_size(FOLLOWER_STACK_BYTES);
        let run = move || loop {
            system::wait_readable(pipes);
            lock(&worker.printed.state).drain(worker);
        };
        if let Err(error) = follower.spawn(run) {
            fail(&format!("No thread for printed output: {}", error));
        }
    }

    /// Logs what was printed until now, with the unfinished lines of one call, None for all calls.
    pub(crate) fn end_lines(&self, worker: &'static Worker, call: Option<u64>) {
        let mut state = lock(&self.state);
        state.drain(worker);
        for stream in &mut state.streams {
            let id = stream.owner.as_ref().map(|owner| owner.id);
            if id.is_some() && (call.is_none() || call == id) {
                stream.end_line();
            }
        }
    }
}

/// Writes the beginning of a line that Rust keeps until its end. Only on the thread of a handler,
/// which may have locked standard output for longer than its deadline.
pub(crate) fn flush() {
    let _ = std::io::stdout().flush();
}

impl State {
    fn drain(&mut self, worker: &'static Worker) {
        for stream in &mut self.streams {
            while let Some(text) = system::read(stream.pipe, &mut self.buffer) {
                stream.take(text, worker);
            }
        }
    }
}

impl Stream {
    fn take(&mut self, text: &[u8], worker: &'static Worker) {
        for part in text.split_inclusive(|byte| *byte == b'\n') {
            if self.owner.is_none() {
                self.owner = worker.calls.newest();
            }
            if self.owner.is_none() {
                system::write(self.original, part);
                continue;
            }
            let (line, ended) = match part.strip_suffix(b"\n") {
                Some(line) => (line, true),
                None => (part, false),
            };
            if self.line.len() < LINE_BYTES {
                self.line.extend_from_slice(line);
            }
            if ended {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        if let Some(call) = self.owner.take() {
            call.print(String::from_utf8_lossy(&self.line).into_owned(), self.kind);
        }
        self.line.clear();
    }
}

/// Ends the process; the server reports the reason.
pub(crate) fn fail(reason: &str) -> ! {
    system::write(ERRORS[1].load(Ordering::Relaxed), format!("{}\n", reason).as_bytes());
    system::exit(1)
}

/// Logs the last words of a function that calls `std::process::exit`.
extern "C" fn log_rest() {
    // The worker is never freed.
    if let Some(worker) = unsafe { WORKER.load(Ordering::Relaxed).as_ref() } {
        worker.printed.end_lines(worker, None);
    }
}

/// Lets the server know why the process is aborted: the reason is in the pipe, its beginning perhaps
/// in the line that the follower has read.
extern "C" fn tell_rest(_signal: i32) {
    let [pipe, original] = [&ERRORS[0], &ERRORS[1]].map(|one| one.load(Ordering::Relaxed));
    let worker = unsafe { WORKER.load(Ordering::Relaxed).as_ref() };
    if let Some(Ok(state)) = worker.map(|worker| worker.printed.state.try_lock()) {
        system::write(original, &state.streams[1].line);
    }
    let mut buffer = [0; ABORT_BYTES];
    while let Some(text) = system::read(pipe, &mut buffer) {
        system::write(original, text);
    }
}
