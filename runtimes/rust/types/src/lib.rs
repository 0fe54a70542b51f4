//! The types of a function's handler:
//!
//! ```ignore
//! pub fn main(context: openruntimes::Context) -> openruntimes::Response
//! ```
//!
//! The crate has the public names of openruntimes-types-for-rust 1.0.2 by Open Runtimes. Builds put
//! it in that crate's place.

mod logger;
mod request;
mod response;

pub use logger::{format_log_message, LogMessage, Logger, LoggerType, Sink};
pub use request::ContextRequest;
pub use response::{ContextResponse, Response};

/// The handler's argument.
#[derive(Clone)]
pub struct Context {
    pub req: ContextRequest,
    pub res: ContextResponse,
    logger: Logger,
}

impl Context {
    /// Returns a context whose logs go to a logger.
    pub fn new(logger: Logger) -> Self {
        Context { req: ContextRequest::new(), res: ContextResponse::new(), logger }
    }

    /// Writes one line to the execution's logs.
    pub fn log<T: LogMessage>(&self, message: T) {
        self.log_multiple(vec![message.to_log_string()]);
    }

    /// Writes one line of several messages, with blanks between them.
    pub fn log_multiple(&self, messages: Vec<String>) {
        self.logger.write(messages, LoggerType::Log, false);
    }

    /// Writes one line to the execution's errors.
    pub fn error<T: LogMessage>(&self, message: T) {
        self.error_multiple(vec![message.to_log_string()]);
    }

    /// Writes one line of several messages to the errors.
    pub fn error_multiple(&self, messages: Vec<String>) {
        self.logger.write(messages, LoggerType::Error, false);
    }

    pub fn get_logger(&self) -> &Logger {
        &self.logger
    }

    pub fn get_logger_mut(&mut self) -> &mut Logger {
        &mut self.logger
    }
}
