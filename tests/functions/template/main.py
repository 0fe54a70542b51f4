"""A function that says which process answers, and does harm on demand."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

FILE = Path("/tmp/file")
#: Made once for each import.
IMPORTED = os.urandom(8).hex()
print("imported")


def main(context):
    return globals()[context.req.path[1:]](context)


def who(context):
    print("printed")
    return context.res.json(
        {
            "imported": IMPORTED,
            "pid": os.getpid(),
            "parent": os.getppid(),
            "session": os.getsid(0),
            "random": random.random(),
            "file": FILE.exists(),
        }
    )


def sleep(context):
    time.sleep(float(context.req.query_string))
    return who(context)


def leave(context):
    os.write(2, b"last words\n")
    os._exit(7)


def fill(context):
    kept = []
    while True:
        kept.append(bytearray(os.urandom(1 << 20)))


def fill_together(context):
    """More memory than the limit, in children that each stay below it."""
    for _ in range(6):
        if os.fork() == 0:
            kept = bytearray(os.urandom(24 << 20))
            time.sleep(60 + len(kept))
    time.sleep(60)


def spin(context):
    while True:
        pass


def write(context):
    FILE.write_text("kept")
    return who(context)


def marked(context):
    """Start a daemon that keeps the worker's variables."""
    start = "import os, time; os.fork() and os._exit(0); os.setsid(); time.sleep(600)"
    subprocess.run([sys.executable, "-c", start, context.req.query_string], check=True)
    return who(context)


def unmarked(context):
    """Start a daemon that hides whose it is."""
    start = "import os, time; os.setsid(); os.fork() and os._exit(0); time.sleep(600)"
    subprocess.run([sys.executable, "-c", start, context.req.query_string], env={}, check=True)
    return who(context)


def kill_template(context):
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)


def fork_bomb(context):
    started = 0
    try:
        while True:
            if os.fork() == 0:
                time.sleep(60)
                os._exit(0)
            started += 1
    except OSError:
        return context.res.text(str(started))
