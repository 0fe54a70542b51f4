use crate::beside;
use openruntimes::{Context, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::HashMap;
use std::fs::read_to_string;
use std::process::{Command, Stdio};

#[derive(Deserialize, Serialize)]
struct Parsed {
    a: String,
}

pub fn answer(path: &str, mut context: Context) -> Response {
    let res = context.res.clone();
    match path {
        "/body-json" => match context.req.body_json::<Parsed>() {
            Ok(parsed) => res.json(json!({"parsed": parsed}), None, None),
            Err(error) => panic!("the body is no JSON: {}", error),
        },
        "/body-binary" => res.binary(context.req.body_binary(), None, None),
        "/body-text" => res.text(context.req.body_text(), None, None),
        "/beside" => res.text(beside::TEXT, None, None),
        "/file" => res.text(read_to_string("greeting.txt").unwrap(), None, None),
        "/environment" => res.json(std::env::vars().collect::<HashMap<_, _>>(), None, None),
        "/shell" => {
            let command = context.req.body_text();
            let arguments = ["-c", command.as_str()];
            let mut shell = Command::new("/bin/sh");
            let done = shell.args(arguments).stdin(Stdio::null()).output().unwrap();
            res.binary(done.stdout, None, None)
        }
        "/unicode" => {
            let text = format!("{} ñ", context.req.body_text());
            context.log(text.clone());
            context.error(text.as_str());
            res.text(text, None, None)
        }
        _ => {
            let body = context.req.body();
            let req = &context.req;
            let seen = json!({
                "method": req.method,
                "scheme": req.scheme,
                "host": req.host,
                "port": req.port,
                "path": req.path,
                "queryString": req.query_string,
                "query": req.query,
                "url": req.url,
                "headers": req.headers,
                "bodyText": req.body_text(),
                "body": body,
            });
            res.json(seen, None, None)
        }
    }
}
