"""What minifn does to its own records, for whoever listens: the realtime interface of the API.

Each change has the name of an Appwrite event (`app/config/events.php`). Functions cannot subscribe to it, so that
nothing is done about a change while nobody listens.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

import msgspec

from minifn.models import Deployment, Execution, ExecutionResult, Function, Record, Variable

Action = Literal["create", "update", "delete"]

#: How the events of each kind of record are named; what is in brackets is an id.
NAMES: Mapping[type[Record], str] = {
    Function: "functions.[functionId]",
    Deployment: "functions.[functionId].deployments.[deploymentId]",
    Execution: "functions.[functionId].executions.[executionId]",
    Variable: "functions.[functionId].variables.[variableId]",
}
#: The same for variables of the whole project.
PROJECT_VARIABLE = "variables.[variableId]"


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A record that was created, changed or deleted, as it is afterwards, or was last."""

    action: Action
    record: Function | Deployment | Execution | Variable
    #: Of a function: its variables.
    variables: tuple[Variable, ...] = ()
    #: Of a synchronous execution: its answer.
    result: ExecutionResult | None = None

    @property
    def event(self) -> tuple[str, ...]:
        """The parts of the event's name. Ids may have dots in them, so the name itself could be misread."""
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
    """A piece of a build log that has just been stored; the deployment's pieces make up its log."""

    deployment_id: str
    text: str


class ChangeFeed:
    """Passes changes on to those who listen."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[Change], None]] = []
        self._followers: list[Callable[[Change | LogPiece], None]] = []

    @property
    def heard(self) -> bool:
        """Whether anybody listens: only then is it worth finding out more about a change."""
        return bool(self._listeners)

    def listen(self, listener: Callable[[Change], None]) -> None:
        """Have `listener` called with every change from now on; it must not fail, nor wait."""
        self._listeners.append(listener)

    def ignore(self, listener: Callable[[Change], None]) -> None:
        """Undo `listen`."""
        self._listeners.remove(listener)

    @contextlib.contextmanager
    def followed(self, follower: Callable[[Change | LogPiece], None]) -> Iterator[None]:
        """Pass every change and piece of a build log to `follower`, which must not fail, nor wait.

        `heard` stays as it is: a follower takes the log of a build and causes no read of its record.
        """
        self._followers.append(follower)
        try:
            yield
        finally:
            self._followers.remove(follower)

    def tell_log(self, deployment_id: str, text: str) -> None:
        """Say that `text` was appended to the log of a deployment."""
        for follower in tuple(self._followers):
            follower(LogPiece(deployment_id=deployment_id, text=text))

    def tell(
        self,
        action: Action,
        record: Function | Deployment | Execution | Variable,
        *,
        variables: tuple[Variable, ...] = (),
        result: ExecutionResult | None = None,
    ) -> None:
        """Say what was done. Costs nothing when nobody listens."""
        if not self._listeners and not self._followers:
            return
        change = Change(action=action, record=record, variables=variables, result=result)
        for listener in (*self._listeners, *self._followers):
            listener(change)
