//! Runs a handler: reads requests from the inherited socket and answers. Each call has a thread.

mod call;
mod calls;
mod channel;
mod panics;
mod pool;
mod printed;
mod request;
mod response;
mod system;

use call::Call;
use calls::Calls;
use channel::Channel;
use openruntimes::{Context, Response};
use pool::Pool;
use printed::Printed;
use request::Frame;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The function.
pub type Handler = fn(Context) -> Response;

const READY: &str = r#"{"type":"ready","protocol":1,"concurrency":0}"#;

/// One process and its calls in flight.
struct Worker {
    channel: Channel,
    handler: Handler,
    /// Headers that replace the callers'.
    enforced: HashMap<String, String>,
    calls: Calls,
    pool: Pool,
    printed: Printed,
}

/// Runs the handler until the server stops the process.
pub fn serve(handler: Handler) -> ! {
    let channel = Channel::new(take_socket());
    let headers = std::env::var("OPEN_RUNTIMES_HEADERS").unwrap_or_default();
    let worker: &'static Worker = Box::leak(Box::new(Worker {
        channel,
        handler,
        enforced: request::enforced_headers(&headers),
        calls: Calls::default(),
        pool: Pool::default(),
        printed: Printed::capture(),
    }));
    worker.printed.follow(worker);
    panics::keep_reasons();
    calls::watch(worker);
    worker.channel.send_now(READY, b"");
    worker.read()
}

impl Worker {
    fn read(&'static self) -> ! {
        let mut frames = self.channel.frames();
        loop {
            let mut jobs = Vec::new();
            let mut stopping = false;
            for (header, body) in frames.next_batch() {
                match serde_json::from_slice(&header) {
                    Ok(Frame::Request(request)) => {
                        let call = Arc::new(Call::new(self, &request));
                        self.calls.add(&call);
                        jobs.push((call, request, body));
                    }
                    Ok(Frame::Stop) => stopping = true,
                    // A call cannot be stopped. It answers when its handler returns.
                    Ok(Frame::Cancel | Frame::Load) => (),
                    Err(error) => printed::fail(&format!("Bad frame of the server: {}", error)),
                }
            }
            self.pool.run(self, jobs);
            if stopping {
                self.calls.stop();
            }
        }
    }
}

/// Removes the server's variables and returns the descriptor that they name.
fn take_socket() -> i32 {
    let socket = std::env::var("MINIFN_SOCKET").unwrap_or_default();
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MINIFN_") {
            std::env::remove_var(name);
        }
    }
    match socket.trim_start_matches("fd:").parse() {
        Ok(descriptor) => descriptor,
        Err(_) => system::exit(1),
    }
}

/// Locks a mutex whose data stays whole when a thread panics.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
