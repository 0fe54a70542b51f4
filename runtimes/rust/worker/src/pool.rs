//! Threads that run calls. One thread is woken for a batch of calls; it wakes the next one while
//! calls are left, so that fast calls run on few threads and waiting ones on many.

use crate::call::Call;
use crate::request::Request;
use crate::{lock, Worker};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

/// A call, and the request that it answers.
pub(crate) type Job = (Arc<Call>, Request, Vec<u8>);

#[derive(Default)]
pub(crate) struct Pool {
    state: Mutex<State>,
    given: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    idle: usize,
    /// Whether a thread was woken or started that has not looked at the jobs yet.
    waking: bool,
}

impl Pool {
    pub(crate) fn run(&self, worker: &'static Worker, jobs: Vec<Job>) {
        let mut state = lock(&self.state);
        state.jobs.extend(jobs);
        self.wake(worker, &mut state);
    }

    fn wake(&self, worker: &'static Worker, state: &mut State) {
        if state.jobs.is_empty() || state.waking {
            return;
        }
        state.waking = true;
        if state.idle > 0 {
            self.given.notify_one();
        } else if thread::Builder::new().spawn(move || worker.pool.serve(worker)).is_err() {
            // The present threads go on.
            state.waking = false;
        }
    }

    /// Runs calls; never returns.
    fn serve(&self, worker: &'static Worker) {
        let mut state = lock(&self.state);
        state.waking = false;
        loop {
            if let Some((call, request, body)) = state.jobs.pop_front() {
                self.wake(worker, &mut state);
                let last = state.jobs.is_empty();
                drop(state);
                if last {
                    // The answers before this call's must not wait for it.
                    worker.channel.flush();
                }
                call.run(request, body);
                drop(call);
                state = lock(&self.state);
                continue;
            }
            drop(state);
            worker.channel.flush();
            state = lock(&self.state);
            if !state.jobs.is_empty() {
                continue;
            }
            state.idle += 1;
            state = self.given.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
            state.waking = false;
        }
    }
}
