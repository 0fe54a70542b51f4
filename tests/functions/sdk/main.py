import os
from pathlib import Path

PADDING = Path(__file__).with_name("padding.bin")


async def main(context):
    context.log("a line for the logs")
    context.error("a line for the errors")
    return context.res.json(
        {
            "method": context.req.method,
            "path": context.req.path,
            "query": context.req.query,
            "body": context.req.body,
            "greeting": os.environ.get("GREETING", ""),
            "padding": PADDING.stat().st_size if PADDING.exists() else 0,
            "trigger": context.req.headers["x-appwrite-trigger"],
        },
        200,
        {"x-answered-by": "python"},
    )
