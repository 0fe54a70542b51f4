"""Runs the server in its arguments, in which SIGUSR1 does the action of the first argument."""

import asyncio
import ctypes
import itertools
import runpy
import signal
import socket
import sys
import threading
import time

from minifn.server import Server


def c_code() -> None:
    """Hold the interpreter lock forever, in a call that no signal handler can interrupt."""
    sum(itertools.repeat(0))


def c_code_for_a_while() -> None:
    """Hold the lock for 3 seconds: a function of PyDLL, unlike CDLL's, does not give it up."""
    ctypes.PyDLL(None).sleep(3)


def python_code() -> None:
    """Run forever."""
    while True:
        pass


def c_code_of_a_thread() -> None:
    """Hold the lock forever, in another thread than the loop's."""
    threading.Thread(target=c_code, daemon=True).start()


def thread_that_stays() -> None:
    """Keep the process from ending, but not the loop."""
    threading.Thread(target=time.sleep, args=(1000,)).start()


def blocking_call() -> None:
    """Wait on the loop for more than a second."""
    time.sleep(2)


class StuckServer(Server):
    """A server that a signal blocks."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, globals()[how])


if __name__ == "__main__":
    import minifn.server

    how = sys.argv[1]
    minifn.server.Server = StuckServer  # type: ignore[misc]
    sys.argv = ["minifn", *sys.argv[5:]]
    runpy.run_module("minifn", run_name="__main__")
