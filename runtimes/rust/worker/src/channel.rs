//! The connection to the server: frames of `u32 header length | u32 body length | header | body`,
//! big-endian.

use crate::{lock, system};
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::os::unix::io::FromRawFd;
use std::sync::Mutex;

const LENGTHS: usize = 8;
const READ_BYTES: usize = 64 * 1024;
/// Bytes of the buffer of waiting frames that is kept for the next ones.
const KEPT_BYTES: usize = 256 * 1024;

pub(crate) struct Channel {
    socket: &'static File,
    /// Frames that wait for the end of the batch.
    waiting: Mutex<Vec<u8>>,
}

/// Reads frames. The process ends with the stream.
pub(crate) struct Frames {
    reader: BufReader<&'static File>,
}

/// Header and body of a frame.
type Bytes = (Vec<u8>, Vec<u8>);

impl Channel {
    pub(crate) fn new(descriptor: i32) -> Self {
        system::close_on_exec(descriptor);
        let socket = unsafe { File::from_raw_fd(descriptor) };
        Channel { socket: Box::leak(Box::new(socket)), waiting: Mutex::default() }
    }

    pub(crate) fn frames(&self) -> Frames {
        Frames { reader: BufReader::with_capacity(READ_BYTES, self.socket) }
    }

    /// Adds a frame to those that the next `flush` writes.
    pub(crate) fn send(&self, header: &str, body: &[u8]) {
        add(&mut lock(&self.waiting), header, body);
    }

    /// Writes a frame, and those that wait, before it returns.
    pub(crate) fn send_now(&self, header: &str, body: &[u8]) {
        let mut waiting = lock(&self.waiting);
        add(&mut waiting, header, body);
        self.write(&mut waiting);
    }

    pub(crate) fn flush(&self) {
        self.write(&mut lock(&self.waiting));
    }

    fn write(&self, waiting: &mut Vec<u8>) {
        if waiting.is_empty() {
            return;
        }
        let mut socket = self.socket;
        if socket.write_all(waiting).is_err() {
            system::exit(0);
        }
        waiting.clear();
        waiting.shrink_to(KEPT_BYTES);
    }
}

fn add(waiting: &mut Vec<u8>, header: &str, body: &[u8]) {
    waiting.extend_from_slice(&(header.len() as u32).to_be_bytes());
    waiting.extend_from_slice(&(body.len() as u32).to_be_bytes());
    waiting.extend_from_slice(header.as_bytes());
    waiting.extend_from_slice(body);
}

impl Frames {
    /// Waits for a frame, and returns it with those that were read together with it.
    pub(crate) fn next_batch(&mut self) -> Vec<Bytes> {
        let mut batch = vec![self.next()];
        while self.holds_frame() {
            batch.push(self.next());
        }
        batch
    }

    fn next(&mut self) -> Bytes {
        let mut lengths = [0; LENGTHS];
        self.fill(&mut lengths);
        let (header_bytes, body_bytes) = sizes(&lengths);
        let mut header = vec![0; header_bytes];
        self.fill(&mut header);
        let mut body = vec![0; body_bytes];
        self.fill(&mut body);
        (header, body)
    }

    fn holds_frame(&self) -> bool {
        let buffer = self.reader.buffer();
        if buffer.len() < LENGTHS {
            return false;
        }
        let (header_bytes, body_bytes) = sizes(buffer);
        buffer.len() >= LENGTHS + header_bytes + body_bytes
    }

    fn fill(&mut self, buffer: &mut [u8]) {
        if self.reader.read_exact(buffer).is_err() {
            system::exit(0);
        }
    }
}

fn sizes(bytes: &[u8]) -> (usize, usize) {
    let number =
        |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    (number(0) as usize, number(4) as usize)
}
