"""Functions on their own domains: `<functionId>.<functions domain>`, and domains given by rules.

A rule may instead redirect its domain, or have the API answer there.

Any method and path reach the function, and its answer goes out unchanged. Keys, sessions and JWTs
are ignored, so the function must be open to guests (Appwrite's `app/controllers/general.php`,
`router`). As with every execution, the record is committed before the answer leaves; Appwrite
writes it afterwards and may lose it.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from minifn.api import function_http
from minifn.api.access.callers import GUEST
from minifn.api.hosts import host_of, origin_of, prefix_of
from minifn.api.mounts import refuse_not_running
from minifn.api.wire import body_stream
from minifn.api.wire.answers import Answer, deliver, error_answer, unexpected_answer
from minifn.api.wire.error_pages import page_of, wants_json
from minifn.api.wire.operation import EXECUTIONS_READ, Context
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
from minifn.models import Caller, Rule, Target
from minifn.services.executions import check_ready
from minifn.store import executions

#: Most digits of a Content-Length.
LENGTH_DIGITS_MAX = 18
NO_WEBSOCKETS = "WebSockets do not reach functions. Call this domain with plain HTTP requests."


class Domains:
    """Middleware that answers for the domains of functions and redirects, outside the API."""

    def __init__(self, app: ASGIApp, functions: "FunctionDomains") -> None:
        self._app = app
        self._functions = functions
        self._parts = functions.parts

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
            await _refuse_websocket(scope, receive, send)
            return
        answer = (
            _redirect(route)
            if isinstance(route, Rule)
            else await self._functions.answer(route, scope, receive)
        )
        if scope["method"] == "HEAD":
            answer.body = b""
        await deliver(answer, self._parts.budgets.answers, scope, receive, send)


class FunctionDomains:
    """Answers the requests to the domains of functions."""

    def __init__(self, context: Context) -> None:
        self.parts = context.parts
        self._context = context
        self._suffix = f".{context.parts.config.functions_domain}"

    async def answer(self, function_id: str, scope: Scope, receive: Receive) -> Answer:
        """Return a function's answer to a request; errors are answers too."""
        try:
            return await self._call(function_id, scope, receive)
        except MinifnError as exc:
            problem = error_answer(exc)
            if exc.execution_id:
                problem.headers.append((b"x-appwrite-execution-id", exc.execution_id.encode()))
            return await self._explained(problem, scope, function_id, exc.execution_id)
        except Exception as exc:
            return _shown(unexpected_answer(exc, scope), scope)

    async def _call(self, function_id: str, scope: Scope, receive: Receive) -> Answer:
        caller = self.parts.domains.caller or GUEST
        target = await self._target(function_id, caller)
        budget = self.parts.budgets.bodies
        body = await _read(scope, receive, budget)
        try:
            request = function_http.request_of(scope, body, caller)
            result = await self.parts.executions.execute(target, request)
            if function_http.is_bare_error(result, scope):
                problem = function_http.problem_of(result)
                answer = await self._explained(problem, scope, function_id, result.execution.id)
            else:
                answer = function_http.answer_of(result, scope)
        finally:
            budget.give(len(body))
        if host_of(scope).endswith(self._suffix):
            # These domains share a parent, and their functions have different owners.
            function_http.confine_cookies(answer)
        return answer

    async def _explained(
        self, problem: Answer, scope: Scope, function_id: str, execution_id: str
    ) -> Answer:
        """Return an error as a page with the execution that ended in it, or as JSON.

        Callers who may read executions, such as the operator, see the execution's output too.
        """
        if wants_json(scope):
            return problem
        texts = {}
        if execution_id and await self._reads_executions(scope, function_id):
            execution = await self.parts.database.read(executions.get, function_id, execution_id)
            if execution is not None:
                texts = {"Errors": execution.errors, "Logs": execution.logs}
        return page_of(problem, execution_id, {name: text for name, text in texts.items() if text})

    async def _reads_executions(self, scope: Scope, function_id: str) -> bool:
        """Tell whether a request has a key, or the operator's session, that reads executions."""
        try:
            caller = await self._context.authenticator.identify(dict(scope["headers"]), b"")
        except MinifnError:
            return False
        return (
            caller.privileged
            and (caller.scopes is None or not caller.scopes.isdisjoint(EXECUTIONS_READ))
            and caller.may_touch(function_id)
        )

    async def _target(self, function_id: str, caller: Caller) -> Target:
        """Return a function that can run and is open to the caller, usually a guest.

        Raises RuleNotFound, FunctionNotFound, DeploymentNotFound, BuildNotReady and
        FunctionExecutePermissionMissing, in Appwrite's order.
        """
        try:
            target = await self.parts.targets.of(function_id)
        except FunctionNotFound as exc:
            raise RuleNotFound(
                "Nothing is here yet. Start with this domain by creating a function with the ID"
                f" {function_id!r}, or by giving the domain to a function with a rule."
            ) from exc
        if not target.function.enabled:
            raise FunctionNotFound
        try:
            check_ready(target)
        except DeploymentNotFound as exc:
            raise DeploymentNotFound(
                "No active deployments. View deployments of this function and activate one, or"
                " upload one."
            ) from exc
        if caller.roles.isdisjoint(target.function.execute):
            raise FunctionExecutePermissionMissing(
                "Execution not permitted. View settings of this function: callers of its domain are"
                " guests, so its execute access must hold `any` or `guests`."
            )
        return target


async def _read(scope: Scope, receive: Receive, budget: Budget) -> bytes:
    """Return the body, its memory taken from `budget`.

    Raises NotImplementedByServer for a WebSocket handshake, RequestTooLarge and Overloaded. A body
    whose announced length is too large is refused unread.
    """
    too_large = f"The request's body is too large. Functions take up to {BODY_LIMIT_BYTES:,} bytes."
    for name, value in scope["headers"]:
        if name == b"upgrade" and b"websocket" in value.lower():
            raise NotImplementedByServer(NO_WEBSOCKETS)
        # Python reads no number of thousands of digits.
        is_length = name == b"content-length" and value.isdigit()
        if is_length and (len(value) > LENGTH_DIGITS_MAX or int(value) > BODY_LIMIT_BYTES):
            raise RequestTooLarge(too_large)
    try:
        return await body_stream.read_bytes(receive, BODY_LIMIT_BYTES, budget)
    except body_stream.BodyTooLong as exc:
        raise RequestTooLarge(too_large) from exc


async def _refuse_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a handshake with an error, or by closing where the server supports no answer."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1003, "reason": NO_WEBSOCKETS})
        return

    async def send_as_handshake(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    refusal = _shown(error_answer(NotImplementedByServer(NO_WEBSOCKETS)), scope)
    await refusal(scope, receive, send_as_handshake)


def _redirect(rule: Rule) -> Answer:
    """Return the answer of a redirect's domain, the same for every path (Appwrite's `router`)."""
    return Answer(rule.redirect_status_code, b"", [(b"location", rule.redirect_url.encode())])


def _shown(problem: Answer, scope: Scope) -> Answer:
    return problem if wants_json(scope) else page_of(problem)
