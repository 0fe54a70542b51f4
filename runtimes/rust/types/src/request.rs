use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// The request. Path and query string are raw, the values of `query` are percent-decoded.
#[derive(Clone, Debug)]
pub struct ContextRequest {
    /// Lower-case names and their values.
    pub headers: HashMap<String, String>,
    pub method: String,
    pub url: String,
    pub scheme: String,
    pub host: String,
    pub port: u16,
    pub path: String,
    pub query_string: String,
    /// Holds the last value of a repeated key.
    pub query: HashMap<String, String>,
    body_binary: Vec<u8>,
    body_parsed: Option<Value>,
}

impl ContextRequest {
    pub fn new() -> Self {
        ContextRequest {
            headers: HashMap::new(),
            method: String::new(),
            url: String::new(),
            scheme: String::new(),
            host: String::new(),
            port: 80,
            path: String::new(),
            query_string: String::new(),
            query: HashMap::new(),
            body_binary: Vec::new(),
            body_parsed: None,
        }
    }

    pub fn set_body_binary(&mut self, data: Vec<u8>) {
        self.body_binary = data;
        self.body_parsed = None;
    }

    /// Returns a copy of the body.
    pub fn body_binary(&self) -> Vec<u8> {
        self.body_binary.clone()
    }

    /// Returns the body as text; what is not UTF-8 is replaced.
    pub fn body_text(&self) -> String {
        String::from_utf8_lossy(&self.body_binary).into_owned()
    }

    /// Returns the body decoded from JSON, whatever its content type.
    pub fn body_json<T: DeserializeOwned>(&mut self) -> Result<T, serde_json::Error> {
        serde_json::from_value(self.parsed()?.clone())
    }

    /// Returns a JSON body decoded, an empty object when that fails, and any other body as text.
    pub fn body(&mut self) -> Value {
        let content_type = self.headers.get("content-type").map(|text| text.to_lowercase());
        if !content_type.unwrap_or_default().starts_with("application/json") {
            return Value::String(self.body_text());
        }
        self.parsed().cloned().unwrap_or_else(|_| Value::Object(Map::new()))
    }

    #[deprecated(note = "Use body_binary() instead")]
    pub fn body_raw(&self) -> Vec<u8> {
        self.body_binary()
    }

    fn parsed(&mut self) -> Result<&Value, serde_json::Error> {
        if self.body_parsed.is_none() {
            self.body_parsed = Some(serde_json::from_slice(&self.body_binary)?);
        }
        Ok(self.body_parsed.as_ref().unwrap_or(&Value::Null))
    }
}

impl Default for ContextRequest {
    fn default() -> Self {
        Self::new()
    }
}
