"""The Python wrapper: loads one function and answers the server's requests.

Started as `python -I -S server.py`, standard library only, because it runs inside the user's environment. The frames
and the environment it is started with are described in minifn/workers/protocol.py; the handler contract is that of
Open Runtimes (runtimes/python/versions/latest/src). It imports little, since every import is part of a cold start, and
lies in modules, since Python keeps only those compiled.
"""

from __future__ import annotations

import builtins
import json
import os
import sys

# Isolated mode leaves the script's folder out of the search path, where it would hide user modules.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from minifn_call import Native
from minifn_channel import Channel
from minifn_load import Function
from minifn_worker import Worker

del sys.path[0]


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
        channel, function, enforced_headers(os.environ.get("OPEN_RUNTIMES_HEADERS", ""))
    )
    os.set_inheritable(channel.fd, False)
    os.register_at_fork(after_in_child=worker.forget)
    sys.stdout, sys.stderr = Native(worker, 1), Native(worker, 2)
    builtins.exit = builtins.quit = sys.exit
    function.prepare()
    channel.send('{"type":"ready","protocol":1,"concurrency":0}', b"")
    worker.run()


if __name__ == "__main__":
    main()
