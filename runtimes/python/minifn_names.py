"""Names below `localhost`, such as the domains of functions, mean this machine (RFC 6761, 6.3).

Most systems know only `localhost` itself.
"""

from __future__ import annotations

import _socket

getaddrinfo = _socket.getaddrinfo


def resolved(host: object, *arguments: object, **options: object) -> object:
    """Replaces `_socket.getaddrinfo`, which every module that resolves names calls."""
    if isinstance(host, str) and host.lower().rstrip(".").endswith(".localhost"):
        host = "localhost"
    return getaddrinfo(host, *arguments, **options)


def install() -> None:
    _socket.getaddrinfo = resolved
