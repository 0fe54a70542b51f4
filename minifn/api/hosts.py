"""Reads the target of a request: the host, the path below the mount, and the server's address."""

import functools
from urllib.parse import quote, unquote

from starlette.types import Scope

from minifn.config import authority
from minifn.ids import split_authority

#: Bytes of the longest Host header that is read once for many requests.
_KEPT_BYTES = 256


def host_of(scope: Scope) -> str:
    """Return the host in the Host header, in lower case and without its port; "" without one.

    An IPv6 address keeps its brackets.
    """
    for name, value in scope["headers"]:
        if name == b"host":
            return _host(value) if len(value) <= _KEPT_BYTES else _host.__wrapped__(value)
    return ""


@functools.lru_cache(maxsize=1024)
def _host(value: bytes) -> str:
    host, _ = split_authority(value.decode("latin-1").lower())
    return host.rstrip(".")


def mount_of(scope: Scope) -> str:
    """Return the mount's path as clients see it, percent-encoded; "" for the root of the host."""
    return quote(scope.get("root_path", "").rstrip("/"))


def path_below(scope: Scope) -> str:
    """Return the path below the mount as it was sent, percent-encoded."""
    raw: str = (scope.get("raw_path") or quote(scope["path"]).encode()).decode("latin-1")
    root = scope.get("root_path", "").rstrip("/")
    if not root:
        return raw
    parts = raw.split("/")
    split = root.count("/") + 1
    # Some servers leave the mount out of the path.
    below = unquote("/".join(parts[:split])) == root
    return "/" + "/".join(parts[split:]) if below else raw


def origin_of(scope: Scope) -> str:
    """Return the scheme and address at which the server took a request, "" for a Unix socket.

    The Host header does not count: its sender could have functions send their keys elsewhere.
    """
    server = scope.get("server")
    if not server or not server[1]:
        return ""
    # A proxy that forwards its scheme speaks HTTP to this server.
    proxied = any(name == b"x-forwarded-proto" for name, _ in scope["headers"])
    scheme = "http" if proxied else scope.get("scheme", "http")
    return f"{scheme}://{authority(*server)}"


def prefix_of(scope: Scope) -> str:
    """Return the mount's path in the embedding app, percent-encoded.

    The server's own root path belongs to a proxy, and is not part of local addresses.
    """
    root: str = scope.get("root_path", "")
    return quote(root.removeprefix(scope.get("app_root_path", "")).rstrip("/"))
