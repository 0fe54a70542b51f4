"""Lets an editor attach to this worker with debugpy, for `minifn dev --inspect`."""

from __future__ import annotations

import socket
import threading
import time

HOST = "127.0.0.1"
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
    # A call of debugpy's that fails cannot be repeated.
    while not _is_free(port):
        time.sleep(RETRY_SECONDS)
    debugpy.listen((HOST, port), in_process_debug_adapter=True)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
