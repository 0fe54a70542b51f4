"""Proxies in front of the server: which are trusted to name a client's address.

No address is trusted by default, not even 127.0.0.1: functions on the machine's network send from
it too, and could name another client address with each request.
"""

import ipaddress
import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, cast

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from minifn.hooks import nothing_async

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

logger = logging.getLogger("minifn.server")


def trusted(proxies: Iterable[str]) -> list[str]:
    """Return the networks of MINIFN_PROXIES in uvicorn's form.

    IPv4 networks are listed twice: a socket of both families shows 192.0.2.1 as ::ffff:192.0.2.1.
    """
    networks = [ipaddress.ip_network(proxy) for proxy in proxies]
    mapped = [
        f"::ffff:{one.network_address}/{96 + one.prefixlen}" for one in networks if one.version == 4
    ]
    return [*map(str, networks), *mapped]


def naming(proxies: Sequence[str]) -> ASGIApp | None:
    """Return an application that only sets the client's address in a scope; None without proxies.

    uvicorn does the same before it calls the application of a server.
    """
    if not proxies:
        return None
    nothing = cast("ASGI3Application", nothing_async)
    return cast("ASGIApp", ProxyHeadersMiddleware(nothing, trusted(proxies)))


class ProxyHint:
    """Passes requests on, and logs once that X-Forwarded-For is ignored."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._hinted = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._hinted and any(
            name == b"x-forwarded-for" for name, _ in scope.get("headers", ())
        ):
            self._hinted = True
            client, _ = scope.get("client") or ("a client", 0)
            logger.warning(
                "%s sends X-Forwarded-For, which is ignored: if it is a proxy, name it in"
                " MINIFN_PROXIES",
                client,
            )
        await self._app(scope, receive, send)
