"""Functions in tests: what the fixture `minifn` of the pytest plugin gives, typed."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Unpack

from minifn.embed.options import CallOptions, FunctionOptions
from minifn.embed.records import DeployedFunction
from minifn.ids import is_id, new_id
from minifn.models import ExecutionResult
from minifn.sync import SyncMinifn


class Answer:
    """The end of one call."""

    def __init__(self, result: ExecutionResult) -> None:
        self._result = result
        #: The status code of the answer; 500 for an exception.
        self.status = result.status
        #: The body as text; `content` is its bytes.
        self.body = result.text
        self.content = result.body
        #: By name in lower case; the last of a name.
        self.headers = dict(result.headers)
        self.logs = result.logs
        self.errors = result.errors
        self.execution = result.execution

    def json(self) -> Any:
        """Return the body parsed as JSON. Raises ValueError."""
        return self._result.json()

    def __repr__(self) -> str:
        """Show what a failed assertion needs."""
        parts = [f"status={self.status}", f"body={self.body!r}", f"logs={self.logs!r}"]
        return f"Answer({', '.join(parts)}, errors={self.errors!r})"


class FunctionUnderTest:
    """A deployed function."""

    def __init__(self, minifn: SyncMinifn, deployed: DeployedFunction) -> None:
        self._minifn = minifn
        self.deployed = deployed
        self.id = deployed.id
        #: Its own address, which guests reach if `execute` lets them.
        self.url = deployed.url

    def run(self, body: str | bytes = "", **request: Unpack[CallOptions]) -> Answer:
        """Call the function as a key does, whatever its execute access."""
        return Answer(self._minifn.execute(self.id, body=body, **request))


class FunctionsUnderTest:
    """The fixture `minifn`: functions that live as long as one test."""

    def __init__(self, minifn: SyncMinifn, folder: Path) -> None:
        #: The server of the session, with every method of `Minifn`.
        self.server = minifn
        self._folder = folder

    def deploy(
        self,
        folder: str | Path,
        *,
        function_id: str = "",
        variables: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        ignore: Iterable[str] = (),
        **options: Unpack[FunctionOptions],
    ) -> FunctionUnderTest:
        """Deploy a folder, whose path begins at the folder of the test's file.

        Settings are those of `Minifn.deploy`. The id is the folder's name unless one is given.
        """
        place = (self._folder / folder).resolve()
        known = {function.id for function in self.server.functions()}
        named = function_id or (place.name if is_id(place.name) else "")
        if not function_id and (not named or named in known):
            named = new_id()
        deployed = self.server.deploy(
            named, place, variables=variables, secrets=secrets, ignore=ignore, **options
        )
        return FunctionUnderTest(self.server, deployed)

    def forget(self) -> None:
        """Delete every function."""
        for function in self.server.functions():
            self.server.delete(function.id)
