import os
import time


def main(context):
    context.log("begun")
    if context.req.path == "/sleep":
        time.sleep(float(context.req.query_string))
    elif context.req.path == "/spin":
        while True:
            pass
    elif context.req.path == "/never":
        time.sleep(3600)
    return context.res.text(str(os.getpid()))
