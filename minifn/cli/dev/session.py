"""One run of `minifn dev`: the functions of the project, their files, calls and keys."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from minifn.cli.dev.calls import CallLines
from minifn.cli.dev.functions import DevFunction
from minifn.cli.dev.loop import DevLoop
from minifn.cli.dev.terminal import Terminal, keys
from minifn.cli.dev.watching import changes
from minifn.cli.project_file import NAMES, FunctionEntry, ProjectError, ProjectFile, bare
from minifn.cli.remote import Remote, RemoteError
from minifn.embed import Minifn
from minifn.host.tasks import Tasks
from minifn.languages import RuntimeUnavailable

#: Directory of the state, in the project's.
STATE = ".minifn"
#: File of variables, in the project's directory and in a function's.
ENV_FILE = ".env"
HELP = "keys     o open the console, r rebuild, c clear, l log level, q quit"


class Session:
    """One run of `minifn dev`."""

    def __init__(
        self,
        directory: Path,
        chosen: Sequence[str],
        env_files: Sequence[Path],
        user_id: str,
        *,
        schedules: bool,
    ) -> None:
        """`chosen`: ids of functions, () for all; `user_id`: who calls their addresses."""
        self._directory = directory
        self._chosen = chosen
        self._env_files = tuple(path.resolve() for path in env_files)
        self._user_id = user_id
        self._schedules = schedules
        self._terminal = Terminal()
        self._tasks = Tasks()
        self._minifn: Minifn
        self._loop: DevLoop
        #: Why it could not begin.
        self.problem = ""

    async def run(self, minifn: Minifn, url: str) -> None:
        """Make the functions, then follow changes, calls and keys until the server stops."""
        self._minifn = minifn
        config = minifn.config
        self._terminal.line(f"minifn   {url}/v1  (project {config.project})")
        self._terminal.line(f"docs     {url}/docs/")
        try:
            entries = self._entries()
            async with contextlib.AsyncExitStack() as stack:
                remote = Remote(f"{url}/v1", config.project, minifn.admin_key)
                await stack.enter_async_context(remote)
                stack.push_async_callback(self._tasks.end)
                state = self._directory / STATE
                self._loop = DevLoop(
                    minifn, remote, self._terminal, state, schedules=self._schedules
                )
                lines = CallLines(self._terminal, names=len(entries) > 1)
                stack.enter_context(minifn.changes.followed(lines))
                if stack.enter_context(keys(self._press)):
                    self._terminal.line(HELP)
                await self._put(entries)
                await self._follow()
        except (ProjectError, RemoteError, RuntimeUnavailable) as error:
            self.problem = str(error)
            self._quit()

    def _entries(self) -> list[FunctionEntry]:
        """Return the functions of the project, or the bare folder. Raises ProjectError."""
        project = ProjectFile.find(self._directory)
        place = self._directory
        listed = project.functions() if project else []
        found = [
            entry
            for entry in listed
            if entry.folder.is_relative_to(place) or place.is_relative_to(entry.folder)
        ]
        if not found:
            runtimes = {one.key: one.id for one in self._minifn.runtimes.runnable()}
            found = [bare(place, runtimes)]
        if unknown := set(self._chosen) - {entry.id for entry in found}:
            raise ProjectError(f"there is no function {', '.join(sorted(unknown))} in {place}")
        return [entry for entry in found if not self._chosen or entry.id in self._chosen]

    async def _put(self, entries: list[FunctionEntry]) -> None:
        """Make functions as their entries say, and run them. Raises RemoteError."""
        functions = [await self._loop.put(entry, self._variables(entry)) for entry in entries]
        await asyncio.gather(*map(self._loop.renew, functions))

    def _variables(self, entry: FunctionEntry) -> dict[str, str]:
        """Return the variables of a function's files; later files win."""
        own = (self._directory / ENV_FILE, entry.folder / ENV_FILE)
        values: dict[str, str] = {}
        for path in (*dict.fromkeys(own), *self._env_files):
            given = dotenv_values(path) if path.is_file() else {}
            values.update({name: value or "" for name, value in given.items()})
        return values

    # Changes of files

    async def _follow(self) -> None:
        """Run functions anew when their files change; never ends."""
        while True:
            functions = list(self._loop.functions.values())
            folders = [function.folder for function in functions]
            about = [*self._project_files(), *self._env_files]
            about += [function.folder.path / ENV_FILE for function in functions]
            async for changed in changes(folders, about, self._terminal.line):
                if changed & set(about):
                    await self._put_again()
                    break
                for function in functions:
                    if any(path.is_relative_to(function.folder.path) for path in changed):
                        self._start(self._loop.renew(function), function)

    def _project_files(self) -> list[Path]:
        project = ProjectFile.find(self._directory)
        found = [project.path, project.list_path] if project else []
        named = [self._directory / name for name in (*NAMES, ENV_FILE)]
        return list(dict.fromkeys([*found, *named]))

    async def _put_again(self) -> None:
        try:
            await self._put(self._entries())
        except (ProjectError, RemoteError, RuntimeUnavailable) as error:
            self._terminal.line(f"failed {error}", fg="red")

    def _start(self, work: Coroutine[Any, Any, object], function: DevFunction) -> None:
        async def run() -> None:
            await work

        self._tasks.start(run(), f"dev {function.id}")

    # Keys

    def _press(self, key: str) -> None:
        if key == "q":
            self._quit()
        elif key == "c":
            self._terminal.clear()
        elif key == "l":
            self._terminal.line(f"shows {self._terminal.next_level()}")
        elif key == "r":
            for function in self._loop.functions.values():
                self._start(self._loop.renew(function, build=True), function)

    def _quit(self) -> None:
        """Stop the server in order, as its signal does."""
        os.kill(os.getpid(), signal.SIGINT)
