//! The meaning of a handler's response.

use openruntimes::Response;

const BODY_LIMIT: usize = 20 * 1024 * 1024;
const HEADERS_MAX: usize = 1000;
/// Most bytes of headers in a frame's header, which has a limit of 1 MiB.
const HEADERS_LIMIT: usize = 1024 * 1024 - 1024;

/// Returns the status code, and the headers as the JSON pairs of a frame; else a message for the
/// function's author. The server drops headers that HTTP does not allow.
pub(crate) fn read(response: &Response) -> Result<(u16, String), String> {
    let status = if response.status_code == 0 { 200 } else { response.status_code };
    if !(100..=999).contains(&status) {
        return Err(format!("The response's status code {} is not between 100 and 999.", status));
    }
    let bytes = response.body.len();
    if bytes > BODY_LIMIT {
        let limit = BODY_LIMIT;
        return Err(format!("The response's body has {} bytes, the limit is {}.", bytes, limit));
    }
    Ok((status, read_headers(response)?))
}

fn read_headers(response: &Response) -> Result<String, String> {
    let mut pairs = Vec::new();
    for (name, value) in &response.headers {
        if name.eq_ignore_ascii_case("set-cookie") {
            pairs.extend(value.split('\n').map(|cookie| (name.as_str(), cookie)));
        } else {
            pairs.push((name.as_str(), value.as_str()));
        }
    }
    if pairs.len() > HEADERS_MAX {
        let count = pairs.len();
        return Err(format!("The response has {} headers, the limit is {}.", count, HEADERS_MAX));
    }
    // The server remembers headers that it has read before.
    pairs.sort();
    let json = serde_json::to_string(&pairs).unwrap_or_default();
    if json.len() > HEADERS_LIMIT {
        let (bytes, limit) = (json.len(), HEADERS_LIMIT);
        return Err(format!(
            "The response's headers have {} bytes, the limit is {}.",
            bytes, limit
        ));
    }
    Ok(json)
}
