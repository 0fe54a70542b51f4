"""Proxies in front of the server: whose word counts for a client's address, and a hint where none is named.

No address is believed by itself, not even 127.0.0.1: functions on the machine's network speak from there, too, and
would count as another client with each request.
"""

import ipaddress
import logging
from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

logger = logging.getLogger("minifn.server")


def believed(proxies: Iterable[str]) -> list[str]:
    """Return the networks of MINIFN_PROXIES as uvicorn takes them.

    Those of IPv4 are there twice: a socket of both families shows 192.0.2.1 as ::ffff:192.0.2.1.
    """
    networks = [ipaddress.ip_network(proxy) for proxy in proxies]
    mapped = [
        f"::ffff:{one.network_address}/{96 + one.prefixlen}" for one in networks if one.version == 4
    ]
    return [*map(str, networks), *mapped]


class ProxyHint:
    """Passes requests on, and logs once that an address in a header was not believed."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._told = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._told and any(
            name == b"x-forwarded-for" for name, _ in scope.get("headers", ())
        ):
            self._told = True
            client, _ = scope.get("client") or ("a client", 0)
            logger.warning(
                "%s sends X-Forwarded-For, which is not believed: if that is a proxy, name it in MINIFN_PROXIES",
                client,
            )
        await self._app(scope, receive, send)
