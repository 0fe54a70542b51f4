//! One request in flight.

use crate::request::Request;
use crate::{lock, panics, printed, response, Worker};
use openruntimes::{Context, Logger, LoggerType, Response};
use std::sync::{Arc, Mutex};
use std::time::Instant;

const TIMED_OUT: &str = "Execution timed out.";

pub(crate) struct Call {
    pub(crate) id: u64,
    pub(crate) deadline: Option<Instant>,
    pub(crate) worker: &'static Worker,
    logging: bool,
    lines: Arc<Lines>,
    /// Logs what is printed during the call, and why it failed.
    logger: Logger,
}

/// The log lines of a call that was not answered yet.
struct Lines {
    id: u64,
    worker: &'static Worker,
    answered: Mutex<bool>,
}

impl Call {
    pub(crate) fn new(worker: &'static Worker, request: &Request) -> Self {
        let (id, logging) = (request.id, request.logging);
        let lines = Arc::new(Lines { id, worker, answered: Mutex::new(false) });
        let own_lines = Arc::clone(&lines);
        let sink = Arc::new(move |line, stream| own_lines.send(line, stream));
        let logger = Logger::to(id.to_string(), logging, sink);
        Call { id, deadline: request.deadline(), worker, logging, lines, logger }
    }

    /// Runs the handler and answers.
    pub(crate) fn run(self: &Arc<Self>, request: Request, body: Vec<u8>) {
        let call = Arc::clone(self);
        let sink = move |line, stream| {
            printed::flush();
            call.end_printed();
            call.lines.send(line, stream);
        };
        let logger = Logger::to(self.id.to_string(), self.logging, Arc::new(sink));
        let mut context = Context::new(logger);
        context.req = request.into_context(body, &self.worker.enforced);
        let handler = self.worker.handler;
        let result = panics::catch(|| handler(context));
        printed::flush();
        match result {
            Ok(response) => self.finish(response),
            Err(reason) => self.fail(reason),
        }
    }

    fn finish(&self, response: Response) {
        match response::read(&response) {
            Ok((status, headers)) => self.answer(status, &headers, &response.body, ""),
            Err(reason) => self.fail(reason),
        }
    }

    fn fail(&self, reason: String) {
        self.end_printed();
        self.logger.write(vec![reason], LoggerType::Error, false);
        self.answer(500, "[]", b"", "");
    }

    /// Answers for the handler, whose thread cannot be stopped.
    pub(crate) fn time_out(&self) {
        self.end_printed();
        self.logger.write(vec![TIMED_OUT.to_string()], LoggerType::Error, false);
        self.answer(500, "[]", b"", r#","failure":"timeout","stuck":true"#);
        self.worker.channel.flush();
    }

    /// Logs one line of what the function prints.
    pub(crate) fn print(&self, line: String, stream: LoggerType) {
        self.logger.write(vec![line], stream, true);
    }

    /// Logs all that was printed before, with the last line of this call.
    fn end_printed(&self) {
        self.worker.printed.end_lines(self.worker, Some(self.id));
    }

    /// Answers once; `more` has further members of the frame's header.
    fn answer(&self, status: u16, headers: &str, body: &[u8], more: &str) {
        self.end_printed();
        let header = format!(
            r#"{{"type":"response","id":{},"statusCode":{},"headers":{}{}}}"#,
            self.id, status, headers, more
        );
        let mut answered = lock(&self.lines.answered);
        if !*answered {
            *answered = true;
            self.worker.channel.send(&header, body);
            drop(answered);
            self.worker.calls.remove(self);
        }
    }
}

impl Lines {
    fn send(&self, line: String, stream: LoggerType) {
        let name = match stream {
            LoggerType::Log => "logs",
            LoggerType::Error => "errors",
        };
        let header = format!(r#"{{"type":"log","id":{},"stream":"{}"}}"#, self.id, name);
        let answered = lock(&self.answered);
        if !*answered {
            self.worker.channel.send_now(&header, (line + "\n").as_bytes());
        }
    }
}
