"""Session cookies: their names, and how they are read and set."""

from starlette.types import Scope

from minifn.api.hosts import mount_of


def session_name(project: str) -> str:
    """Return the name of the cookie that Appwrite's SDKs keep a project's session in."""
    return f"a_session_{project}"


def parse(header: bytes) -> dict[str, str]:
    """Return the cookies of a Cookie header by name; the last one of a name."""
    pairs = (part.strip().partition("=") for part in header.decode("latin-1").split(";"))
    return {name: value for name, _, value in pairs}


def setting(
    scope: Scope, name: str, value: str, seconds: int, *, path: str = "", same_site: str = "lax"
) -> tuple[bytes, bytes]:
    """Return the header that sets a cookie for `seconds`; 0 deletes it. Scripts cannot read it.

    It is sent to `path` below the mount.
    """
    place = f"{mount_of(scope)}{path}" or "/"
    secure = "; secure" if scope.get("scheme") == "https" else ""
    cookie = (
        f"{name}={value}; path={place}; max-age={seconds}; httponly; samesite={same_site}{secure}"
    )
    return b"set-cookie", cookie.encode()
