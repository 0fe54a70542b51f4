import os
import sys

CALLS = 0


def main(context):
    global CALLS
    CALLS += 1
    context.log("before the crash")
    if context.req.path == "/raise":
        raise ValueError("a bug in the function")
    if context.req.path == "/exit":
        sys.stderr.write("last words of the process\n")
        os.write(2, b"written to the descriptor\n")
        os._exit(3)
    if context.req.path == "/memory":
        return context.res.text(str(len(bytearray(4 * 1024**3))))
    return context.res.text(f"alive {CALLS}")
