//! Reasons of panics: message, file and line.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};

thread_local! {
    /// Whether this thread runs a handler, and the reason of its panic.
    static HANDLER: Cell<bool> = Cell::new(false);
    static REASON: Cell<Option<String>> = Cell::new(None);
}

/// Keeps the reasons of panics of handlers. Those of the function's own threads are printed.
pub(crate) fn keep_reasons() {
    panic::set_hook(Box::new(|info| {
        let reason = info.to_string();
        match HANDLER.with(Cell::get) {
            true => REASON.with(|kept| kept.set(Some(reason))),
            false => eprintln!("{}", reason),
        }
    }));
}

/// Runs a handler; returns its result, or why it panicked.
pub(crate) fn catch<T>(handler: impl FnOnce() -> T) -> Result<T, String> {
    HANDLER.with(|running| running.set(true));
    let result = panic::catch_unwind(AssertUnwindSafe(handler));
    HANDLER.with(|running| running.set(false));
    result.map_err(|payload| {
        // The function may have given it a destructor.
        let _ = panic::catch_unwind(AssertUnwindSafe(|| drop(payload)));
        REASON.with(Cell::take).unwrap_or_default()
    })
}
