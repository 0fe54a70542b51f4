use openruntimes::{Context, Response};
use serde_json::json;
use std::collections::HashMap;

const MIB: usize = 1024 * 1024;

fn headers(pairs: &[(&str, &str)]) -> Option<HashMap<String, String>> {
    Some(pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect())
}

pub fn answer(path: &str, context: &Context) -> Option<Response> {
    let res = &context.res;
    let text = |pairs| res.text("x", None, headers(pairs));
    Some(match path {
        "/text" => res.text("héllo", None, None),
        "/text-201" => res.text("made", Some(201), headers(&[("X-Kept", "yes")])),
        "/json" => res.json(
            json!({"text": "é", "list": ["a", null, true], "empty": []}),
            Some(201),
            headers(&[("Content-Type", "text/html")]),
        ),
        "/binary" => res.binary((0..=255).collect(), None, None),
        "/empty" => res.empty(),
        #[allow(deprecated)]
        "/send" => res.send("sent"),
        "/redirect" => res.redirect("https://example.com/a?b=c", None, None),
        "/redirect-302" => res.redirect("/there", Some(302), headers(&[("x-why", "moved")])),
        "/html" => res.text("<p>", None, headers(&[("Content-Type", "Text/HTML")])),
        "/charset" => text(&[("content-type", "text/html; charset=ISO-8859-1")]),
        "/multipart" => text(&[("content-type", "multipart/form-data; boundary=AbC")]),
        "/hidden" => text(&[("X-Open-Runtimes-Secret", "1"), ("x-seen", "2")]),
        "/cookies" => text(&[("set-cookie", "a=1\nb=2")]),
        "/number" => text(&[("x-number", &5.to_string())]),
        "/injection" => text(&[("x-bad", "a\r\nx-evil: 1"), ("x-good", "1")]),
        "/handmade" => Response { status_code: 202, body: b"made".to_vec(), ..Response::new() },
        "/other-keys" => Response::default(),
        "/not-modified" => res.text("dropped", Some(304), None),
        "/twice" => {
            res.text("first", None, None);
            res.text("second", None, None)
        }
        "/status-99" => res.text("x", Some(99), None),
        "/large" => res.binary(vec![0; 20 * MIB], None, None),
        "/too-large" => res.binary(vec![0; 20 * MIB + 1], None, None),
        "/many-headers" => {
            let (count, length) = context.req.query_string.split_once(',')?;
            let (count, length): (usize, usize) = (count.parse().ok()?, length.parse().ok()?);
            let pairs = (0..count).map(|number| (format!("x-{}", number), "\"".repeat(length)));
            res.text("x", None, Some(pairs.collect()))
        }
        _ => return None,
    })
}
