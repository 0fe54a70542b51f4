"""A server whose event loop is stuck: the log says by what code, and a signal still ends it."""

import contextlib
import functools
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from minifn.sandbox.launcher.overdue import OVERDUE_SECONDS
from tests.crash.invariants import gone, relatives
from tests.server import stuck_server
from tests.serving import Server, wait_until


@contextlib.contextmanager
def started(data: Path, how: str) -> Iterator[Server]:
    """A server in which SIGUSR1 does `how`; it is killed at the end, because it may be stuck."""
    server = Server(data)
    server.wrapper = (sys.executable, stuck_server.__file__, how)
    try:
        yield server.start()
    finally:
        server.kill()


def answers(server: Server) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(
            f"{server.endpoint}/health/version", timeout=0.5, trust_env=False
        ).is_success
    return False


@pytest.mark.slow
def test_a_signal_ends_a_server_with_a_stuck_loop(tmp_path: Path) -> None:
    """All servers at once, because each takes as long as the grace period."""
    with contextlib.ExitStack() as stack:
        names = ("c_code", "python_code", "c_code_of_a_thread", "thread_that_stays")
        servers = [stack.enter_context(started(tmp_path / how, how)) for how in names]
        before = {server: relatives(server) for server in servers}
        *stuck, staying = servers
        for server in servers:
            server.process.send_signal(signal.SIGUSR1)
        for server in stuck:
            silent = functools.partial(lambda server: not answers(server), server)
            wait_until(silent, 30, "the loop is stuck")
        began = time.monotonic()
        for server in servers:
            server.process.terminate()
        for server in stuck:
            assert server.ended(OVERDUE_SECONDS + 40) == -signal.SIGKILL
            assert time.monotonic() - began > OVERDUE_SECONDS - 1
            assert "did not end within 25 s of a signal" in server.log_tail()
        assert staying.ended(OVERDUE_SECONDS + 40) == 1
        assert "Timeout" in staying.log_tail()
        assert "in c_code\n" in stuck[0].log_tail()
        assert "in python_code\n" in stuck[1].log_tail()
        for server in servers:
            gone(before[server], server, seconds=30)


@pytest.mark.parametrize("how", ["c_code_for_a_while", "blocking_call"])
def test_the_log_names_the_code_that_blocked_the_loop(how: str, data: Path) -> None:
    with started(data, how) as server:
        server.process.send_signal(signal.SIGUSR1)
        wait_until(
            lambda: "the event loop has been held for" in server.log_tail(), 60, "the log says so"
        )
        assert f"in {how}\n" in server.log_tail()
        wait_until(lambda: answers(server), 60, "it goes on")
        assert server.stop() == 0


def test_a_server_that_waits_is_not_said_to_be_held(data: Path) -> None:
    with Server(data) as server:
        time.sleep(3)
        assert "held" not in server.log_tail()
