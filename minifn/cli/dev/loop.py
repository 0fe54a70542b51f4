"""The dev loop: functions are made as the project says, and reloaded when files change."""

import asyncio
import contextlib
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from minifn.archive.folders import FolderRefused
from minifn.change_feed import Change, LogPiece
from minifn.cli.dev.functions import Built, DevFunction, wanted_variables
from minifn.cli.dev.locations import location, shown
from minifn.cli.dev.terminal import Terminal
from minifn.cli.project_file import FunctionEntry
from minifn.cli.remote import Remote, RemoteError
from minifn.cli.uploading import save_variable
from minifn.cli.words import duration
from minifn.host.space import TreeRefused
from minifn.ids import new_id
from minifn.models import UNFINISHED_BUILD, Deployment
from minifn.parts import Parts
from minifn.process_env import CODE
from minifn.services.reloading import reload
from minifn.store import deployments

#: File of the builds that the next start uses again, beside the data directory.
BUILDS_FILE = "builds.json"
#: Most lines that are shown of a problem.
PROBLEM_LINES = 30
#: Beginning of a line of minifn's in a build log.
_NOTE = re.compile(r"^\[\d\d:\d\d:\d\d\] \[minifn\] ", re.MULTILINE)


class BuildText(str):
    """The log of a build that failed."""


class DevLoop:
    """Runs the functions of a project, and reloads them when their files change."""

    def __init__(
        self,
        parts: Parts,
        remote: Remote,
        terminal: Terminal,
        state: Path,
        overrides: Mapping[str, object],
    ) -> None:
        """`state` is the directory `.minifn`; `overrides` are settings that all functions get."""
        self._parts = parts
        self._remote = remote
        self._terminal = terminal
        self._file = state / BUILDS_FILE
        self._overrides = overrides
        self.functions: dict[str, DevFunction] = {}
        #: One change of a function at a time.
        self._locks: dict[str, asyncio.Lock] = {}
        #: Functions whose next change waits for the present one.
        self._waiting: set[str] = set()
        self._builds = _read(self._file)

    # Settings and variables

    async def keep_only(self, function_ids: set[str]) -> None:
        """Delete the functions that an earlier project made and this one does not have."""
        for function_id in self._builds.keys() - function_ids:
            with contextlib.suppress(RemoteError):
                await self._call("DELETE", f"/functions/{function_id}")
            del self._builds[function_id]
            self.functions.pop(function_id, None)

    async def put(self, entry: FunctionEntry, variables: Mapping[str, str]) -> DevFunction:
        """Create or change a function as its entry says. Raises RemoteError."""
        settings = {
            name: value
            for name, value in entry.settings.items()
            if not name.startswith(("provider", "installation"))
        }
        if entry.file is None:
            settings["execute"] = ["any"]
        settings.update(self._overrides)
        path = f"/functions/{entry.id}"
        try:
            await self._call("PUT", path, json=settings)
        except RemoteError:
            # It does not exist, or the settings are bad: then this says why.
            await self._call("POST", "/functions", json={"functionId": entry.id, **settings})
        await self._put_variables(entry, variables)
        function = DevFunction(self._parts, entry)
        function.built = self._builds.get(entry.id)
        self.functions[entry.id] = function
        return function

    async def _put_variables(self, entry: FunctionEntry, more: Mapping[str, str]) -> None:
        path = f"/functions/{entry.id}/variables"
        listed = (await self._call("GET", path))["variables"]
        wanted = wanted_variables(entry, more)
        for one in listed:
            if one["key"] not in wanted:
                await self._call("DELETE", f"{path}/{one['$id']}")
        known = {one["key"]: one for one in listed}
        for key, variable in wanted.items():
            await asyncio.to_thread(save_variable, self._remote, path, known.get(key), variable)

    async def _call(self, method: str, path: str, **options: Any) -> Any:
        """Send one request in a thread: the server answers in this one. Raises RemoteError."""
        return await asyncio.to_thread(self._remote.call, method, path, **options)

    # Code

    async def renew(self, function: DevFunction, *, build: bool = False) -> None:
        """Run the present code of a function, and say whether it loads.

        It is built when it needs that, when its dependencies changed, or with `build`.
        """
        started = time.monotonic()
        if function.id in self._waiting and not build:
            # It will run the code as it is then.
            return
        self._waiting.add(function.id)
        async with self._locks.setdefault(function.id, asyncio.Lock()):
            self._waiting.discard(function.id)
            try:
                problem = await self._run(function, build)
            except (OSError, FolderRefused, TreeRefused) as exc:
                problem = str(exc)
        if problem:
            self._fail(function, problem)
        else:
            self._say_ready(function, time.monotonic() - started)

    async def _run(self, function: DevFunction, build: bool) -> str:
        """Return why the present code does not run, "" for success."""
        live = function.runs_from_folder
        fingerprint = await asyncio.to_thread(function.fingerprint)
        built = function.built
        deployment = await self._deployment(built.deployment_id) if built else None
        if build or built is None or built.fingerprint != fingerprint or deployment is None:
            return await self._build(function, fingerprint, live=live)
        return await self._reload(function, built, deployment) if live else ""

    async def _deployment(self, deployment_id: str) -> Deployment | None:
        """Return a deployment that is ready, without its logs."""
        found = await self._parts.database.read(deployments.by_id, deployment_id)
        if (
            found is None
            or found.status != "ready"
            or not self._parts.data.build(found.id).is_dir()
        ):
            return None
        return msgspec.structs.replace(found, build_logs="")

    async def _reload(self, function: DevFunction, built: Built, deployment: Deployment) -> str:
        """Replace the workers of a build by workers with the present code, and activate the build.

        Return why the code does not load, "" for success.
        """
        parts = self._parts
        target = await parts.targets.of(function.id)
        parts.deployments.folders.setdefault(deployment.id, function.folder)
        parts.specs.live.setdefault(deployment.id, function.live_code(built))
        await asyncio.to_thread(function.copy, built, target.function)
        active = target.deployment
        if active is None or active.id != deployment.id:
            if active is not None and active.id in parts.specs.live:
                parts.specs.live[active.id].is_current = False
            target = msgspec.structs.replace(target, deployment=deployment)
        problem = await reload(parts.pool, parts.specs, target)
        if not problem and (active is None or active.id != deployment.id):
            await parts.deployments.activate(function.id, deployment.id)
            await self._keep_only(function, deployment.id)
        return problem

    async def _build(self, function: DevFunction, fingerprint: str, *, live: bool) -> str:
        """Build the folder; return why the build failed or its code does not load.

        With `live` the folder is what runs, otherwise the build.
        """
        copied = tuple(function.folder.top())
        deployment = Deployment(
            id=new_id(),
            function_id=function.id,
            type="folder",
            entrypoint=function.entrypoint,
            commands=function.commands,
            activate=not live,
        )
        ended = await self._follow(function, deployment)
        if ended.status != "ready":
            return BuildText(ended.build_logs)
        built = Built(deployment_id=ended.id, fingerprint=fingerprint, copied=copied)
        function.built = self._builds[function.id] = built
        self._file.write_bytes(msgspec.json.encode(self._builds))
        if live:
            deployment = msgspec.structs.replace(ended, build_logs="")
            return await self._reload(function, built, deployment)
        await self._keep_only(function, ended.id)
        return ""

    async def _keep_only(self, function: DevFunction, deployment_id: str) -> None:
        """Delete all deployments of a function but one."""
        listed = await self._parts.database.read(deployments.of_function, function.id)
        for one in listed:
            if one != deployment_id:
                await self._parts.deployments.delete(function.id, one)

    async def _follow(self, function: DevFunction, deployment: Deployment) -> Deployment:
        """Queue a build, show its log, and return the deployment once the build has ended."""
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def follow(change: Change | LogPiece) -> None:
            if isinstance(change, LogPiece):
                if change.deployment_id == deployment.id:
                    self._terminal.block(_NOTE.sub("", change.text), "logs", dim=True)
                return
            record = change.record
            mine = isinstance(record, Deployment) and record.id == deployment.id
            if mine and record.status not in UNFINISHED_BUILD and not over.done():  # type: ignore[union-attr]
                over.set_result(None)

        self._terminal.line(f"build {function.id}", "calls")
        with self._parts.changes.followed(follow):
            await self._parts.deployments.add_folder(deployment, function.folder)
            await over
        ended = await self._parts.database.read(deployments.by_id, deployment.id)
        assert ended is not None
        return ended

    # Lines

    def url(self, function: DevFunction) -> str:
        """Return the address of a function's own domain."""
        config = self._parts.config
        return f"http://{function.id}.{config.functions_domain}:{config.port}/"

    def _say_ready(self, function: DevFunction, seconds: float) -> None:
        line = f"ready {function.id} {self.url(function)} ({duration(seconds)})"
        self._terminal.line(line, fg="green")

    def _fail(self, function: DevFunction, problem: str) -> None:
        where = location(problem, self._places(), function.folder.path)
        self._terminal.line(f"failed {function.id} {where}".rstrip(), fg="red")
        if isinstance(problem, BuildText) and self._terminal.shows("logs"):
            # It was shown while the build ran.
            return
        lines = _NOTE.sub("", self.readable(function.id, problem)).splitlines()
        self._terminal.block("\n".join(lines[-PROBLEM_LINES:]), fg="red")

    def readable(self, function_id: str, text: str) -> str:
        """Return a text in which the paths of a function's code are those of its folder."""
        function = self.functions.get(function_id)
        return shown(text, self._places(), function.folder.path) if function else text

    def _places(self) -> tuple[str, ...]:
        """Return patterns of the paths by which sandboxes know a function's code."""
        return (re.escape(CODE), f"{re.escape(str(self._parts.data.builds))}/[^/]+")


def _read(file: Path) -> dict[str, Built]:
    """Return the builds of the last start; none when the file is missing or of another form."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Built])
    except (OSError, msgspec.DecodeError):
        return {}
