import os
import sys

calls = 0


def main(context):
    global calls
    calls += 1
    context.log("called")
    if context.req.path == "/raise":
        raise ValueError("went wrong")
    if context.req.path == "/exit":
        print("last words", file=sys.__stderr__, flush=True)
        os._exit(7)
    if context.req.path == "/overflow":
        return main(context)
    return context.res.json({"pid": os.getpid(), "calls": calls})
