use serde::Serialize;
use std::collections::HashMap;

/// The handler's result. A status code of 0 means 200.
#[derive(Clone, Debug)]
pub struct Response {
    pub status_code: u16,
    pub body: Vec<u8>,
    /// Names and values; `set-cookie` may have several cookies, one a line.
    pub headers: HashMap<String, String>,
}

impl Response {
    pub fn new() -> Self {
        respond(Vec::new(), Some(200), None)
    }
}

impl Default for Response {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes responses. Only the one that the handler returns is sent.
#[derive(Clone, Default)]
pub struct ContextResponse;

type Headers = Option<HashMap<String, String>>;

impl ContextResponse {
    pub fn new() -> Self {
        ContextResponse
    }

    /// Responds with text.
    pub fn text<S: Into<String>>(
        &self,
        text: S,
        status_code: Option<u16>,
        headers: Headers,
    ) -> Response {
        respond(text.into().into_bytes(), status_code, headers)
    }

    /// Responds with a value as JSON.
    pub fn json<T: Serialize>(
        &self,
        data: T,
        status_code: Option<u16>,
        headers: Headers,
    ) -> Response {
        let body = serde_json::to_vec(&data).unwrap_or_else(|_| b"{}".to_vec());
        let mut response = respond(body, status_code, headers);
        response.set_header("content-type", "application/json".to_string());
        response
    }

    /// Responds with bytes, of the type `application/octet-stream` when the headers have none.
    pub fn binary(&self, data: Vec<u8>, status_code: Option<u16>, headers: Headers) -> Response {
        let mut response = respond(data, status_code, headers);
        if !response.headers.keys().any(|name| name.eq_ignore_ascii_case("content-type")) {
            response.set_header("content-type", "application/octet-stream".to_string());
        }
        response
    }

    /// Responds with status 204 and no body.
    pub fn empty(&self) -> Response {
        respond(Vec::new(), Some(204), None)
    }

    /// Responds with a location, and status 301 when none is given.
    pub fn redirect<S: Into<String>>(
        &self,
        url: S,
        status_code: Option<u16>,
        headers: Headers,
    ) -> Response {
        let mut response = respond(Vec::new(), status_code.or(Some(301)), headers);
        response.set_header("location", url.into());
        response
    }

    #[deprecated(note = "Use text(), json(), or binary() instead")]
    pub fn send<S: Into<String>>(&self, data: S) -> Response {
        self.text(data, None, None)
    }
}

impl Response {
    /// Sets a header in place of those of the same name, in any case of letters.
    fn set_header(&mut self, name: &str, value: String) {
        self.headers.retain(|other, _| !other.eq_ignore_ascii_case(name));
        self.headers.insert(name.to_string(), value);
    }
}

fn respond(body: Vec<u8>, status_code: Option<u16>, headers: Headers) -> Response {
    Response { status_code: status_code.unwrap_or(200), body, headers: headers.unwrap_or_default() }
}
