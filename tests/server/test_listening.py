"""The port of the server: no function can bind it, on any address of the server's name."""

import contextlib
import errno
import os
import socket
import threading
from pathlib import Path

import httpx
import pytest

from minifn.server.listening import listen
from tests.cli.test_cli import minifn
from tests.serving import Server, pack, wait_until

#: Answers with the addresses at which it could take the server's port, trying until the seconds are
#: over.
TAKER = b"""
import contextlib, os, socket, time
from urllib.parse import urlsplit

def main(context):
    port = urlsplit(os.environ["APPWRITE_FUNCTION_API_ENDPOINT"]).port
    taken, ends = [], time.monotonic() + float(context.req.query["seconds"])
    if "tell" in context.req.query:
        socket.create_connection(("127.0.0.1", int(context.req.query["tell"]))).close()
    while True:
        for address in ("127.0.0.1", "0.0.0.0", "::1", "::"):
            for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                with contextlib.suppress(OSError), socket.socket(family) as one:
                    one.setsockopt(socket.SOL_SOCKET, option, 1)
                    if family == socket.AF_INET6:
                        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                    one.bind((address, port))
                    one.listen()
                    taken.append(address)
        if taken or time.monotonic() > ends:
            return context.res.json(taken)
        time.sleep(0.002)
"""


@pytest.fixture
def ipv6() -> None:
    """Skips where the machine has no ::1."""
    try:
        with socket.socket(socket.AF_INET6) as one:
            one.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"this machine has no IPv6 loopback: {error}")


def deploy(server: Server) -> None:
    with server.api as api:
        api.create("taker", api.runtime("python"), entrypoint="main.py")
        api.deploy("taker", pack(extra={"main.py": TAKER}))


@pytest.mark.usefixtures("ipv6")
@pytest.mark.parametrize("engine", ["bwrap", "process", "none"])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::"])
def test_no_function_takes_the_port(
    data: Path, host: str, engine: str, request: pytest.FixtureRequest
) -> None:
    if engine == "bwrap":
        request.getfixturevalue("bwrap")
    with Server(data, host=host, sandbox=engine) as server, server.api as api:
        deploy(server)
        assert api.execute("taker", path="/?seconds=0")["responseBody"] == "[]"


@pytest.mark.slow
def test_no_function_takes_the_port_of_a_server_that_stops(data: Path) -> None:
    """Clients that retry would reach the function while requests in flight have ten seconds."""
    server = Server(data).start()
    deploy(server)
    answers: list[str] = []

    def call() -> None:
        with server.api as api:
            path = f"/?seconds=3&tell={runs.getsockname()[1]}"
            answers.append(api.execute("taker", path=path)["responseBody"])

    caller = threading.Thread(target=call)
    with socket.create_server(("127.0.0.1", 0)) as runs:
        runs.settimeout(20)
        caller.start()
        runs.accept()[0].close()
    with httpx.Client(trust_env=False) as client:
        server.process.terminate()

        def refused() -> bool:
            with contextlib.suppress(httpx.ReadError, httpx.RemoteProtocolError):
                try:
                    client.get(f"{server.endpoint}/health/version", headers={"connection": "close"})
                except httpx.ConnectError:
                    return True
            return False

        wait_until(refused, 2, "connections are refused")
    caller.join()
    assert server.ended(20) == 0
    assert answers == ["[]"]
    # It is free again at once.
    server.start()
    server.stop()


@pytest.mark.usefixtures("ipv6")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_both_loopbacks_are_served(data: Path, host: str) -> None:
    with Server(data, host=host) as server, httpx.Client(trust_env=False) as client:
        for address in ("127.0.0.1", "[::1]"):
            assert client.get(f"http://{address}:{server.port}/v1/health/version").is_success


@pytest.mark.usefixtures("ipv6")
def test_any_free_port_is_one_of_both_loopbacks() -> None:
    with listen("127.0.0.1", 0) as listeners:
        names = set()
        for one in listeners.duplicates():
            names.add(one.getsockname()[:2])
            one.close()
    assert names == {("127.0.0.1", listeners.port), ("::1", listeners.port)}


@pytest.mark.usefixtures("ipv6")
@pytest.mark.parametrize(("host", "other"), [("127.0.0.1", "::1"), ("0.0.0.0", "::")])
def test_a_port_that_is_taken_on_the_other_address_is_one_line(
    data: Path, host: str, other: str
) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        done = minifn("serve", "--data", str(data), "--host", host, "--port", str(port))
    assert done.returncode == 1
    assert done.stderr == f"minifn: port {port} of {other} is in use; choose another with --port\n"


def test_a_machine_without_ipv6_is_served_on_the_loopback_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # No address of documentation is the machine's.
    monkeypatch.setattr("minifn.server.listening.TWINS", {"127.0.0.1": "2001:db8::1"})
    with listen("127.0.0.1", 0) as listeners:
        (only,) = listeners.duplicates()
        assert only.getsockname()[0] == "127.0.0.1"
        only.close()


def test_a_port_that_refuses_is_still_held() -> None:
    with listen("127.0.0.1", 0) as listeners:
        for one in listeners.duplicates():
            one.close()
        with socket.create_connection(("127.0.0.1", listeners.port)):
            pass
        listeners.refuse()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", listeners.port))
        with pytest.raises(OSError, match=os.strerror(errno.EADDRINUSE)):
            socket.create_server(("127.0.0.1", listeners.port))
    socket.create_server(("127.0.0.1", listeners.port)).close()
