import os
import sys
import time

WORKER = str(time.monotonic_ns())
calls = 0


def state(context):
    global calls
    calls += 1
    return context.res.json({"calls": calls, "worker": WORKER})


def leave(context):
    context.log("called")
    print("last words", file=sys.__stderr__, flush=True)
    os._exit(7)


def overflow(context):
    return overflow(context) + 1


def memory(context):
    kept = []
    while True:
        kept.append(b"x" * 1024 * 1024)


def sleep(context):
    context.log("begun")
    time.sleep(float(context.req.query_string))
    return context.res.text(WORKER)


def never(context):
    context.log("begun")
    time.sleep(3600)


def spin(context):
    context.log("begun")
    while True:
        pass


def echo(context):
    text = context.req.body_text
    context.log("first", text)
    context.error("error", text)
    time.sleep(float(context.req.query_string) / 1000)
    context.log("second", text)
    return context.res.text(text)


ROUTES = {
    "/state": state,
    "/exit": leave,
    "/overflow": overflow,
    "/memory": memory,
    "/sleep": sleep,
    "/never": never,
    "/spin": spin,
    "/echo": echo,
}
