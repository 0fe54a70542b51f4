"""One run of `minifn dev`: the functions of the project, their files, calls and keys."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from minifn.api.access.callers import user_caller
from minifn.archive.packing import IGNORE_FILES
from minifn.cli.dev.calls import CallLines
from minifn.cli.dev.functions import DevFunction
from minifn.cli.dev.loop import DevLoop
from minifn.cli.dev.terminal import LEVELS, Terminal, keys
from minifn.cli.dev.watching import State, changes, state_of
from minifn.cli.project_file import NAMES, FunctionEntry, ProjectError, ProjectFile, bare
from minifn.cli.remote import Remote, RemoteError
from minifn.embed import Minifn
from minifn.host.tasks import Tasks
from minifn.languages import RuntimeUnavailable
from minifn.tokens import UserClaims

#: Directory of the state, in the project's.
STATE = ".minifn"
#: File of variables, in the project's directory and in a function's.
ENV_FILE = ".env"
HELP = "keys     r rebuild, c clear, l log level, q quit"


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
        #: The entries and variables that functions were last made with, by id.
        self._made: dict[str, tuple[FunctionEntry, dict[str, str]]] = {}
        #: The files as they were last seen.
        self._known: State = {}
        self._minifn: Minifn
        self._loop: DevLoop
        #: Why it could not begin.
        self.problem = ""

    async def run(self, minifn: Minifn, url: str) -> None:
        """Make the functions, then follow changes, calls and keys until the server stops."""
        self._minifn = minifn
        if self._user_id:
            # With a session, so that functions get the user's JWT.
            claims = UserClaims(user_id=self._user_id, session_id="dev", exp=0)
            caller = user_caller(claims, session=True)
            minifn.domain_caller = caller
        config = minifn.config
        self._set_log_level()
        self._terminal.line(f"minifn   {url}/v1  (project {config.project})")
        self._terminal.line(f"docs     {url}/docs/")
        try:
            entries = self._entries()
            async with contextlib.AsyncExitStack() as stack:
                remote = stack.enter_context(Remote(url, config.project, minifn.admin_key))
                stack.push_async_callback(self._tasks.end)
                state = self._directory / STATE
                self._loop = DevLoop(
                    minifn, remote, self._terminal, state, schedules=self._schedules
                )
                lines = CallLines(self._terminal, self._loop.readable, names=len(entries) > 1)
                stack.enter_context(minifn.changes.followed(lines))
                if stack.enter_context(keys(self._press)):
                    self._terminal.line(HELP)
                self._known |= state_of([], self._files_about(entries))
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
        """Make functions as their entries say, and run those that changed. Raises RemoteError."""
        wanted = [(entry, self._variables(entry)) for entry in entries]
        changed = [one for one in wanted if self._made.get(one[0].id) != one]
        functions = []
        for entry, variables in changed:
            functions.append(await self._loop.put(entry, variables))
            if entry.id not in self._made:
                self._known |= state_of([functions[-1].folder], [])
            self._made[entry.id] = (entry, variables)
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
            about = self._files_about([function.entry for function in functions])
            async for changed in changes(folders, about, self._known, self._terminal.line):
                if changed & set(about):
                    await self._put_again()
                    break
                for function in functions:
                    inside = [path for path in changed if path.is_relative_to(function.folder.path)]
                    if any(path.name in IGNORE_FILES for path in inside):
                        function.read_rules()
                    if inside:
                        self._start(self._loop.renew(function), function)

    def _files_about(self, entries: list[FunctionEntry]) -> list[Path]:
        """Return the files, existing or not, that settings and variables come from."""
        project = ProjectFile.find(self._directory)
        found = [project.path, project.list_path] if project else []
        named = [self._directory / name for name in (*NAMES, ENV_FILE)]
        own = [entry.folder / ENV_FILE for entry in entries]
        return list(dict.fromkeys([*found, *named, *own, *self._env_files]))

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
            self._set_log_level()
        elif key == "r":
            for function in self._loop.functions.values():
                self._start(self._loop.renew(function, build=True), function)

    def _set_log_level(self) -> None:
        """Show the server's own log only where it is asked for: calls have their own lines."""
        shown = logging.INFO if LEVELS[self._terminal.level] == "server" else logging.CRITICAL
        logging.getLogger("minifn").setLevel(shown)

    def _quit(self) -> None:
        """Stop the server in order, as its signal does."""
        os.kill(os.getpid(), signal.SIGINT)
