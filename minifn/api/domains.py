"""Functions on domains of their own: `<functionId>.<functions domain>`, and the domains that rules give to functions.

Any method and path reach the function, and its answer goes out as it is. Keys, sessions and JWTs count for nothing
here: the function must be open to guests (Appwrite's `app/controllers/general.php`, `router`).
"""

import html
import time

from starlette.types import ASGIApp, Receive, Scope, Send

from minifn.api.answers import Answer, error_answer, unexpected_answer
from minifn.api.bodies import read_bytes
from minifn.errors import DeploymentNotFound, FunctionNotFound, MinifnError, RuleNotFound, UserUnauthorized
from minifn.models import ExecutionRequest, ExecutionResult, Headers
from minifn.service import Minifn
from minifn.store import rules

#: Roles of everybody, of which `execute` must hold one.
OPEN_ROLES = frozenset({"any", "guests"})
#: How long a domain without a function of that name is believed to have the rule, or none, that it had.
TRUST_SECONDS = 1.0
_CACHED_MAX = 1000
#: Headers that are the connection's, or that only the server may set.
_NOT_FORWARDED = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade", "x-appwrite-event"})
_NOT_ANSWERED = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding"})
_WITHOUT_BODY = frozenset({204, 304})


class Domains:
    """Answers for functions' domains and passes everything else on: pure ASGI around the whole API."""

    def __init__(self, app: ASGIApp, minifn: Minifn) -> None:
        self._app = app
        self._minifn = minifn
        self._suffix = f".{minifn.config.functions_domain.lower()}"
        #: Host -> (the function its rule names, "" for none; monotonic time of the look at the database).
        self._ruled: dict[str, tuple[str, float]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        function_id = await self._function(scope) if scope["type"] == "http" else None
        if function_id is None:
            await self._app(scope, receive, send)
            return
        try:
            answer = await self._answer(function_id, scope, receive)
        except MinifnError as exc:
            answer = _page(error_answer(exc), exc, scope)
        except Exception as exc:
            answer = unexpected_answer(exc, scope)
        await answer(scope, receive, send)

    async def _function(self, scope: Scope) -> str | None:
        """Return the function a request is for, "" when nobody has the domain, None when it is for the API."""
        host = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1").lower()
        host = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        if host in ("", "localhost") or host.startswith("[") or host.replace(".", "").isdecimal():
            return None
        ruled = await self._rule(host)
        if ruled:
            return ruled
        return host.removesuffix(self._suffix) if host.endswith(self._suffix) else None

    async def _rule(self, host: str) -> str:
        function_id, looked_at = self._ruled.get(host, ("", 0.0))
        now = time.monotonic()
        if not looked_at or now - looked_at > TRUST_SECONDS:
            rule = await self._minifn.database.read(rules.by_domain, host)
            function_id = rule.function_id if rule else ""
            if len(self._ruled) >= _CACHED_MAX:
                self._ruled.clear()
            self._ruled[host] = (function_id, now)
        return function_id

    async def _answer(self, function_id: str, scope: Scope, receive: Receive) -> Answer:
        executor = self._minifn.executor
        try:
            target = await executor.ready(function_id)
        except FunctionNotFound as exc:
            raise RuleNotFound("Nothing is here yet: this domain is not connected to a function.") from exc
        except DeploymentNotFound as exc:
            raise DeploymentNotFound("No active deployments: the function has no code to run yet.") from exc
        if not target.function.enabled:
            raise FunctionNotFound
        if OPEN_ROLES.isdisjoint(target.function.execute):
            raise UserUnauthorized("Execution not permitted: the function's execute access excludes guests.")
        path = scope["raw_path"].decode("latin-1") if scope.get("raw_path") else scope["path"]
        query = scope["query_string"].decode("latin-1")
        client = scope.get("client")
        request = ExecutionRequest(
            method=scope["method"],
            path=f"{path}?{query}" if query else path,
            headers=forwarded(scope["headers"]),
            body=await read_bytes(receive),
            client_ip=str(client[0]) if client else "",
        )
        return answered(await executor.execute(target, request))


def forwarded(raw: list[tuple[bytes, bytes]]) -> Headers:
    """Return a request's headers for the function: one value a name, cookies joined as cookies are."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in raw:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if name not in _NOT_FORWARDED:
            separator = "; " if name == "cookie" else ", "
            headers[name] = f"{headers[name]}{separator}{value}" if name in headers else value
    return tuple(headers.items())


def answered(result: ExecutionResult) -> Answer:
    """Return a function's answer as it came."""
    headers = [
        (name.encode("latin-1", "replace"), value.encode("latin-1", "replace"))
        for name, value in result.headers
        if name not in _NOT_ANSWERED
    ]
    status = result.execution.response_status_code
    answer = Answer(status, b"" if status in _WITHOUT_BODY else result.body, headers)
    if status in _WITHOUT_BODY:
        # RFC 9110: neither carries the length of a body it does not have.
        answer.headers.pop()
    return answer


def _page(answer: Answer, error: MinifnError, scope: Scope) -> Answer:
    """Return an error as a page for people, as JSON for who asks for JSON."""
    accept = next((value for name, value in scope["headers"] if name == b"accept"), b"")
    if b"application/json" in accept:
        return answer
    shown = "Server Error" if answer.status >= 500 else error.message
    lines = (f"Error {answer.status}", shown, error.type)
    page = "<!doctype html><meta charset=utf-8><title>{}</title><h1>{}</h1><p>{}</p><code>{}</code>\n".format(
        lines[0], *(html.escape(line) for line in lines)
    )
    return Answer(answer.status, page.encode(), [(b"content-type", b"text/html; charset=UTF-8")])
