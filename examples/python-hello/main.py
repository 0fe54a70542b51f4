"""The smallest function: it greets, and logs the greeting."""


def main(context):
    name = context.req.body_text or context.req.query.get("name", "world")
    context.log("greeting", name)
    return context.res.json(
        {"message": f"Hello, {name}!", "method": context.req.method, "path": context.req.path}
    )
