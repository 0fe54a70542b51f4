//! A function to begin from: `/ping` answers `Pong`, any other path answers with what was asked.

use openruntimes::{Context, Response};
use serde_json::json;

pub fn main(context: Context) -> Response {
    let req = &context.req;
    if req.path == "/ping" {
        return context.res.text("Pong", None, None);
    }
    context.log(format!("asked for {}", req.path));
    let answer = json!({
        "message": "It works. Now change it.",
        "method": req.method,
        "path": req.path,
    });
    context.res.json(answer, None, None)
}
