import time


def main(context):
    context.log("started")
    if context.req.path == "/busy":
        while True:
            pass
    if context.req.path == "/sleep":
        time.sleep(3600)
    return context.res.text("returned")
