"""Lets an editor attach to this worker with debugpy, for `minifn dev --inspect`."""

from __future__ import annotations

import threading
import time

#: Seconds between attempts while the worker before this one still holds the port.
RETRY_SECONDS = 0.1


def listen(port: int) -> None:
    """Listen on a port of this machine in the background; does nothing without debugpy."""
    threading.Thread(target=_listen, args=(port,), daemon=True).start()


def _listen(port: int) -> None:
    try:
        import debugpy
    except ImportError:
        return
    while True:
        try:
            debugpy.listen(("127.0.0.1", port), in_process_debug_adapter=True)
            return
        except (OSError, RuntimeError):
            time.sleep(RETRY_SECONDS)
