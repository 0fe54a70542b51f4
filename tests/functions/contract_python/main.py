import asyncio
import atexit
import logging
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

if "MARKER" in os.environ:
    atexit.register(Path(os.environ["MARKER"]).touch)


def leave(context):
    sys.exit(3)


def quit_early(context):
    quit()


def descriptors(context):
    listing = "import os; print(sorted(os.listdir('/proc/self/fd')))"
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", listing], capture_output=True, text=True, check=True
    )
    return context.res.text(result.stdout)


def answer_from_fork(context):
    child = os.fork()
    if child == 0:
        return context.res.text("child")
    os.waitpid(child, 0)
    return context.res.text("parent")


def square(number):
    print("squaring", number)
    return number * number


def processes(context):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return context.res.json(pool.map(square, range(5)))


def prints(context):
    sys.stdout.write("no newline")
    sys.stdout.flush()
    sys.stderr.write(" yet\n")
    sys.stdout.buffer.write("bytes é\n".encode())
    logging.getLogger().warning("from logging")
    os.write(1, b"straight to the descriptor\n")
    print("unfinished", end="")
    return context.res.empty()


def prints_from_thread(context):
    thread = threading.Thread(target=print, args=("in a thread",))
    thread.start()
    thread.join()
    return context.res.empty()


def echo_slowly(context):
    print("print", context.req.body)
    time.sleep(float(context.req.query_string))
    context.log("log", context.req.body)
    print("again", context.req.body)
    return context.res.text(context.req.body)


async def later(context):
    await asyncio.sleep(0.01)
    return context.res.text("later")


def lone_surrogate(context):
    context.log("\udc80")
    print("\udc80")
    return context.res.text("fine")


def deep_trouble(context):
    try:
        raise KeyError("x" * 20_000)
    except KeyError as exc:
        raise ValueError("the end") from exc


ACTIONS = {
    "/deep-trouble": deep_trouble,
    "/surrogate-header": lambda context: context.res.text("", 200, {"x": "\udc80"}),
    "/many-headers": lambda context: context.res.text("", 200, {"x": "x" * 200_000}),
    "/no-headers": lambda context: {"headers": "none"},
    "/exit": leave,
    "/quit": quit_early,
    "/descriptors": descriptors,
    "/fork": answer_from_fork,
    "/processes": processes,
    "/prints": prints,
    "/thread": prints_from_thread,
    "/echo": echo_slowly,
    "/later": later,
    "/surrogate": lone_surrogate,
    "/surrogate-body": lambda context: context.res.text("\udc80"),
    "/bad-log": lambda context: context.log({"x": object()}),
    "/body-dict": lambda context: {"body": {"a": 1}},
    "/bytearray": lambda context: context.res.binary(bytearray(b"array")),
    "/bad-text": lambda context: context.res.text(context.req.body_text),
    "/where": lambda context: context.res.json([sys.prefix, sys.executable, sys.path]),
}


def main(context):
    return ACTIONS[context.req.path](context)
