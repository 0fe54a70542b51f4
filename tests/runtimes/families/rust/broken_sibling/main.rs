mod sibling;

use openruntimes::{Context, Response};

pub fn main(context: Context) -> Response {
    context.res.text(sibling::TEXT, None, None)
}
