use openruntimes::{Context, Response};

pub fn main(context: Context) -> Response {
    if context.req.path == "/raise" {
        panic!("went wrong");
    }
    context.res.text(near::TEXT, None, None)
}
