"""Git: deployments of a reference, and webhooks of repository hosts for pushes."""

import contextlib
import functools
from typing import Annotated

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from minifn import jsontext
from minifn.api.wire import bodies, body_stream, responses
from minifn.api.wire.answers import error_answer, json_answer
from minifn.api.wire.operation import FUNCTIONS_WRITE, PUBLIC, Call, Operation
from minifn.api.wire.params import Boolean, Id, OneOf, Params, Text
from minifn.errors import (
    AccessForbidden,
    FunctionEntrypointMissing,
    FunctionNotFound,
    InstallationNotFound,
    MinifnError,
)

#: Most bytes of a webhook, as on GitHub.
_EVENT_BYTES_MAX = 25 * 1024 * 1024


class CreateVcsDeployment(Params, frozen=True, kw_only=True):
    """A branch, commit or tag of the function's repository."""

    function_id: Annotated[str, Id()]
    type: Annotated[str, OneOf(("branch", "commit", "tag"))]
    reference: Annotated[str, Text(255)]
    activate: Annotated[bool, Boolean(loose=True)] = False


class Installation(Params, frozen=True, kw_only=True):
    """An installation's id."""

    installation_id: Annotated[str, Id()]


class Repository(msgspec.Struct, frozen=True):
    """A repository in a push event."""

    name: str = ""
    full_name: str = ""


class Event(msgspec.Struct, frozen=True):
    """A push event, reduced to its repository."""

    repository: Repository = Repository()


class PushWebhook:
    """Reads and answers a push event; its signature covers the raw body."""

    def __init__(self, call: Call, installation_id: str) -> None:
        self._call = call
        self._installation_id = installation_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = json_answer({"total": await self._answer(receive)}, 202)
        except MinifnError as exc:
            answer = error_answer(exc)
        await answer(scope, receive, send)

    async def _answer(self, receive: Receive) -> int:
        call = self._call
        git = call.parts.git
        git.check_installation(self._installation_id)
        budget = call.parts.budgets.bodies
        body = await body_stream.read_bytes(receive, _EVENT_BYTES_MAX, budget)
        try:
            # Verify before parsing.
            await git.check_signature(
                self._installation_id, body, call.header(b"x-hub-signature-256")
            )
            pushed = call.header(b"x-github-event") in ("push", "")
            step = functools.partial(_names, body, call.header(b"content-type"))
            names = await body_stream.decoded(body, step) if pushed else set()
            return await git.pushed_elsewhere(self._installation_id, names)
        finally:
            budget.give(len(body))


def _names(body: bytes, content_type: str) -> set[str]:
    """Return a push event's names of its repository, empty without one. Raises ArgumentInvalid."""
    if content_type.startswith("application/x-www-form-urlencoded"):
        body = str(bodies.parse_query(body).get("payload", "")).encode()
    with contextlib.suppress(jsontext.JsonInvalid):
        repository = jsontext.decode_as(Event, body).repository
        return {repository.name, repository.full_name} - {""}
    return set()


async def create_vcs_deployment(call: Call, params: CreateVcsDeployment) -> ASGIApp:
    """Deploy a branch, commit or tag of the function's repository."""
    deployment = await call.parts.git.deploy(
        params.function_id, params.type, params.reference, activate=params.activate
    )
    return json_answer(responses.deployment(deployment, call.shape), 202)


async def create_event(call: Call, params: Installation) -> ASGIApp:
    """Fetch a repository after a push to it."""
    return PushWebhook(call, params.installation_id)


OPERATIONS = (
    Operation(
        name="functions.createVcsDeployment",
        method="POST",
        path="/functions/{functionId}/deployments/vcs",
        scopes=FUNCTIONS_WRITE,
        params=CreateVcsDeployment,
        handler=create_vcs_deployment,
        statuses=(202,),
        model="deployment",
        errors=(FunctionNotFound, InstallationNotFound, FunctionEntrypointMissing),
    ),
    Operation(
        name="vcs.createEvent",
        method="POST",
        path="/vcs/{installationId}/events",
        scopes=PUBLIC,
        params=Installation,
        handler=create_event,
        needs_project=False,
        statuses=(202,),
        errors=(InstallationNotFound, AccessForbidden),
    ),
)
