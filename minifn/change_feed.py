"""A feed of changes to minifn's own records; the realtime API, pushes and live logs listen to it.

Each change has the name of an Appwrite event (`app/config/events.php`). Functions cannot subscribe
to these events, so a change costs nothing while there is no listener. Followers also hear of builds
while they run, watchers of executions.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

import msgspec

from minifn.models import Deployment, Execution, ExecutionResult, Function, Record, Variable

Action = Literal["create", "update", "delete"]

#: Kind of record -> pattern of its event names; a part in brackets is an id.
NAMES: Mapping[type[Record], str] = {
    Function: "functions.[functionId]",
    Deployment: "functions.[functionId].deployments.[deploymentId]",
    Execution: "functions.[functionId].executions.[executionId]",
    Variable: "functions.[functionId].variables.[variableId]",
}
#: Pattern of the event names of project variables.
PROJECT_VARIABLE = "variables.[variableId]"


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A record that was created, changed or deleted, in its new state, or its last one."""

    action: Action
    record: Function | Deployment | Execution | Variable
    #: Variables of a changed function.
    variables: tuple[Variable, ...] = ()
    #: Answer of a synchronous execution.
    result: ExecutionResult | None = None

    @property
    def event(self) -> tuple[str, ...]:
        """The parts of the event's name; a joined name is ambiguous, since ids may contain dots."""
        record = self.record
        if isinstance(record, Function):
            pattern, ids = NAMES[Function], [record.id]
        elif isinstance(record, Variable) and not record.function_id:
            pattern, ids = PROJECT_VARIABLE, [record.id]
        else:
            pattern, ids = NAMES[type(record)], [record.function_id, record.id]
        given = iter(ids)
        return (
            *(next(given) if part.startswith("[") else part for part in pattern.split(".")),
            self.action,
        )


class LogPiece(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a build log that was just stored."""

    deployment_id: str
    text: str
    #: Characters of the stored log, which ends with the piece.
    stored_chars: int = 0


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """An execution that begins to run; its end is a Change."""

    execution: Execution


class Printed(msgspec.Struct, frozen=True, kw_only=True):
    """Lines that a function has just logged."""

    execution_id: str
    function_id: str
    stream: Literal["logs", "errors"]
    text: str


#: All that a watcher hears.
News = Change | LogPiece | Begun | Printed


class ChangeFeed:
    """Passes changes on to listeners and followers."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[Change], None]] = []
        self._followers: list[Callable[[Change | LogPiece], None]] = []
        self._watchers: list[Callable[[News], None]] = []
        #: Whether there is a watcher: only then do executions tell what happens while they run.
        self.live = False

    @property
    def heard(self) -> bool:
        """Whether there is a listener: only then are the details of a change read."""
        return bool(self._listeners)

    def listen(self, listener: Callable[[Change], None]) -> None:
        """Have `listener` called with every change; it must not fail or wait."""
        self._listeners.append(listener)

    def ignore(self, listener: Callable[[Change], None]) -> None:
        """Undo `listen`."""
        self._listeners.remove(listener)

    @contextlib.contextmanager
    def followed(self, follower: Callable[[Change | LogPiece], None]) -> Iterator[None]:
        """Pass every change and piece of a build log to `follower`, which must not fail or wait.

        `heard` stays unchanged: a follower takes the pieces of a log and needs no read of a record.
        """
        self._followers.append(follower)
        try:
            yield
        finally:
            self._followers.remove(follower)

    @contextlib.contextmanager
    def watched(self, watcher: Callable[[News], None]) -> Iterator[None]:
        """Have `watcher` follow, and hear also of executions while they run."""
        with self.followed(watcher):
            self._watchers.append(watcher)
            self.live = True
            try:
                yield
            finally:
                self._watchers.remove(watcher)
                self.live = bool(self._watchers)

    def tell_log(self, deployment_id: str, text: str, stored_chars: int = 0) -> None:
        """Publish `text`, with which the stored log of a deployment now ends."""
        piece = LogPiece(deployment_id=deployment_id, text=text, stored_chars=stored_chars)
        for follower in tuple(self._followers):
            follower(piece)

    def tell_watchers(self, news: News) -> None:
        """Publish what only watchers hear. Ask `live` before news is made that is frequent."""
        for watcher in tuple(self._watchers):
            watcher(news)

    def tell(
        self,
        action: Action,
        record: Function | Deployment | Execution | Variable,
        *,
        variables: tuple[Variable, ...] = (),
        result: ExecutionResult | None = None,
    ) -> None:
        """Publish a change; does nothing without listeners."""
        if not self._listeners and not self._followers:
            return
        change = Change(action=action, record=record, variables=variables, result=result)
        for listener in (*self._listeners, *self._followers):
            listener(change)
