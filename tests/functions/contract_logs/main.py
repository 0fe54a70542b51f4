import threading


def main(context):
    if context.req.path == "/values":
        context.log("text", 1, [1, {"a": "b"}], True)
        context.error("broken", {"code": 5})
        context.log()
    elif context.req.path == "/native":
        context.log("before")
        print("printed", 1)
        print("printed 2")
        context.log("after")
    elif context.req.path == "/long":
        context.log("x" * 8000)
        context.log("y" * 8001)
    elif context.req.path == "/flood":
        for _ in range(1400):
            context.log("z" * 8000)
    elif context.req.path == "/endless":
        while True:
            context.log("z" * 8000)
    elif context.req.path == "/late":
        threading.Timer(0.02, lambda: context.log("late")).start()
    return context.res.empty()
