"""Run one command under sandlock and end as it ends.

    sandlock_main.py PACKAGES DESCRIPTOR DATA_DESCRIPTOR

A program of its own: it runs as the command's user with nothing but the standard library and the
package in the directory PACKAGES. It reads the command and its options as JSON from
DATA_DESCRIPTOR. sandlock passes on the standard streams alone, so the caller's only descriptor,
which has the number DESCRIPTOR, travels as standard input and is restored inside.
"""

import importlib
import json
import os
import signal
import sys
import threading
from typing import Any

#: Signals that Python ignores; a command expects the default.
IGNORED_HERE = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT)


def restore_argv(descriptor: int) -> tuple[str, ...]:
    """Return the prefix that gives a command its descriptor and an empty standard input."""
    return ("/bin/sh", "-c", f'exec {descriptor}<&0 </dev/null; exec "$@"', "sh")


def is_open(descriptor: int) -> bool:
    """Tell whether this process has the descriptor."""
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


def main(packages: str, descriptor: int, data_descriptor: int) -> None:
    """Start the command, wait for it and end as it ended."""
    sys.path.append(packages)
    package = importlib.import_module("sandlock")
    with os.fdopen(data_descriptor) as file:
        asked = json.load(file)
    if is_open(descriptor + 1):
        sys.exit("sandlock passes on one descriptor, not more")
    argv = asked["argv"]
    if is_open(descriptor):
        os.dup2(descriptor, 0)
        os.close(descriptor)
        argv = [*restore_argv(descriptor), *argv]
    options = asked["options"]
    options["fs_writable"].append(asked["tmp"])
    options["fs_readable"] = list(filter(os.path.exists, options["fs_readable"]))
    for ignored in IGNORED_HERE:
        signal.signal(ignored, signal.SIG_DFL)
    sandbox = package.Sandbox(env=asked["env"], **options)
    process = sandbox.popen(
        argv, **dict.fromkeys(("stdin", "stdout", "stderr"), package.StdioMode.INHERIT)
    )
    signal.signal(signal.SIGTERM, lambda *_: os.kill(process.pid, signal.SIGTERM))
    # A thread waits, because signals are handled only while the main thread can be interrupted.
    results: list[Any] = []
    waiting = threading.Thread(target=lambda: results.append(process.wait()))
    waiting.start()
    waiting.join()
    end(results[0])


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
