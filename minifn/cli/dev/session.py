"""One run of `minifn dev`: the functions of the project, their files, calls and keys."""

import asyncio
import contextlib
import functools
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from minifn.api.access.callers import user_caller
from minifn.archive.packing import IGNORE_FILES
from minifn.cli.dev import inspecting
from minifn.cli.dev.calls import CallLines
from minifn.cli.dev.functions import DevFunction
from minifn.cli.dev.loop import DevLoop
from minifn.cli.dev.terminal import LEVELS, Terminal, keys
from minifn.cli.dev.watching import State, changes, state_of
from minifn.cli.project_file import NAMES, FunctionEntry, ProjectError, ProjectFile, bare
from minifn.cli.remote import Remote, RemoteError
from minifn.cli.serve import console_link, describe
from minifn.embed import Minifn
from minifn.host.tasks import Tasks
from minifn.languages import RuntimeUnavailable
from minifn.process_env import CODE
from minifn.sandbox.command import Bind
from minifn.server import url_of
from minifn.tokens import UserClaims

#: Directory of the state, in the project's.
STATE = ".minifn"
#: File of variables, in the project's directory and in a function's.
ENV_FILE = ".env"
#: Variables of a session with a browser.
DESKTOP = {"DISPLAY", "WAYLAND_DISPLAY", "BROWSER"}
HELP = "keys     o open the console, r rebuild, c clear, l log level, q quit"


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command."""

    directory: Path
    #: Ids of functions, () for all.
    chosen: tuple[str, ...] = ()
    env_files: tuple[Path, ...] = ()
    #: The user who calls functions' addresses, "" for guests.
    user_id: str = ""
    schedules: bool = True
    #: Whether an editor can attach to functions.
    inspect: bool = False

    @property
    def overrides(self) -> dict[str, object]:
        """The settings that all functions get."""
        return {
            **({} if self.schedules else {"schedule": "", "interval": 0}),
            **({"timeout": inspecting.TIMEOUT_SECONDS} if self.inspect else {}),
        }


class Session:
    """One run of `minifn dev`."""

    def __init__(self, options: Options) -> None:
        self._options = options
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
        if self._options.user_id:
            # With a session, so that functions get the user's JWT.
            claims = UserClaims(user_id=self._options.user_id, session_id="dev", exp=0)
            minifn.domains.caller = user_caller(claims, session=True)
        self._set_log_level()
        try:
            # Before the first lines: a folder without a function needs none of them.
            entries = self._entries()
            for line in describe(minifn, url):
                self._terminal.line(line)
            async with contextlib.AsyncExitStack() as stack:
                await self._begin(stack, url, entries)
                await self._follow()
        except (ProjectError, RemoteError) as error:
            self.problem = str(error)
            self._quit()

    async def _begin(
        self, stack: contextlib.AsyncExitStack, url: str, entries: list[FunctionEntry]
    ) -> None:
        """Make the functions and follow calls and keys. Raises ProjectError and RemoteError."""
        minifn, options = self._minifn, self._options
        remote = stack.enter_context(Remote(url, minifn.config.project, minifn.admin_key))
        stack.push_async_callback(self._tasks.end)
        state = options.directory / STATE
        self._loop = DevLoop(minifn, remote, self._terminal, state, options.overrides)
        lines = CallLines(self._terminal, self._loop.readable, names=len(entries) > 1)
        stack.enter_context(minifn.changes.watched(lines))
        if stack.enter_context(keys(self._press)):
            self._terminal.line(HELP)
        self._known |= state_of([], self._files_about(entries))
        await self._put(entries)
        if not self._loop.functions:
            raise ProjectError("no function can run here")
        if options.inspect:
            self._point_out_debuggers()

    def _entries(self) -> list[FunctionEntry]:
        """Return the functions of the project, or the bare folder. Raises ProjectError."""
        place = self._options.directory
        project = ProjectFile.find(place)
        listed = project.functions() if project else []
        found = [
            entry
            for entry in listed
            if entry.folder.is_relative_to(place) or place.is_relative_to(entry.folder)
        ]
        if not found:
            runtimes = {one.key: one.id for one in self._minifn.runtimes.runnable()}
            found = [bare(place, runtimes)]
        if unknown := set(self._options.chosen) - {entry.id for entry in found}:
            raise ProjectError(f"there is no function {', '.join(sorted(unknown))} in {place}")
        return found

    async def _put(self, entries: list[FunctionEntry]) -> None:
        """Make functions as their entries say, and run those that changed.

        One that cannot run here is pointed out.
        """
        await self._loop.keep_only({entry.id for entry in entries})
        functions = []
        chosen = self._options.chosen
        for entry in entries:
            if chosen and entry.id not in chosen:
                continue
            made = (entry, self._variables(entry))
            if self._made.get(entry.id) == made:
                continue
            try:
                function = await self._loop.put(*made)
            except (RemoteError, RuntimeUnavailable) as error:
                self._terminal.line(f"failed {entry.id}", fg="red")
                self._terminal.block(str(error), fg="red")
                continue
            if entry.id not in self._made:
                self._known |= state_of([function.folder], [])
            self._made[entry.id] = made
            functions.append(function)
        await asyncio.gather(*map(self._loop.renew, functions))

    def _variables(self, entry: FunctionEntry) -> dict[str, str]:
        """Return the variables of a function's files; later files win."""
        own = (self._options.directory / ENV_FILE, entry.folder / ENV_FILE)
        values: dict[str, str] = {}
        for path in (*dict.fromkeys(own), *self._options.env_files):
            given = dotenv_values(path) if path.is_file() else {}
            values.update({name: value or "" for name, value in given.items()})
        if port := self._ports.get(entry.id):
            values[inspecting.PORT_VARIABLE] = str(port)
        return values

    @functools.cached_property
    def _ports(self) -> dict[str, int]:
        """The ports of debuggers by function."""
        if not self._options.inspect:
            return {}
        return inspecting.ports(
            (entry.id, str(entry.settings["runtime"]).rpartition("-")[0])
            for entry in self._entries()
        )

    def _point_out_debuggers(self) -> None:
        """Write what an editor needs to attach to each function."""
        data, place = self._minifn.data, self._minifn.engine.place
        for function in self._loop.functions.values():
            port = self._ports.get(function.id)
            if port is None or function.built is None:
                continue
            build = data.build(function.built.deployment_id)
            if not inspecting.has_debugger(function.installed, build):
                self._terminal.line(
                    f"inspect  {function.id} has no debugger: add debugpy to its requirements.txt"
                )
                continue
            code = place(Bind(source=build, target=CODE))
            for line in inspecting.lines(
                function.id, function.installed, port, function.folder.path, code
            ):
                self._terminal.line(line)

    # Changes of files

    async def _follow(self) -> None:
        """Reload functions when their files change; never ends."""
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
        project = ProjectFile.find(self._options.directory)
        found = [project.path, project.list_path] if project else []
        named = [self._options.directory / name for name in (*NAMES, ENV_FILE)]
        own = [entry.folder / ENV_FILE for entry in entries]
        return list(dict.fromkeys([*found, *named, *own, *self._options.env_files]))

    async def _put_again(self) -> None:
        try:
            await self._put(self._entries())
        except (ProjectError, RemoteError) as error:
            self._terminal.line(f"failed {error}", fg="red")

    def _start(self, work: Coroutine[Any, Any, object], function: DevFunction) -> None:
        async def run() -> None:
            await work

        self._tasks.start(run(), f"dev {function.id}")

    # Keys

    def _press(self, key: str) -> None:
        if key == "q":
            self._quit()
        elif key == "o":
            self._open_console()
        elif key == "c":
            self._terminal.clear()
        elif key == "l":
            self._terminal.line(f"shows {self._terminal.next_level()}")
            self._set_log_level()
        elif key == "r":
            for function in self._loop.functions.values():
                self._start(self._loop.renew(function, build=True), function)

    def _open_console(self) -> None:
        """Write a link to the console, and open it in a browser where there is a desktop."""
        link = console_link(self._minifn, url_of(self._minifn.config))
        self._terminal.line(f"console  {link}")
        if sys.platform == "darwin" or os.environ.keys() & DESKTOP:
            from minifn.cli.browser import open_link

            open_link(link)

    def _set_log_level(self) -> None:
        """Show the server's own log only where it is asked for: calls have their own lines."""
        shown = logging.INFO if LEVELS[self._terminal.level] == "server" else logging.CRITICAL
        logging.getLogger("minifn").setLevel(shown)

    def _quit(self) -> None:
        """Stop the server gracefully, as its signal does."""
        os.kill(os.getpid(), signal.SIGINT)
