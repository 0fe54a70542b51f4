mod answers;
mod beside;
mod failures;
mod logs;
mod requests;

use openruntimes::{Context, Response};

pub fn main(context: Context) -> Response {
    let path = context.req.path.clone();
    if path == "/raise" {
        context.log("called");
        panic!("went wrong");
    }
    answers::answer(&path, &context)
        .or_else(|| failures::answer(&path, &context))
        .or_else(|| logs::answer(&path, &context))
        .unwrap_or_else(|| requests::answer(&path, context))
}
