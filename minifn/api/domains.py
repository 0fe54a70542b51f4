"""Functions on domains of their own: `<functionId>.<functions domain>`, and the domains that rules give to functions.

A rule may also have its domain redirect to another address, or have the API answer there.

Any method and path reach the function, and its answer goes out as it is. Keys, sessions and JWTs count for nothing
here: the function must be open to guests (Appwrite's `app/controllers/general.php`, `router`). As with every execution,
its record is committed before the answer leaves, where Appwrite writes it afterwards and may lose it.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from minifn.api.hosts import host_of, origin_of, path_below, prefix_of
from minifn.api.mounts import refuse_not_running
from minifn.api.wire import bodies
from minifn.api.wire.answers import (
    Answer,
    RawHeaders,
    deliver,
    error_answer,
    problem_answer,
    unexpected_answer,
)
from minifn.api.wire.error_pages import page_of, wants_json
from minifn.errors import (
    DeploymentNotFound,
    FunctionExecutePermissionMissing,
    FunctionNotFound,
    MinifnError,
    NotImplementedByServer,
    RequestTooLarge,
    RuleNotFound,
)
from minifn.host.budget import Budget
from minifn.limits import BODY_LIMIT_BYTES
from minifn.models import ExecutionRequest, ExecutionResult, Headers, Rule, Target
from minifn.parts import Parts

#: Roles of everybody, of which `execute` must hold one.
OPEN_ROLES = frozenset({"any", "guests"})
#: Headers of one connection, not of what is sent over it (RFC 9110, 7.6.1).
HOP_BY_HOP = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade",
    }
)  # fmt: skip
#: What a caller may not tell a function; the other x-appwrite-* headers of the server replace the caller's.
_NOT_FORWARDED = HOP_BY_HOP | {"x-appwrite-event", "x-appwrite-client-ip"}
#: `date` is the server's to say: HTTP wants one.
_NOT_ANSWERED = HOP_BY_HOP | {"content-length", "date"}
_WITHOUT_BODY = frozenset({204, 304})
NO_WEBSOCKETS = "WebSockets do not reach functions. Call this domain with plain HTTP requests."
#: The type of an error that the function answered with, and left to the server to put into words.
_UNKNOWN = MinifnError.type


class Domains:
    """Answers for the domains of functions and redirects, and passes everything else on: pure ASGI around the API."""

    def __init__(self, app: ASGIApp, parts: Parts) -> None:
        self._app = app
        self._parts = parts
        self._suffix = f".{parts.config.functions_domain}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await self._app(scope, receive, send)
            return
        if not self._parts.running:
            await refuse_not_running(scope, receive, send)
            return
        host = host_of(scope)
        route = await self._parts.domains.route_of(host)
        if not self._parts.endpoint.is_known and kind == "http":
            by_api = route is None and not self._parts.domains.is_given(host)
            self._parts.endpoint.learn(origin_of(scope), prefix_of(scope) if by_api else None)
        if route is None:
            await self._app(scope, receive, send)
            return
        if kind == "websocket":
            await refuse_websocket(scope, receive, send)
            return
        try:
            answer = (
                redirected(route)
                if isinstance(route, Rule)
                else await self._answer(route, scope, receive)
            )
        except MinifnError as exc:
            answer = _shown(error_answer(exc), scope)
        except Exception as exc:
            answer = _shown(unexpected_answer(exc, scope), scope)
        if scope["method"] == "HEAD":
            answer.body = b""
        await deliver(answer, self._parts.budgets.answers, scope, receive, send)

    async def _answer(self, function_id: str, scope: Scope, receive: Receive) -> Answer:
        target = await self._target(function_id)
        headers = forwarded(scope["headers"])
        path = path_below(scope)
        query = scope["query_string"].decode("latin-1")
        client = scope.get("client")
        executor, bodies = self._parts.executions, self._parts.budgets.bodies
        body = await _read(scope, receive, bodies)
        request = ExecutionRequest(
            method=scope["method"],
            path=f"{path}?{query}" if query else path,
            headers=headers,
            body=body,
            client_ip=str(client[0]) if client else "",
        )
        try:
            answer = answered(await executor.execute(target, request), scope)
        finally:
            bodies.give(len(body))
        if host_of(scope).endswith(self._suffix):
            answer.headers = [
                (name, _own(value) if name == b"set-cookie" else value)
                for name, value in answer.headers
            ]
        return answer

    async def _target(self, function_id: str) -> Target:
        """Return what to run. Raises, in Appwrite's order, what keeps it from running for a guest."""
        parts = self._parts
        try:
            function = (await parts.functions.target(function_id)).function
        except FunctionNotFound as exc:
            raise RuleNotFound(
                f"Nothing is here yet. Start with this domain by creating a function with the ID {function_id!r}, or by"
                " giving the domain to a function with a rule."
            ) from exc
        if not function.enabled:
            raise FunctionNotFound
        try:
            target = await parts.executions.ready(function_id)
        except DeploymentNotFound as exc:
            raise DeploymentNotFound(
                "No active deployments. View deployments of this function and activate one, or upload one."
            ) from exc
        if OPEN_ROLES.isdisjoint(function.execute):
            raise FunctionExecutePermissionMissing(
                "Execution not permitted. View settings of this function: whoever calls it by its domain is a guest, so"
                " its execute access must hold `any` or `guests`."
            )
        return target


async def _read(scope: Scope, receive: Receive, room: Budget) -> bytes:
    """Return the body, its memory taken of `room`.

    Raises NotImplementedByServer for a WebSocket's handshake, RequestTooLarge and Overloaded.

    A length that is announced is refused before any of the body is read.
    """
    too_large = f"The request's body is too large. Functions take up to {BODY_LIMIT_BYTES:,} bytes."
    for name, value in scope["headers"]:
        if name == b"upgrade" and b"websocket" in value.lower():
            raise NotImplementedByServer(NO_WEBSOCKETS)
        if name == b"content-length" and value.isdigit() and int(value) > BODY_LIMIT_BYTES:
            raise RequestTooLarge(too_large)
    try:
        return await bodies.read_bytes(receive, room=room)
    except bodies.BodyTooLong as exc:
        raise RequestTooLarge(too_large) from exc


async def refuse_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a handshake with an error in words, or with nothing but a refusal where the server cannot do better."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1003, "reason": NO_WEBSOCKETS})
        return

    async def send_as_handshake(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    await _shown(error_answer(NotImplementedByServer(NO_WEBSOCKETS)), scope)(
        scope, receive, send_as_handshake
    )


def forwarded(raw: RawHeaders) -> Headers:
    """Return a request's headers for the function: one value a name, cookies joined as cookies are."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in raw:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name in headers:
            headers[name] += f"{'; ' if name == 'cookie' else ', '}{value}"
        elif name not in _NOT_FORWARDED:
            headers[name] = value
    return tuple(headers.items())


def answered(result: ExecutionResult, scope: Scope) -> Answer:
    """Return a function's answer as it came; an error without a body as a page, or as JSON for who asks for JSON."""
    # A status that HTTP has no meaning for, or that no answer may end with, would break the connection.
    status = code if 200 <= (code := result.execution.response_status_code) <= 599 else 500
    headers = [
        (name.encode("latin-1"), _encoded(value))
        for name, value in result.headers
        if name not in _NOT_ANSWERED
    ]
    body = result.body
    if status >= 400 and not body and scope["method"] != "HEAD":
        problem = _shown(
            problem_answer(status, "The function answered with an error and no more.", _UNKNOWN),
            scope,
        )
        kept = [item for item in headers if not item[0].startswith(b"content-")]
        content_type = next(item for item in problem.headers if item[0] == b"content-type")
        return Answer(status, problem.body, [content_type, *kept])
    answer = Answer(status, b"" if status in _WITHOUT_BODY else body, headers)
    if status in _WITHOUT_BODY or (scope["method"] == "HEAD" and not body):
        # Nobody knows how long the body is that such an answer does not have.
        answer.headers.pop()
    return answer


def redirected(rule: Rule) -> Answer:
    """Return the answer of a redirect's domain, the same for every path (Appwrite's `router`)."""
    return Answer(rule.redirect_status_code, b"", [(b"location", rule.redirect_url.encode())])


def _own(cookie: bytes) -> bytes:
    """Return a cookie for one host alone: the domains of functions have one parent, and functions many owners."""
    pair, *attributes = cookie.split(b";")
    kept = (item for item in attributes if item.partition(b"=")[0].strip().lower() != b"domain")
    return b";".join((pair, *kept))


def _encoded(value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode()


def _shown(problem: Answer, scope: Scope) -> Answer:
    return problem if wants_json(scope) else page_of(problem)
