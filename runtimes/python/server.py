"""The Python wrapper: loads one function and answers the server's requests.

Started as `python -S server.py`, standard library only, because it runs inside the user's environment. The frames
and the environment it is started with are described in minifn/workers/protocol.py; the handler contract is that of
Open Runtimes (runtimes/python/versions/latest/src). It imports little, since every import is part of a cold start, and
lies in modules, since Python keeps only those compiled.
"""

from __future__ import annotations

import sys

# What PYTHONPATH names, and this file's folder, come first on the search path: neither is to hide
# what the wrapper imports, nor the wrapper what the function does.
OWN_FOLDER = __file__.rpartition("/")[0]
ARCHIVE = "/python%d%d.zip" % sys.version_info[:2]
LIBRARY = next(at for at, entry in enumerate([*sys.path, ARCHIVE]) if entry.endswith(ARCHIVE))
PYTHONPATH = [entry for entry in sys.path[:LIBRARY] if entry != OWN_FOLDER]
sys.path[:LIBRARY] = [OWN_FOLDER]

import _thread
import builtins
import json
import os

from minifn_call import Native
from minifn_channel import Channel
from minifn_load import Function
from minifn_worker import Worker

try:
    os.close(os.open("/dev/shm", os.O_RDONLY))
except PermissionError:
    import minifn_semaphores

    minifn_semaphores.install()
except OSError:  # a system that has none
    pass

#: How many calls are to run at once, on threads if that is more than one.
CONCURRENCY = os.environ.get("MINIFN_CONCURRENCY", "1")
THREADS = int(CONCURRENCY) if CONCURRENCY.isascii() and CONCURRENCY.isdigit() else 1
if THREADS > 1:
    from minifn_threads import CallThreads

sys.path[:1] = PYTHONPATH

#: What the stack of a thread may grow to unless the function says otherwise; that of Python on Alpine Linux, which Open
#: Runtimes' images are of.
STACK_BYTES = 1024 * 1024


def enforced_headers(text: str) -> dict[str, str]:
    """Return the headers that OPEN_RUNTIMES_HEADERS sets; none when it is not a JSON object."""
    try:
        return {name.lower(): str(value) for name, value in json.loads(text or "{}").items()}
    except (ValueError, AttributeError):
        return {}


def main() -> None:
    channel = Channel(int(os.environ.pop("MINIFN_SOCKET")[len("fd:") :]))
    function = Function(
        os.environ.pop("MINIFN_CODE"), os.environ.get("OPEN_RUNTIMES_ENTRYPOINT", "")
    )
    worker = Worker(
        channel,
        function,
        enforced_headers(os.environ.get("OPEN_RUNTIMES_HEADERS", "")),
        CallThreads(THREADS) if THREADS > 1 else None,
    )
    # The system counts stacks as memory, touched or not: of 8 MiB each there would be room for few.
    _thread.stack_size(STACK_BYTES)
    os.set_inheritable(channel.fd, False)
    os.register_at_fork(after_in_child=worker.forget)
    sys.stdout, sys.stderr = Native(worker, 1), Native(worker, 2)
    builtins.exit = builtins.quit = sys.exit
    function.prepare()
    channel.send('{"type":"ready","protocol":1,"concurrency":0}', b"")
    worker.run()


if __name__ == "__main__":
    main()
