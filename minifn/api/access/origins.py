"""Which pages a browser may call this server from.

Appwrite asks each app to register its sites. A server that runs by itself knows two kinds of site without being told:
its own address, and whatever runs on the visitor's machine, where apps are developed. Others are named in a setting,
also the server's own names: any name can be made to lead here (DNS rebinding), so that a page whose host is the
request's own proves nothing by it unless that is a number.
"""

import fnmatch
import ipaddress
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlsplit

from minifn.errors import UnknownOrigin

_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def host_of(url: str) -> str:
    """Return the host of an Origin or Referer header, in lower case and without port; "" when it names none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Tell whether a host is the visitor's own machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_address(host: str) -> bool:
    """Tell whether a host is a number, which no DNS server can have chosen."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_same_host(headers: Mapping[bytes, bytes]) -> bool:
    """Tell whether a request comes from no page at all, or from one of the very host and port that it goes to."""
    origin = headers.get(b"origin")
    return (
        origin is None or origin.lower().partition(b"://")[2] == headers.get(b"host", b"").lower()
    )


class Origins:
    """The pages that may change something: of this address, of the visitor's machine, and of the hosts in `allowed`.

    `allowed` are host names; `*` in one stands for anything, so that `*` alone allows every page. What functions show
    is somebody else's: neither `localhost` nor a pattern that ends above `functions_domain` means their pages.
    `is_given` tells whether a host is another domain of a function, and so no part of the visitor's machine.
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
        """Raise UnknownOrigin when a page that is not allowed wants to change something.

        Whoever has shown an API key that is good needs no such check: no page has one that it was not given.
        """
        origin = headers.get(b"origin") or headers.get(b"referer")
        if origin and method in _CHANGING and not self._allows(origin, headers):
            raise UnknownOrigin(
                "Invalid Origin. This page's host is not one of those in MINIFN_ORIGINS, nor this server's address: "
                f"{host_of(origin.decode('latin-1')) or origin.decode('latin-1')[:100]}"
            )

    def credentials(self, headers: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
        """Return the headers that say who is calling: cookies, which browsers send unasked, only for allowed pages."""
        origin = headers.get(b"origin")
        if not origin or b"cookie" not in headers or self._allows(origin, headers):
            return headers
        return {name: value for name, value in headers.items() if name != b"cookie"}

    def _allows(self, origin: bytes, headers: Mapping[bytes, bytes]) -> bool:
        host = host_of(origin.decode("latin-1"))
        below = host.endswith(self._functions_suffix)
        patterns = self._of_functions if below else self._allowed
        return (
            (is_loopback(host) and not below and not self._is_given(host))
            or (
                is_address(host)
                and host == host_of(f"//{headers.get(b'host', b'').decode('latin-1')}")
            )
            or any(fnmatch.fnmatchcase(host, pattern) for pattern in patterns)
        )
