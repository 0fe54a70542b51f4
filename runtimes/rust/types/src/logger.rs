use serde_json::Value;
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Most characters of a line.
const LINE_LIMIT: usize = 8000;
const TRUNCATED: &str = "... Log truncated due to size limit (8000 characters)";
const NATIVE_NOTICE: &str =
    "Native logs detected. Use context.log() or context.error() for better experience.";

/// A value that can be logged.
pub trait LogMessage {
    fn to_log_string(&self) -> String;
}

macro_rules! displayed {
    ($($kind:ty),*) => {
        $(impl LogMessage for $kind {
            fn to_log_string(&self) -> String {
                self.to_string()
            }
        })*
    };
}

displayed!(&str, String, i32, i64, u32, u64, f32, f64, bool, Value);

impl LogMessage for Vec<&str> {
    fn to_log_string(&self) -> String {
        Value::from(self.clone()).to_string()
    }
}

impl LogMessage for Vec<String> {
    fn to_log_string(&self) -> String {
        Value::from(self.clone()).to_string()
    }
}

/// Returns a value as `{:?}` shows it.
pub fn format_log_message(value: &dyn Debug) -> String {
    format!("{:?}", value)
}

/// The stream of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoggerType {
    Log,
    Error,
}

/// Takes each line of a logger, without a newline.
pub type Sink = Arc<dyn Fn(String, LoggerType) + Send + Sync>;

/// Writes the lines of one execution.
#[derive(Clone)]
pub struct Logger {
    pub id: String,
    enabled: bool,
    sink: Option<Sink>,
    native_announced: Arc<AtomicBool>,
}

impl Logger {
    /// Returns a logger that prints. It is enabled when `logging` is "" or "enabled".
    pub fn new(logging: &str, log_id: Option<String>) -> Result<Self, String> {
        let development = std::env::var("OPEN_RUNTIMES_ENV").as_deref() == Ok("development");
        let id = log_id.unwrap_or_else(|| match development {
            true => "dev".to_string(),
            false => generate_id(),
        });
        let enabled = logging.is_empty() || logging == "enabled";
        Ok(Logger::of(id, enabled, None))
    }

    /// Returns a logger whose lines a worker takes.
    #[doc(hidden)]
    pub fn to(id: String, enabled: bool, sink: Sink) -> Self {
        Logger::of(id, enabled, Some(sink))
    }

    fn of(id: String, enabled: bool, sink: Option<Sink>) -> Self {
        let native_announced = Arc::new(AtomicBool::new(false));
        Logger { id, enabled, sink, native_announced }
    }

    /// Writes one line; with `native`, a notice comes before the first.
    pub fn write(&self, messages: Vec<String>, log_type: LoggerType, native: bool) {
        if !self.enabled {
            return;
        }
        if native && !self.native_announced.swap(true, Ordering::Relaxed) {
            self.put(NATIVE_NOTICE.to_string(), log_type);
        }
        self.put(truncate(messages.join(" ")), log_type);
    }

    /// Does nothing, because the worker captures what is printed.
    pub fn override_native_logs(&mut self) {}

    /// Does nothing.
    pub fn revert_native_logs(&mut self) {}

    /// Does nothing, because each line is written at once.
    pub fn end(&self) {}

    fn put(&self, line: String, log_type: LoggerType) {
        match (&self.sink, log_type) {
            (Some(sink), _) => sink(line, log_type),
            (None, LoggerType::Log) => println!("{}", line),
            (None, LoggerType::Error) => eprintln!("{}", line),
        }
    }
}

fn truncate(mut line: String) -> String {
    if line.len() > LINE_LIMIT {
        if let Some((end, _)) = line.char_indices().nth(LINE_LIMIT) {
            line.truncate(end);
            line.push_str(TRUNCATED);
        }
    }
    line
}

/// Returns an id of 20 digits.
fn generate_id() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let nanoseconds = u64::from(now.subsec_nanos());
    format!("{:08x}{:012x}", now.as_secs(), nanoseconds << 16 | u64::from(std::process::id()))
}
