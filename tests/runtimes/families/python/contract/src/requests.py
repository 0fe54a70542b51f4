import os
import subprocess
from pathlib import Path

from .beside import TEXT


def mirror(context):
    req = context.req
    return context.res.json(
        {
            "method": req.method,
            "scheme": req.scheme,
            "host": req.host,
            "port": req.port,
            "path": req.path,
            "queryString": req.query_string,
            "query": req.query,
            "url": req.url,
            "headers": req.headers,
            "bodyText": req.body_text,
            "body": req.body,
        }
    )


def unicode(context):
    text = context.req.body_text + " ñ"
    context.log(text)
    context.error(text)
    return context.res.text(text)


def shell(context):
    command = ["/bin/sh", "-c", context.req.body_text]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
    return context.res.binary(done.stdout)


ROUTES = {
    "/shell": shell,
    "/mirror": mirror,
    "/body-json": lambda context: context.res.json({"parsed": context.req.body_json}),
    "/body-binary": lambda context: context.res.binary(context.req.body_binary),
    # By its old name: the mirror has the new one.
    "/body-text": lambda context: context.res.text(context.req.body_raw),
    "/beside": lambda context: context.res.text(TEXT),
    "/file": lambda context: context.res.text(Path("greeting.txt").read_text("utf-8")),
    "/environment": lambda context: context.res.json(dict(os.environ)),
    "/unicode": unicode,
}
