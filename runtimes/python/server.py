"""The Python wrapper: loads one function and answers the server's requests.

It is started as `python -S server.py` and uses the standard library alone, because it runs in the
user's environment. minifn/workers/protocol.py describes the frames and the environment; the handler
contract is that of Open Runtimes (runtimes/python/versions/latest/src). It imports little, because
every import delays a cold start, and consists of modules, because only their
bytecode is cached.
"""

from __future__ import annotations

import sys

# PYTHONPATH and this file's folder come first on the search path. They must not hide the wrapper's
# imports, and the wrapper must not hide the function's.
OWN_FOLDER = __file__.rpartition("/")[0]
ARCHIVE = "/python%d%d.zip" % sys.version_info[:2]
LIBRARY = next(at for at, entry in enumerate([*sys.path, ARCHIVE]) if entry.endswith(ARCHIVE))
PYTHONPATH = [entry for entry in sys.path[:LIBRARY] if entry != OWN_FOLDER]
sys.path[:LIBRARY] = [OWN_FOLDER]

import _socket
import _thread
import builtins
import json
import os

from minifn_call import Native
from minifn_channel import Channel
from minifn_load import Function
from minifn_names import install
from minifn_worker import Worker

try:
    os.close(os.open("/dev/shm", os.O_RDONLY))
except PermissionError:
    import minifn_semaphores

    minifn_semaphores.install()
except OSError:  # a system without it
    pass
install()
try:
    _socket.socket(_socket.AF_UNIX).close()
except OSError:
    import minifn_sockets

    minifn_sockets.install()

#: Number of calls that run at once; more than one run on threads.
CONCURRENCY = os.environ.get("MINIFN_CONCURRENCY", "1")
THREADS = int(CONCURRENCY) if CONCURRENCY.isascii() and CONCURRENCY.isdigit() else 1
if THREADS > 1:
    from minifn_threads import CallThreads
#: Whether workers are forked from this process.
IS_TEMPLATE = os.environ.pop("MINIFN_TEMPLATE", "") != ""
if IS_TEMPLATE:
    from minifn_template import Template

#: Port for an editor's debugger, "" for none.
INSPECTED = os.environ.pop("MINIFN_INSPECT", "")
if INSPECTED.isdecimal():
    import minifn_inspect

sys.path[:1] = PYTHONPATH

#: Default stack size of a thread in bytes: that of Python on Alpine Linux, the base of Open
#: Runtimes' images.
STACK_BYTES = 1024 * 1024


def enforced_headers(text: str) -> dict[str, str]:
    """Return the headers in OPEN_RUNTIMES_HEADERS, empty when it is not a JSON object."""
    try:
        return {name.lower(): str(value) for name, value in json.loads(text or "{}").items()}
    except (ValueError, AttributeError):
        return {}


def main() -> None:
    socket = int(os.environ.pop("MINIFN_SOCKET")[len("fd:") :])
    channel = Channel(-1 if IS_TEMPLATE else socket)
    function = Function(
        os.environ.pop("MINIFN_CODE"), os.environ.get("OPEN_RUNTIMES_ENTRYPOINT", "")
    )
    worker = Worker(
        channel,
        function,
        enforced_headers(os.environ.get("OPEN_RUNTIMES_HEADERS", "")),
        CallThreads(THREADS) if THREADS > 1 else None,
    )
    # The memory limit counts untouched stacks, too: it allows few of 8 MiB.
    _thread.stack_size(STACK_BYTES)
    sys.stdout, sys.stderr = Native(worker, 1), Native(worker, 2)
    builtins.exit = builtins.quit = sys.exit
    function.prepare()
    if IS_TEMPLATE:
        Template(socket, worker, function).run()
    else:
        os.set_inheritable(socket, False)
    os.register_at_fork(after_in_child=worker.forget)
    if INSPECTED.isdecimal():
        minifn_inspect.listen(int(INSPECTED))
    channel.send('{"type":"ready","protocol":1,"concurrency":0}', b"")
    worker.run()


if __name__ == "__main__":
    main()
