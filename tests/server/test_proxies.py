"""Which proxies may name a client's address: none, unless the operator names them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from minifn.config import Config, ConfigError
from minifn.server.proxies import trusted
from tests.serving import Server, pack

#: A function that returns its caller's address and scheme.
SEES = b"""
def main(context):
    return context.res.json([context.req.headers.get("x-appwrite-client-ip"), context.req.scheme])
"""
LIES = {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https"}


def sign_in(client: httpx.Client, address: str) -> int:
    """Try a wrong password, as a function on the machine's network would; return the status."""
    sent = {"x-appwrite-project": "console", "x-forwarded-for": address}
    return client.post(
        "/account/sessions/email", json={"email": "a@x.org", "password": "x"}, headers=sent
    ).status_code


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server behind proxies on its own machine and in a network of others."""
    place = tmp_path_factory.mktemp("trusting") / "data"
    with (
        Server(place, proxies="127.0.0.1,::1,198.51.100.0/24", sandbox="none") as server,
        server.api as api,
    ):
        deploy(api)
        yield server


def deploy(api: Any) -> None:
    api.create("sees", api.runtime("python"), entrypoint="main.py", execute=["any"])
    api.deploy("sees", pack(extra={"main.py": SEES}))


def test_no_address_in_a_header_is_trusted_by_default(data: Path) -> None:
    with Server(data, sandbox="none") as server:
        with server.api as api:
            deploy(api)
        with httpx.Client(base_url=server.endpoint, trust_env=False) as client:
            # A name of a host gets no more tries because each of them names another client.
            tries = [sign_in(client, f"203.0.113.{number}") for number in range(25)]
            assert set(tries[:10]) == {401}
            assert set(tries[-5:]) == {429}
            host = {"host": f"sees.functions.localhost:{server.port}"}
            assert client.get(server.url, headers={**LIES, **host}).json()[0] == "127.0.0.1"
        log = server.log_tail()
    assert log.count("127.0.0.1 sends X-Forwarded-For, which is ignored") == 1
    assert "MINIFN_PROXIES" in log


def test_a_proxy_that_is_named_is_trusted(trusting: Server) -> None:
    with httpx.Client(base_url=trusting.endpoint, trust_env=False) as client:
        host = {"host": f"sees.functions.localhost:{trusting.port}"}
        assert client.get(trusting.url, headers={**LIES, **host}).json() == ["203.0.113.9", "https"]
        # Through both proxies. A client can have written the rest itself.
        sent = {**LIES, **host, "x-forwarded-for": "192.0.2.1, 203.0.113.9, 198.51.100.7"}
        assert client.get(trusting.url, headers=sent).json()[0] == "203.0.113.9"
        assert {sign_in(client, f"203.0.113.{number}") for number in range(25)} == {401}
        sent = {"x-appwrite-project": "minifn", **LIES}
        assert (
            "; secure"
            in client.post("/account/sessions/anonymous", headers=sent).headers["set-cookie"]
        )
    assert "X-Forwarded-For" not in trusting.log_tail()


def test_a_socket_of_both_families_shows_ipv4_in_another_way() -> None:
    assert trusted(("192.0.2.1", "10.0.0.0/8", "::1")) == [
        *("192.0.2.1/32", "10.0.0.0/8", "::1/128"),
        *("::ffff:192.0.2.1/128", "::ffff:10.0.0.0/104"),
    ]


@pytest.mark.parametrize("proxy", ["*", "localhost", "10.0.0.1/8", "127.0.0.1:80", "256.0.0.1"])
def test_a_bad_address_is_refused(proxy: str) -> None:
    with pytest.raises(ConfigError, match="MINIFN_PROXIES must be IP addresses and networks"):
        Config.from_env({"MINIFN_PROXIES": f"127.0.0.1,{proxy}"})
