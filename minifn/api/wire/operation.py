"""An operation of the API, declared as data, and the steps of every request to it.

The order of the steps is part of the contract (Appwrite's `app/controllers/shared/api.php`): the
page's origin, the caller, the scope, the rate limit, the project, each parameter in its order, and
last the existence of the record. A caller without the scope never learns whether a function exists
or a parameter is valid.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from minifn.api.access.callers import GUEST, Authenticator, scope_missing
from minifn.api.access.console_sessions import ConsoleSessions
from minifn.api.access.operators import Operators
from minifn.api.access.origins import Origins
from minifn.api.access.rates import Allowance, Rate
from minifn.api.wire import bodies
from minifn.api.wire.answers import Answer, deliver, error_answer, unexpected_answer
from minifn.api.wire.body_stream import THREAD_BYTES, read_bytes
from minifn.api.wire.formats import Shape, shape_of
from minifn.api.wire.forms import upload
from minifn.api.wire.params import Limits, Params, Reader, fields_of
from minifn.api.wire.specifications import offered
from minifn.errors import (
    AccessForbidden,
    DeploymentInvalidFileSize,
    FunctionNotFound,
    MinifnError,
    RateLimitExceeded,
    StorageInvalidFileSize,
    UserUnauthorized,
)
from minifn.limits import CHUNK_BYTES
from minifn.models import Caller
from minifn.parts import Parts
from minifn.services.uploads import UploadedFile

FUNCTIONS_READ = ("functions.read",)
FUNCTIONS_WRITE = ("functions.write",)
EXECUTIONS_READ = ("execution.read", "executions.read")
EXECUTIONS_WRITE = ("execution.write", "executions.write")
PROJECT_READ = ("project.read",)
PROJECT_WRITE = ("project.write",)
#: Scopes of the operator and of the admin key; no API key can have them.
PROJECTS_READ = ("projects.read",)
PROJECTS_WRITE = ("projects.write",)
USERS_READ = ("users.read",)
TEAMS_READ = ("teams.read",)
USAGE_READ = ("usage.read",)
KEYS_READ = ("keys.read",)
KEYS_WRITE = ("keys.write",)
RULES_READ = ("rules.read",)
RULES_WRITE = ("rules.write",)
EVENTS_WRITE = ("events.write",)
#: Scopes of operations that every caller may use.
PUBLIC = ()

#: The window of rate limits.
RATE_SECONDS = 60
_FORM = "multipart/form-data"


class Context:
    """The parts of the server that operations use; most are made at the first request."""

    def __init__(self, parts: Parts, operations: "tuple[Operation, ...]" = ()) -> None:
        self.parts = parts
        #: All operations of the API.
        self.operations = operations
        #: Bodies of answers that are encoded once, by name.
        self.made: dict[str, bytes] = {}
        parts.on_stop.append(self._forget)

    def _forget(self) -> None:
        """Look everything up again at the first request after the next start."""
        for name in ("authenticator", "operators", "consoles", "origins", "limits"):
            self.__dict__.pop(name, None)
        self.made.clear()

    @functools.cached_property
    def authenticator(self) -> Authenticator:
        """Identifies callers."""
        parts = self.parts
        return Authenticator(
            project=parts.config.project,
            admin_key=parts.admin_key,
            keys=parts.keys,
            tokens=parts.tokens,
            operators=self.operators,
            consoles=self.consoles,
        )

    @functools.cached_property
    def operators(self) -> Operators:
        """Signs operators in and out."""
        return Operators(self.parts.database, self.parts.admin_key, self.parts.rate_clock)

    @functools.cached_property
    def consoles(self) -> ConsoleSessions:
        """Sessions of the console."""
        parts = self.parts
        return ConsoleSessions(
            operators=self.operators,
            admin_key=parts.admin_key,
            keys=parts.keys,
            links=parts.sign_in_links,
        )

    @functools.cached_property
    def origins(self) -> Origins:
        """Pages that may call the API."""
        config = self.parts.config
        return Origins(config.origins, config.functions_domain, self.parts.domains.is_given)

    @functools.cached_property
    def limits(self) -> Limits:
        """Limits in the rules of parameters."""
        return limits_of(self.parts)


def limits_of(parts: Parts) -> Limits:
    """Return the limits in the rules of parameters of one server."""
    return Limits(
        timeout_max_seconds=parts.config.timeout_max,
        specifications=tuple(item.slug for item in offered(parts.config)),
        runtimes=frozenset(runtime.id for runtime in parts.runtimes.all()),
    )


class Call:
    """One request, as its handler gets it."""

    __slots__ = (
        "allowance",
        "body_bytes",
        "caller",
        "context",
        "files",
        "headers",
        "in_project",
        "parts",
        "scope",
        "shape",
    )

    def __init__(self, context: Context, scope: Scope, headers: dict[bytes, bytes]) -> None:
        self.parts = context.parts
        self.context = context
        self.scope = scope
        #: By lower-case name; the last header of a name.
        self.headers = headers
        self.shape: Shape = shape_of(self.header(b"x-appwrite-response-format"))
        self.caller: Caller = GUEST
        #: The request names this project, neither none nor the project `console`.
        self.in_project = False
        #: The rest of the operation's rate limit, None without a limit.
        self.allowance: Allowance | None = None
        #: Bytes of the body that count in the budget until the answer is made.
        self.body_bytes = 0
        #: Files of an upload, on disk until the handler returns.
        self.files: dict[str, UploadedFile] = {}

    def header(self, name: bytes) -> str:
        """Return a header's value, "" if it was not sent."""
        return self.headers.get(name, b"").decode("latin-1")

    @property
    def client_ip(self) -> str:
        """The client's address, as the server sees it."""
        client = self.scope.get("client")
        return str(client[0]) if client else ""

    def has_scope(self, scopes: Iterable[str]) -> bool:
        """Tell whether the caller has one of the scopes."""
        return self.caller.scopes is None or not self.caller.scopes.isdisjoint(scopes)


async def authenticate(call: Call) -> None:
    """Set the caller and `in_project`. Raises what `Authenticator.identify` raises."""
    project = call.headers.get(b"x-appwrite-project", b"")
    query = call.scope["query_string"]
    if b"project=" in query:
        given = bodies.parse_query(query).get("project")
        if isinstance(given, str):
            project = given.encode()
    credentials = call.context.origins.credentials(call.headers)
    call.caller = await call.context.authenticator.identify(credentials, project)
    call.in_project = project not in (b"", b"console")


Handler = Callable[[Call, Any], Awaitable[ASGIApp]]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation: its SDK name, its place, its callers, its parameters and its handler."""

    name: str
    method: str
    #: The path below /v1, with wire names of parameters in braces.
    path: str
    #: Scopes, one of which the caller needs.
    scopes: tuple[str, ...]
    params: type[Params]
    handler: Handler
    #: Requests must name the project.
    needs_project: bool = True
    #: Keys that are restricted to functions may call it, though its path names none: its handler
    #: heeds `caller.reach`, or it concerns no function.
    for_restricted: bool = False
    #: Users and guests may not call it, although they have the scope for what is their own.
    keys_only: bool = False
    #: A token in the query, which the handler checks, can replace the scope.
    presigned: bool = False
    #: The multipart body has files.
    upload: bool = False
    #: Statuses of the answers; () = 200, for POST 201 and for DELETE 204.
    statuses: tuple[int, ...] = ()
    #: Record in the answers, as `models.py` names it; a plural is a list, "" any object.
    model: str = ""
    #: Media types of the answers.
    content_types: tuple[str, ...] = ("application/json",)
    #: Errors of the operation, besides those that all operations share.
    errors: tuple[type[MinifnError], ...] = ()
    #: How often one address may call it in RATE_SECONDS, 0 for no limit. Keys are not counted.
    rate_limit: int = 0
    #: Whether its requests skip the router, because it is called most.
    fast: bool = False
    #: The operation that takes its place for clients of 0.x.
    before_1_3: "Operation | None" = None


class Endpoint:
    """An operation that answers requests: an ASGI application."""

    def __init__(self, operation: Operation, context: Context) -> None:
        self.operation = operation
        self._context = context
        old = operation.before_1_3
        self._before_1_3 = None if old is None else Endpoint(old, context)
        clock = context.parts.rate_clock
        self._rate = (
            Rate(operation.rate_limit, RATE_SECONDS, clock) if operation.rate_limit else None
        )
        self._scopes = frozenset(operation.scopes)
        fields = fields_of(operation.params)
        #: The operation has parameters outside the path.
        self._takes_more = any(f"{{{field.wire_name}}}" not in operation.path for field in fields)

    @functools.cached_property
    def _reader(self) -> Reader[Params]:
        return Reader(self.operation.params, self._context.limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = await self.answer(scope, receive)
        await deliver(answer, self._context.parts.budgets.answers, scope, receive, send)

    async def answer(self, scope: Scope, receive: Receive) -> ASGIApp:
        """Return the answer to a request; its errors are answers too."""
        call = Call(self._context, scope, dict(scope["headers"]))
        old = call.shape < Shape.V1_3
        endpoint = self._before_1_3 if old and self._before_1_3 is not None else self
        operation = endpoint.operation
        answer: ASGIApp
        try:
            await endpoint._check(call)
            if operation.upload and call.header(b"content-type").lower().startswith(_FORM):
                answer = await endpoint._answer_upload(call, receive)
            else:
                answer = await operation.handler(call, await endpoint._params(call, receive))
        except MinifnError as exc:
            answer = error_answer(exc, typed=not old)
        except Exception as exc:
            answer = unexpected_answer(exc, scope, typed=not old)
        finally:
            call.parts.budgets.bodies.give(call.body_bytes)
        if call.allowance is not None and isinstance(answer, Answer):
            answer.headers += call.allowance.headers()
        return answer

    async def _check(self, call: Call) -> None:
        """Check the caller and its rights. Raises MinifnError."""
        operation = self.operation
        has_key = bool(call.headers.get(b"x-appwrite-key"))
        if not has_key:
            self._context.origins.check(call.scope["method"], call.headers)
        await authenticate(call)
        if has_key and not call.caller.privileged:
            # The key is unknown, so the caller is trusted no more than a page.
            self._context.origins.check(call.scope["method"], call.headers)
        if self._scopes and not call.has_scope(self._scopes):
            self._check_token(call)
        if operation.keys_only and not call.caller.privileged:
            raise scope_missing(call.caller, operation.scopes[0])
        if call.caller.reach:
            await self._check_reach(call, call.scope["path_params"])
        if self._rate is not None:
            self._check_rate(self._rate, call)
        if operation.needs_project and not call.in_project:
            raise AccessForbidden(
                "This operation belongs to a project: name it in the X-Appwrite-Project header."
            )

    async def _params(self, call: Call, receive: Receive) -> Params:
        """Return the parameters of a request that is no upload. Raises ArgumentInvalid."""
        path_params = call.scope["path_params"]
        if not self._takes_more:
            return self._reader.read(path_params)
        if call.scope["method"] in ("GET", "HEAD"):
            sent = bodies.parse_query(call.scope["query_string"])
            return self._reader.read({**sent, **path_params})
        # While the function runs only its own body stays in memory, not the whole request.
        body = await read_bytes(receive, budget=call.parts.budgets.bodies)
        call.body_bytes = len(body)
        content_type = call.header(b"content-type")
        if len(body) <= THREAD_BYTES:
            return self._read(body, content_type, path_params)
        return await asyncio.to_thread(self._read, body, content_type, path_params)

    def _read(self, body: bytes, content_type: str, path_params: dict[str, Any]) -> Params:
        return self._reader.read({**bodies.decode(body, content_type), **path_params})

    def _check_token(self, call: Call) -> None:
        """Raise UnauthorizedScope unless the caller sent a token that replaces the scope."""
        if not (self.operation.presigned and b"token=" in call.scope["query_string"]):
            raise scope_missing(call.caller, self.operation.scopes[0])

    async def _check_reach(self, call: Call, path_params: dict[str, Any]) -> None:
        """Check a key that is restricted to functions; one that it changes is confined too.

        Raises FunctionNotFound and UserUnauthorized.
        """
        operation = self.operation
        if "{functionId}" in operation.path:
            function_id = path_params["functionId"]
            if not call.caller.may_touch(function_id):
                raise FunctionNotFound
            if operation.scopes == FUNCTIONS_WRITE:
                await call.parts.functions.confine(function_id, call.caller.reach)
        elif operation.scopes and not operation.for_restricted:
            raise UserUnauthorized(
                "This API key is restricted to functions, and the operation concerns all of them."
            )

    def _check_rate(self, rate: Rate, call: Call) -> None:
        # Appwrite also counts by host, but the client chooses that name freely.
        key = call.client_ip
        if call.caller.privileged:
            call.allowance = rate.look(key)
            return
        call.allowance = rate.count(key)
        if call.allowance.exceeded:
            raise RateLimitExceeded

    async def _answer_upload(self, call: Call, receive: Receive) -> ASGIApp:
        parts = call.parts
        content_type = call.header(b"content-type")
        limit_bytes = parts.config.upload_limit + CHUNK_BYTES
        incoming = parts.budgets.uploads
        incoming.take(1)
        try:
            async with upload(receive, content_type, parts.data.deployments, limit_bytes) as form:
                call.files = form.files()
                sent = {**form.params(), **call.scope["path_params"]}
                return await self.operation.handler(call, self._reader.read(sent))
        except StorageInvalidFileSize as exc:
            if call.shape is Shape.FULL:
                raise DeploymentInvalidFileSize from exc
            raise
        finally:
            incoming.give(1)
