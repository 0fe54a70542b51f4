"""CORS and the headers of every answer: pure ASGI middleware around the API."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from minifn.api.wire.answers import RawHeaders, no_content

ALLOW_METHODS = "GET, POST, PUT, PATCH, DELETE"
#: Request headers of the web SDK, in all its versions.
ALLOW_HEADERS = (
    "Origin, Cookie, Set-Cookie, X-Requested-With, Content-Type, Access-Control-Allow-Origin, "
    "Access-Control-Request-Headers, Accept, Authorization, X-Appwrite-Project, X-Appwrite-Key, "
    "X-Appwrite-Locale, X-Appwrite-Mode, X-Appwrite-JWT, X-Appwrite-Response-Format, "
    "X-Appwrite-Timeout, X-Appwrite-ID, X-Appwrite-Timestamp, X-Appwrite-Session, "
    "X-Appwrite-Platform, X-Appwrite-Dev-Key, X-Appwrite-Impersonate-User-Id, "
    "X-Appwrite-Impersonate-User-Email, X-Appwrite-Impersonate-User-Phone, X-SDK-Version, "
    "X-SDK-Name, X-SDK-Language, X-SDK-Platform, X-SDK-GraphQL, X-SDK-Profile, Content-Range, "
    "Range, Cache-Control, Expires, Pragma, X-Fallback-Cookies, X-Forwarded-For, "
    "X-Forwarded-User-Agent"
)
EXPOSE_HEADERS = "X-Appwrite-Session, X-Fallback-Cookies"

_ALWAYS = [
    (b"server", b"Appwrite"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-debug-fallback", b"true"),
    (b"vary", b"origin"),
]
_CROSS_ORIGIN = [
    (b"access-control-allow-credentials", b"true"),
    (b"access-control-allow-methods", ALLOW_METHODS.encode()),
    (b"access-control-allow-headers", ALLOW_HEADERS.encode()),
    (b"access-control-expose-headers", EXPOSE_HEADERS.encode()),
    (b"access-control-max-age", b"600"),
]


class Cors:
    """Adds the common headers to every answer, and answers OPTIONS itself.

    Any origin may read answers and errors. `origins.py` decides which pages may change something
    and whose cookies count. The operator's session counts for pages of this host alone.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        app = no_content() if scope["method"] == "OPTIONS" else self._app
        await app(scope, receive, sending_too(send, headers_for(scope)))


def headers_for(scope: Scope) -> RawHeaders:
    """Return the headers that the answer to a request has besides its own."""
    for name, value in scope["headers"]:
        if name == b"origin":
            return [*_ALWAYS, (b"access-control-allow-origin", value), *_CROSS_ORIGIN]
    return [*_ALWAYS, *_CROSS_ORIGIN] if scope["method"] == "OPTIONS" else _ALWAYS


def sending_too(send: Send, extra: RawHeaders) -> Send:
    """Return a `send` that adds headers to the answer."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *extra]
        await send(message)

    return send_with_headers
