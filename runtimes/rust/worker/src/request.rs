//! Frames from the server.

use openruntimes::ContextRequest;
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The header of a frame.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Frame {
    Request(Request),
    Cancel,
    Load,
    Stop,
}

#[derive(Deserialize)]
pub(crate) struct Request {
    pub(crate) id: u64,
    method: String,
    scheme: String,
    host: String,
    port: u16,
    path: String,
    query: String,
    headers: HashMap<String, String>,
    timeout: f64,
    pub(crate) logging: bool,
}

impl Request {
    /// Returns when the call's time is over.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let seconds = Some(self.timeout).filter(|seconds| *seconds > 0.0);
        seconds.and_then(|seconds| Instant::now().checked_add(Duration::from_secs_f64(seconds)))
    }

    /// Returns the handler's request; `enforced` headers replace the caller's.
    pub(crate) fn into_context(
        mut self,
        body: Vec<u8>,
        enforced: &HashMap<String, String>,
    ) -> ContextRequest {
        let pairs = enforced.iter().map(|(name, value)| (name.clone(), value.clone()));
        self.headers.extend(pairs);
        let mut request = ContextRequest::new();
        request.url = self.url();
        request.query = parse_query(&self.query);
        request.headers = self.headers;
        request.method = self.method;
        request.scheme = self.scheme;
        request.host = self.host;
        request.port = self.port;
        request.path = self.path;
        request.query_string = self.query;
        request.set_body_binary(body);
        request
    }

    fn url(&self) -> String {
        let mut url = format!("{}://{}", self.scheme, self.host);
        if self.port != if self.scheme == "https" { 443 } else { 80 } {
            url += &format!(":{}", self.port);
        }
        url += &self.path;
        if !self.query.is_empty() {
            url += "?";
            url += &self.query;
        }
        url
    }
}

/// Returns the last value of each key, percent-decoded; a plus sign stays one.
fn parse_query(text: &str) -> HashMap<String, String> {
    let pairs = text.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs
        .filter(|(key, _)| !key.is_empty())
        .map(|(key, value)| (decode(key), decode(value)))
        .collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        let code = Some(more).filter(|_| *first == b'%').and_then(|more| more.get(..2));
        let digits = code.and_then(|code| std::str::from_utf8(code).ok());
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &more[2..];
            }
            None => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns the headers of a JSON object, none when the text is not one.
pub(crate) fn enforced_headers(text: &str) -> HashMap<String, String> {
    let values: HashMap<String, Value> = serde_json::from_str(text).unwrap_or_default();
    let pairs = values.into_iter().map(|(name, value)| match value {
        Value::String(text) => (name.to_lowercase(), text),
        other => (name.to_lowercase(), other.to_string()),
    });
    pairs.collect()
}
