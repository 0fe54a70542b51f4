"""Run one command under sandlock and end as it ends: `sandlock_main.py PACKAGES`, with the rest at a descriptor.

A program of its own, as the command's user, with nothing but the standard library and the package. sandlock hands on
the standard streams alone: the caller's one descriptor travels as standard input and is put in its place inside.
"""

import importlib
import json
import os
import signal
import sys
import threading
from typing import Any

FIRST_DESCRIPTOR, DATA_DESCRIPTOR = 3, 64
#: How the command gets its descriptor and an empty standard input.
RESTORE = ("/bin/sh", "-c", 'exec 3<&0 </dev/null; exec "$@"', "sh")


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def end(result: Any) -> None:
    """End like the command."""
    if result.reason is result.reason.EXITED:
        os._exit(result.exit_code)
    number = max(result.signal, 0) or signal.SIGKILL
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def main() -> None:
    sys.path.append(sys.argv[1])
    package = importlib.import_module("sandlock")
    with os.fdopen(DATA_DESCRIPTOR) as file:
        asked = json.load(file)
    if is_open(FIRST_DESCRIPTOR + 1):
        sys.exit("sandlock hands on one descriptor, not more")
    argv = asked["argv"]
    if is_open(FIRST_DESCRIPTOR):
        os.dup2(FIRST_DESCRIPTOR, 0)
        os.close(FIRST_DESCRIPTOR)
        argv = [*RESTORE, *argv]
    options = asked["options"]
    options["fs_writable"].append(asked["tmp"])
    options["fs_readable"] = list(filter(os.path.exists, options["fs_readable"]))
    # Python ignores these; a command expects the default.
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
        signal.signal(ignored, signal.SIG_DFL)
    sandbox = package.Sandbox(env=asked["env"], **options)
    process = sandbox.popen(
        argv, **dict.fromkeys(("stdin", "stdout", "stderr"), package.StdioMode.INHERIT)
    )
    signal.signal(signal.SIGTERM, lambda *_: os.kill(process.pid, signal.SIGTERM))
    # In a thread, because signals are handled only while the main one can be interrupted.
    results: list[Any] = []
    waiting = threading.Thread(target=lambda: results.append(process.wait()))
    waiting.start()
    waiting.join()
    end(results[0])


if __name__ == "__main__":
    main()
