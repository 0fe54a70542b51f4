//! The calls in flight, and their deadlines.

use crate::call::Call;
use crate::{lock, printed, system, Worker};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long the watcher sleeps without deadlines.
const LONG: Duration = Duration::from_secs(3600);
const WATCHER_STACK_BYTES: usize = 256 * 1024;

#[derive(Default)]
pub(crate) struct Calls {
    state: Mutex<State>,
    /// Told when a deadline comes before the watcher's next look.
    earlier: Condvar,
}

#[derive(Default)]
struct State {
    by_id: BTreeMap<u64, Arc<Call>>,
    deadlines: BTreeSet<(Instant, u64)>,
    /// When the watcher looks again, None while it does not sleep.
    next_look: Option<Instant>,
    stopping: bool,
}

impl Calls {
    pub(crate) fn add(&self, call: &Arc<Call>) {
        let mut state = lock(&self.state);
        state.by_id.insert(call.id, Arc::clone(call));
        if let Some(deadline) = call.deadline {
            state.deadlines.insert((deadline, call.id));
            if state.next_look.map_or(false, |look| deadline < look) {
                self.earlier.notify_one();
            }
        }
    }

    pub(crate) fn remove(&self, call: &Call) {
        let mut state = lock(&self.state);
        state.by_id.remove(&call.id);
        if let Some(deadline) = call.deadline {
            state.deadlines.remove(&(deadline, call.id));
        }
        if state.stopping && state.by_id.is_empty() {
            call.worker.channel.flush();
            system::exit(0);
        }
    }

    /// Returns the call that began last.
    pub(crate) fn newest(&self) -> Option<Arc<Call>> {
        lock(&self.state).by_id.values().next_back().map(Arc::clone)
    }

    /// Ends the process after the last answer.
    pub(crate) fn stop(&self) {
        let mut state = lock(&self.state);
        state.stopping = true;
        if state.by_id.is_empty() {
            system::exit(0);
        }
    }

    /// Answers calls whose time has passed; never returns.
    fn watch(&self) {
        let mut state = lock(&self.state);
        loop {
            let now = Instant::now();
            let first = state.deadlines.iter().next().copied();
            if let Some((deadline, id)) = first.filter(|(deadline, _)| *deadline <= now) {
                state.deadlines.remove(&(deadline, id));
                let late = state.by_id.get(&id).map(Arc::clone);
                drop(state);
                if let Some(call) = late {
                    call.time_out();
                }
                state = lock(&self.state);
                continue;
            }
            let look = first.map_or(now + LONG, |(deadline, _)| deadline);
            state.next_look = Some(look);
            let (locked, _) = self
                .earlier
                .wait_timeout(state, look - now)
                .unwrap_or_else(PoisonError::into_inner);
            state = locked;
            state.next_look = None;
        }
    }
}

/// Starts the thread that answers calls whose time has passed.
pub(crate) fn watch(worker: &'static Worker) {
    let watcher = thread::Builder::new().stack_size(WATCHER_STACK_BYTES);
    if let Err(error) = watcher.spawn(move || worker.calls.watch()) {
        printed::fail(&format!("No thread for deadlines: {}", error));
    }
}
