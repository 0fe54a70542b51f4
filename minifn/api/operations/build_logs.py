"""The log of one build: from its beginning, then as the build writes it, to its end."""

import contextlib
from collections.abc import Iterator
from typing import Annotated

from starlette.types import ASGIApp

from minifn.api.wire.event_stream import CONTENT_TYPE, EventStream, Outbox
from minifn.api.wire.operation import FUNCTIONS_READ, Call, Operation
from minifn.api.wire.params import Id, Params
from minifn.change_feed import Change, LogPiece
from minifn.errors import DeploymentNotFound, Overloaded
from minifn.limits import LOG_LIMIT_CHARS
from minifn.models import UNFINISHED_BUILD, Deployment, Function
from minifn.store import deployments


class OneDeployment(Params, frozen=True, kw_only=True):
    """A deployment of any function."""

    deployment_id: Annotated[str, Id()]


class BuildFollower:
    """Turns a stored log and the news of its build into events for one reader."""

    def __init__(self, deployment: Deployment, outbox: Outbox) -> None:
        self._deployment = deployment
        self._outbox = outbox

    def begin(self) -> None:
        """Send what is stored."""
        if self._deployment.build_logs:
            self._outbox.put("log", {"text": self._deployment.build_logs})
        self._end_if_over(self._deployment)

    def hear(self, news: Change | LogPiece) -> None:
        """Take news of the feed."""
        if isinstance(news, LogPiece):
            if news.deployment_id == self._deployment.id and not self._knows(news):
                self._outbox.put("log", {"text": news.text})
            return
        record = news.record
        if isinstance(record, Deployment) and record.id == self._deployment.id:
            self._end_if_over(record)
        gone = record.id in (self._deployment.id, self._deployment.function_id)
        if gone and news.action == "delete" and isinstance(record, Deployment | Function):
            self._outbox.end()

    def _knows(self, piece: LogPiece) -> bool:
        """Tell whether the stored log had a piece already, which came while it was read."""
        stored = self._deployment.build_logs
        if len(stored) < LOG_LIMIT_CHARS:
            return 0 < piece.stored_chars <= len(stored)
        return stored.endswith(piece.text)

    def _end_if_over(self, deployment: Deployment) -> None:
        if deployment.status not in UNFINISHED_BUILD:
            content = {
                "status": deployment.status,
                "seconds": deployment.build_duration_seconds,
                "size": deployment.build_size_bytes,
            }
            self._outbox.put("end", content)
            self._outbox.end()


async def find(call: Call, deployment_id: str) -> Deployment:
    """Return a deployment of any function that the caller may touch. Raises DeploymentNotFound."""
    found = await call.parts.database.read(deployments.by_id, deployment_id)
    if found is None or not call.caller.may_touch(found.function_id):
        raise DeploymentNotFound
    return found


async def follow(call: Call, params: OneDeployment) -> ASGIApp:
    """Follow the log of a build: `log` from its beginning and on, `end` with its outcome."""
    early: list[Change | LogPiece] = []
    # Before the log is read, so that nothing is missed in between.
    with call.parts.changes.followed(early.append):
        deployment = await find(call, params.deployment_id)

    @contextlib.contextmanager
    def source(outbox: Outbox) -> Iterator[None]:
        follower = BuildFollower(deployment, outbox)
        follower.begin()
        for news in early:
            follower.hear(news)
        with call.parts.changes.followed(follower.hear):
            yield

    return EventStream(call, source)


OPERATIONS = (
    Operation(
        name="minifn.followBuildLogs",
        method="GET",
        path="/minifn/build-logs/{deploymentId}",
        scopes=FUNCTIONS_READ,
        params=OneDeployment,
        handler=follow,
        needs_project=False,
        for_restricted=True,
        keys_only=True,
        content_types=(CONTENT_TYPE,),
        errors=(DeploymentNotFound, Overloaded),
    ),
)
