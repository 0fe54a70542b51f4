"""Decides which pages a browser may call this server from.

Appwrite has each app register its sites. This server allows two kinds without being told: its own
address, and the visitor's machine, where apps are developed. A setting names all others, even the
server's own names: any name can be made to lead here (DNS rebinding), so a page whose host is the
request's own host is trusted only when that host is an IP address.
"""

import fnmatch
import ipaddress
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlsplit

from minifn.errors import UnknownOrigin

_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def url_host(url: str) -> str:
    """Return the host of a URL in lower case and without its port, "" when it has none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Tell whether a page's host is the visitor's own machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_address(host: str) -> bool:
    """Tell whether a host is an IP address, which no DNS server can have chosen."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_same_host(headers: Mapping[bytes, bytes]) -> bool:
    """Tell whether a request comes from no page, or from one of the host and port it goes to."""
    origin = headers.get(b"origin")
    return (
        origin is None or origin.lower().partition(b"://")[2] == headers.get(b"host", b"").lower()
    )


class Origins:
    """The pages that may change something: of this address, the visitor's machine and `allowed`.

    `allowed` are host names. `*` in a name stands for any text, so `*` alone allows every page.
    Pages of functions belong to other people: neither `localhost` nor a pattern that ends above
    `functions_domain` allows them. `is_given` tells whether a rule gives a host to a function, so
    that it is not the visitor's machine.
    """

    def __init__(
        self,
        allowed: Iterable[str],
        functions_domain: str = "",
        is_given: Callable[[str], bool] = lambda host: False,
    ) -> None:
        self._is_given = is_given
        self._allowed = tuple(pattern.lower() for pattern in allowed)
        self._of_functions = tuple(
            pattern
            for pattern in self._allowed
            if pattern == "*" or pattern.endswith(functions_domain)
        )
        self._functions_suffix = f".{functions_domain}"

    def check(self, method: str, headers: Mapping[bytes, bytes]) -> None:
        """Raise UnknownOrigin when a page that is not allowed asks for a change.

        Callers with a valid API key need no check: a page has only keys that it was given.
        """
        origin = headers.get(b"origin") or headers.get(b"referer")
        if origin and method in _CHANGING and not self._allows(origin, headers):
            raise UnknownOrigin(
                "Invalid Origin. This page's host is neither in MINIFN_ORIGINS nor this server's"
                f" address: {url_host(origin.decode('latin-1')) or origin.decode('latin-1')[:100]}"
            )

    def credentials(self, headers: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
        """Return the headers that authenticate a request: without cookies for foreign pages.

        Browsers send cookies with every request, whichever page makes it.
        """
        origin = headers.get(b"origin")
        if not origin or b"cookie" not in headers or self._allows(origin, headers):
            return headers
        return {name: value for name, value in headers.items() if name != b"cookie"}

    def _allows(self, origin: bytes, headers: Mapping[bytes, bytes]) -> bool:
        host = url_host(origin.decode("latin-1"))
        below = host.endswith(self._functions_suffix)
        patterns = self._of_functions if below else self._allowed
        return (
            (is_loopback(host) and not below and not self._is_given(host))
            or (
                is_address(host)
                and host == url_host(f"//{headers.get(b'host', b'').decode('latin-1')}")
            )
            or any(fnmatch.fnmatchcase(host, pattern) for pattern in patterns)
        )
