"""minifn inside another app: its routes, and the answer while it does not run."""

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Host, Match, Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from minifn.api.hosts import host_of, path_below
from minifn.api.wire.answers import Answer, error_answer
from minifn.api.wire.error_pages import page_of, wants_json
from minifn.api.wire.formats import Shape, shape_of
from minifn.errors import MinifnError, NotRunning
from minifn.parts import Parts

#: WebSocket close code of a server that is not ready (RFC 6455, IANA's registry).
TRY_AGAIN_LATER = 1013

#: Folders that belong to the app; FastAPI has its own pages at `/docs`.
LEFT = frozenset({"", "docs"})


class DomainRoute(Host):
    """Sends the domains of functions, and those of rules, to the app of minifn at any path."""

    def __init__(self, parts: Parts, app: ASGIApp) -> None:
        self._parts = parts
        self._suffix = f".{parts.config.functions_domain}"
        super().__init__(f"{{function}}{self._suffix}", app)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match by the Host header alone."""
        if scope["type"] in ("http", "websocket"):
            host = host_of(scope)
            if host.endswith(self._suffix) or (
                self._parts.running and self._parts.domains.is_given(host)
            ):
                return Match.FULL, {"endpoint": self.app}
        return Match.NONE, {}


class ApiMount(Mount):
    """The app of minifn at the root of a host: it takes its own paths and leaves all others."""

    def __init__(self, app: Starlette) -> None:
        super().__init__("", app)
        self._folders = {_folder(getattr(route, "path", "")) for route in app.routes} - LEFT

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match what lies below a folder of minifn, such as `/v1`."""
        if scope["type"] in ("http", "websocket") and _folder(path_below(scope)) in self._folders:
            return super().matches(scope)
        return Match.NONE, {}


def routes_to(parts: Parts, app: Starlette, prefix: str) -> list[BaseRoute]:
    """Return the routes to `app`: the domains of functions first, then the API below `prefix`."""
    mount = Mount(prefix, app) if prefix else ApiMount(app)
    return [DomainRoute(parts, app), mount]


def _folder(path: str) -> str:
    return path.split("/")[1] if path.startswith("/") else ""


def refusal(error: MinifnError, scope: Scope) -> Answer:
    """Return an error as JSON below `/v1` and for clients that ask for it, else as a page."""
    named = dict(scope["headers"]).get(b"x-appwrite-response-format", b"")
    shape = shape_of(named.decode("latin-1"))
    answer = error_answer(error, typed=shape >= Shape.V1_3)
    is_api = f"{path_below(scope)}/".startswith("/v1/")
    return answer if is_api or shape < Shape.V1_3 or wants_json(scope) else page_of(answer)


async def refuse_not_running(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request while minifn does not run."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": TRY_AGAIN_LATER, "reason": "Not running."})
        return
    await refusal(NotRunning(), scope)(scope, receive, send)
