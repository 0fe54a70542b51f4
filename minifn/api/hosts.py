"""Reads the host of a request: a name, an IPv4 address, or an IPv6 address in brackets."""

from starlette.types import Scope

from minifn.ids import split_authority


def host_of(scope: Scope) -> str:
    """Return the host in the Host header, in lower case and without its port; "" without one."""
    for name, value in scope["headers"]:
        if name == b"host":
            host, _ = split_authority(value.decode("latin-1").lower())
            return host.rstrip(".")
    return ""
