"""An operation of the API, declared as data, and the steps every request to one goes through.

The order of the steps is part of the contract (Appwrite's `app/controllers/shared/api.php`): from which page, who is
calling, the scope, the project, then each parameter in its order, and only then whether the thing exists. A caller
without the scope never learns whether a function exists, nor whether a parameter was right.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from minifn.api.access.callers import GUEST, Authenticator
from minifn.api.access.operators import Operators
from minifn.api.access.origins import Origins
from minifn.api.access.rates import Allowance, Rate
from minifn.api.wire import bodies
from minifn.api.wire.answers import SHORT_BYTES, Answer, deliver, error_answer, unexpected_answer
from minifn.api.wire.formats import Shape, shape_of
from minifn.api.wire.params import Limits, Params, Reader, fields_of
from minifn.api.wire.specifications import offered
from minifn.errors import (
    AccessForbidden,
    DeploymentInvalidFileSize,
    MinifnError,
    RateLimitExceeded,
    StorageInvalidFileSize,
    UnauthorizedScope,
)
from minifn.limits import CHUNK_BYTES
from minifn.models import Caller, CallerKind
from minifn.parts import Parts
from minifn.services.deployments import UploadedFile

FUNCTIONS_READ = ("functions.read",)
FUNCTIONS_WRITE = ("functions.write",)
EXECUTIONS_READ = ("execution.read", "executions.read")
EXECUTIONS_WRITE = ("execution.write", "executions.write")
PROJECT_READ = ("project.read",)
PROJECT_WRITE = ("project.write",)
#: No API key can have it: the operator's, and the admin key's.
PROJECTS_READ = ("projects.read",)
USERS_READ = ("users.read",)
TEAMS_READ = ("teams.read",)
USAGE_READ = ("usage.read",)
KEYS_READ = ("keys.read",)
KEYS_WRITE = ("keys.write",)
RULES_READ = ("rules.read",)
RULES_WRITE = ("rules.write",)
EVENTS_WRITE = ("events.write",)
#: For operations open to everybody.
PUBLIC = ()

#: The window of rate limits.
RATE_SECONDS = 60

_ROLE_LABELS = {
    CallerKind.KEY: "applications",
    CallerKind.USER: "users",
    CallerKind.GUEST: "guests",
}


class Context:
    """What every operation needs of the server, looked up at the first request."""

    def __init__(self, parts: Parts, operations: "tuple[Operation, ...]" = ()) -> None:
        self.parts = parts
        #: Everything the API can do.
        self.operations = operations
        #: Answers that are made once, by name.
        self.made: dict[str, bytes] = {}
        parts.on_stop.append(self._forget)

    def _forget(self) -> None:
        """Look everything up again at the first request after the next start."""
        for name in ("authenticator", "operators", "origins", "limits"):
            self.__dict__.pop(name, None)
        self.made.clear()

    @functools.cached_property
    def authenticator(self) -> Authenticator:
        """Finds callers."""
        parts = self.parts
        return Authenticator(
            project=parts.config.project,
            admin_key=parts.admin_key,
            keys=parts.keys,
            tokens=parts.tokens,
            operators=self.operators,
        )

    @functools.cached_property
    def operators(self) -> Operators:
        """Signs operators in and out."""
        return Operators(self.parts.database, self.parts.admin_key, self.parts.rate_clock)

    @functools.cached_property
    def origins(self) -> Origins:
        """The pages that may call."""
        config = self.parts.config
        return Origins(config.origins, config.functions_domain, self.parts.domains.is_given)

    @functools.cached_property
    def limits(self) -> Limits:
        """What the rules of parameters depend on."""
        config = self.parts.config
        return Limits(
            timeout_max_seconds=config.timeout_max,
            specifications=tuple(item.slug for item in offered(config)),
            runtimes=frozenset(runtime.id for runtime in self.parts.runtimes.all()),
        )


class Call:
    """One request, as a handler sees it."""

    __slots__ = (
        "allowance",
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
        #: By lower-case name; the last one of a name.
        self.headers = headers
        self.shape: Shape = shape_of(self.header(b"x-appwrite-response-format"))
        self.caller: Caller = GUEST
        #: Whether the request names this project, and not none or the project `console`.
        self.in_project = False
        #: What is left of the operation's rate limit, if it has one.
        self.allowance: Allowance | None = None
        #: The files of an upload, on disk until the handler returns.
        self.files: dict[str, UploadedFile] = {}

    def header(self, name: bytes) -> str:
        """Return a header's value, "" when it was not sent."""
        return self.headers.get(name, b"").decode("latin-1")

    @property
    def client_ip(self) -> str:
        """The address the request came from, as the server saw it."""
        client = self.scope.get("client")
        return str(client[0]) if client else ""

    def has_scope(self, scopes: Iterable[str]) -> bool:
        """Tell whether the caller has one of the scopes."""
        return self.caller.scopes is None or not self.caller.scopes.isdisjoint(scopes)


Handler = Callable[[Call, Any], Awaitable[ASGIApp]]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation: its SDK name, where it is found, who may call it, what it takes and what it does."""

    name: str
    method: str
    #: Below /v1, with the wire names of path parameters in braces.
    path: str
    #: Any one of these is enough.
    scopes: tuple[str, ...]
    params: type[Params]
    handler: Handler
    #: False for what works without naming a project.
    needs_project: bool = True
    #: Whether a token in its query, which the handler checks, does in place of a scope.
    presigned: bool = False
    #: Whether its multipart body brings files.
    upload: bool = False
    #: The statuses of its answers; () = 200, of a POST 201 and of a DELETE 204.
    statuses: tuple[int, ...] = ()
    #: What its answers hold, as `models.py` names it: one record, or a list when it is a plural; "" = any object.
    model: str = ""
    #: Media types of its answers.
    content_types: tuple[str, ...] = ("application/json",)
    #: What it refuses with, besides what every operation may refuse with.
    errors: tuple[type[MinifnError], ...] = ()
    #: How often one address may call it in RATE_SECONDS, 0 for no limit. Keys are not counted.
    rate_limit: int = 0


class Endpoint:
    """An operation that answers requests: an ASGI application. `legacy` answers clients of 0.x in its place."""

    def __init__(
        self, operation: Operation, context: Context, legacy: "Endpoint | None" = None
    ) -> None:
        self.operation = operation
        self._context = context
        self._legacy = legacy
        clock = context.parts.rate_clock
        self._rate = (
            Rate(operation.rate_limit, RATE_SECONDS, clock) if operation.rate_limit else None
        )
        self._scopes = frozenset(operation.scopes)
        fields = fields_of(operation.params)
        #: Whether there are parameters besides those in the path.
        self._takes_more = any(f"{{{field.wire_name}}}" not in operation.path for field in fields)

    @functools.cached_property
    def _reader(self) -> Reader[Params]:
        return Reader(self.operation.params, self._context.limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = Call(self._context, scope, dict(scope["headers"]))
        old = call.shape < Shape.V1_3
        endpoint = self._legacy if old and self._legacy is not None else self
        answer: ASGIApp
        try:
            answer = await endpoint._answer(call, scope, receive)
        except MinifnError as exc:
            answer = error_answer(exc, typed=not old)
        except Exception as exc:
            answer = unexpected_answer(exc, scope, typed=not old)
        if call.allowance is not None and isinstance(answer, Answer):
            answer.headers += call.allowance.headers()
        if isinstance(answer, Answer) and len(answer.body) <= SHORT_BYTES:
            await answer(scope, receive, send)
            return
        await deliver(answer, call.parts.budgets.answers, scope, receive, send)

    async def _answer(self, call: Call, scope: Scope, receive: Receive) -> ASGIApp:
        operation = self.operation
        if not call.headers.get(b"x-appwrite-key"):
            self._context.origins.check(scope["method"], call.headers)
        await self._authenticate(call)
        if not call.caller.privileged:
            # The key was none that this server knows.
            self._context.origins.check(scope["method"], call.headers)
        if self._scopes and not call.has_scope(self._scopes):
            self._check_token(call)
        if self._rate is not None:
            self._check_rate(self._rate, call)
        if operation.needs_project and not call.in_project:
            raise AccessForbidden(
                "This operation belongs to a project: name it in the X-Appwrite-Project header."
            )
        path_params = scope["path_params"]
        if operation.upload:
            return await self._answer_upload(call, path_params, receive)
        if not self._takes_more:
            return await operation.handler(call, self._reader.read(path_params))
        if scope["method"] in ("GET", "HEAD"):
            sent = bodies.parse_query(scope["query_string"])
            return await operation.handler(call, self._reader.read({**sent, **path_params}))
        return await self._answer_body(call, path_params, receive)

    async def _answer_body(
        self, call: Call, path_params: dict[str, Any], receive: Receive
    ) -> ASGIApp:
        room = call.parts.budgets.bodies
        body = await bodies.read_bytes(receive, room=room)
        taken = len(body)
        try:
            sent = (body, call.header(b"content-type"), path_params)
            params = (
                self._read(*sent)
                if taken <= bodies.SHORT_BYTES
                else await asyncio.to_thread(self._read, *sent)
            )
            # While the function runs its own body is in memory, and not all that was sent with it.
            del body, sent
            return await self.operation.handler(call, params)
        finally:
            room.give(taken)

    def _read(self, body: bytes, content_type: str, path_params: dict[str, Any]) -> Params:
        return self._reader.read({**bodies.decode(body, content_type), **path_params})

    async def _authenticate(self, call: Call) -> None:
        """Set the caller and whether the request names this project."""
        project = call.headers.get(b"x-appwrite-project", b"")
        query = call.scope["query_string"]
        if b"project=" in query:
            given = bodies.parse_query(query).get("project")
            if isinstance(given, str):
                project = given.encode()
        credentials = self._context.origins.credentials(call.headers)
        call.caller = await self._context.authenticator.identify(credentials, project)
        call.in_project = project not in (b"", b"console")

    def _check_token(self, call: Call) -> None:
        """Raise UnauthorizedScope unless the caller may have a token in place of the scope, and sent one."""
        if not (self.operation.presigned and b"token=" in call.scope["query_string"]):
            label = _ROLE_LABELS[call.caller.kind]
            raise UnauthorizedScope(
                f"User (role: {label}) missing scope ({self.operation.scopes[0]})"
            )

    def _check_rate(self, rate: Rate, call: Call) -> None:
        # Appwrite counts by host too, which is whatever the client says.
        key = call.client_ip
        if call.caller.privileged:
            call.allowance = rate.look(key)
            return
        call.allowance = rate.count(key)
        if call.allowance.exceeded:
            raise RateLimitExceeded

    async def _answer_upload(
        self, call: Call, path_params: dict[str, Any], receive: Receive
    ) -> ASGIApp:
        content_type = call.header(b"content-type")
        parts = call.parts
        limit_bytes = parts.config.upload_limit + CHUNK_BYTES
        if not content_type.lower().startswith("multipart/form-data"):
            return await self._answer_body(call, path_params, receive)
        incoming = parts.budgets.uploads
        incoming.take(1)
        try:
            async with bodies.upload(
                receive, content_type, parts.data.deployments, limit_bytes
            ) as form:
                call.files = form.files()
                return await self.operation.handler(
                    call, self._reader.read({**form.params(), **path_params})
                )
        except StorageInvalidFileSize as exc:
            if call.shape is Shape.FULL:
                raise DeploymentInvalidFileSize from exc
            raise
        finally:
            incoming.give(1)
