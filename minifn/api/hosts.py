"""The host that a request is for."""

from starlette.types import Scope


def host_of(scope: Scope) -> str:
    """Return the name in the Host header, in lower case and without its port; "" when there is none."""
    for name, value in scope["headers"]:
        if name == b"host":
            host: str = value.decode("latin-1").lower().partition(":")[0]
            return host.rstrip(".")
    return ""
