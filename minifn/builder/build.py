"""The steps of one build: unpack the source, run the commands, check and seal their output.

They work in the directory that the function will run from; it is not used before the deployment is
`ready`. A build that was packed before is unpacked instead, and sealed in the same way.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path, PurePosixPath

from minifn.archive import uploads
from minifn.archive.folders import FolderRefused, copy_folder
from minifn.builder.caches import mark_used
from minifn.builder.commands import BuildCommands, BuildError
from minifn.builder.context import BuildMachine
from minifn.builder.logs import LogText
from minifn.builder.order import Begun, BuildOrder, Built, identity_of
from minifn.builder.publish import Owner, give_to, seal
from minifn.builder.toolchains import ToolchainFailed
from minifn.builder.unpacking import unpack
from minifn.host.files import remove_tree
from minifn.host.space import TreeRefused, TreeSize, check_space, measure
from minifn.host.tasks import end
from minifn.languages import BuildPlan, Installed, Place, RuntimeUnavailable
from minifn.languages.installed import TOOLS
from minifn.models import specification
from minifn.process_env import CODE, can_be_set, function_uid, system_variables
from minifn.sandbox.command import Bind, Command, Limits, SandboxError
from minifn.sandbox.engines import user_under
from minifn.sandbox.inherited import passed_paths
from minifn.sandbox.spawner import run
from minifn.workers.runtime_folders import folders, places

logger = logging.getLogger("minifn.builder")

#: Path of the function's cache in a build's sandbox.
CACHE = "/cache"
#: Path of the temporary files in a build's sandbox. They are on disk, because package managers
#: unpack more than fits into a /tmp in memory.
SCRATCH = "/scratch"
#: Least memory of a build, bytes: package managers need it even for a small function.
MEMORY_BYTES_MIN = 1024 * 1024 * 1024
PROCESSES_MAX = 256
OPEN_FILES_MAX = 4096
#: Niceness of builds, so that workers come first.
BUILD_NICE = 10
#: Deadline of byte-compiling, seconds; the rest is compiled at every start.
FINISH_SECONDS = 2
#: Bytes of a cache beyond which it is removed after the build.
CACHE_BYTES_MAX = 1_000_000_000
_MIB = 1024 * 1024


class HomeBuilds:
    """Builds on this machine."""

    def __init__(self, machine: BuildMachine) -> None:
        self._machine = machine

    async def build(self, order: BuildOrder, log: LogText, begun: Begun) -> Built:
        """Build a deployment here; see `Builds`."""
        return await Build(self._machine, order, log, begun).run()


class Build:
    """One build of one deployment on this machine; `run` or `adopt` make it, once."""

    def __init__(
        self, machine: BuildMachine, order: BuildOrder, log: LogText, begun: Begun
    ) -> None:
        self._machine = machine
        self._order = order
        self._function = function = order.function
        self._deployment = deployment = order.deployment
        self._log = log
        self._begun = begun
        self._directory = machine.data.build(deployment.id)
        self._cache = machine.data.cache(function.id)
        self._scratch = machine.data.scratch(deployment.id)
        #: The folder that is built, None for an archive.
        self._folder = machine.folders.get(deployment.id)
        self._limit_bytes = machine.config.build_limit
        self._size = specification(function.build_specification)
        self._commands = BuildCommands(
            machine.spawner,
            machine.engine,
            log,
            code=self._directory,
            others=(self._cache, self._scratch),
            limit_bytes=self._limit_bytes,
        )
        self._memory_bytes = memory_bytes(order)
        #: The uid of the build's processes, 0 unless the server is root and the engine drops root.
        self._uid = user_under(machine.engine, function_uid(function))

    async def run(self) -> Built:
        """Build, and publish the directory. Raises BuildError and Superseded."""
        async with self._published():
            return await self._steps(self._order.variables)

    async def adopt(self, packed: Path) -> Built:
        """Publish a packed build of another machine, or of an earlier time, as `run` does.

        Its content is not trusted. Raises BuildError and Superseded.
        """
        async with self._published():
            await asyncio.to_thread(self._make_directory)
            await unpack(
                self._machine, packed, self._directory, self._deployment.id, self._limit_bytes
            )
            plan, identity = None, ""
            # A server without the runtime only keeps the build for its nodes.
            with contextlib.suppress(RuntimeUnavailable):
                installed = await self._installed()
                identity = identity_of(installed, self._machine.engine)
                plan = self._plan(installed, self._place(installed))
                await asyncio.to_thread(self._relink, plan)
            await asyncio.to_thread(self._hand_over)
            await self._begun()
            usage = await asyncio.to_thread(self._seal, plan)
            return Built(size=usage, identity=identity)

    @contextlib.asynccontextmanager
    async def _published(self) -> AsyncIterator[None]:
        """Remove the temporary files after a build, and those of one that failed."""
        done = False
        try:
            yield
            done = True
        except (RuntimeUnavailable, ToolchainFailed, TreeRefused, FolderRefused) as exc:
            raise BuildError(str(exc)) from exc
        except SandboxError as exc:
            raise BuildError(f"The build could not be started: {exc}") from exc
        finally:
            try:
                await asyncio.to_thread(self._clear, keep=done)
            except OSError:
                # It does not change how the build ended.
                logger.exception("files of a build could not be removed; the next start does it")

    async def _installed(self) -> Installed:
        """Return the runtime as it is installed now. Raises RuntimeUnavailable."""
        await asyncio.to_thread(self._machine.runtimes.look, self._function.runtime)
        return self._machine.runtimes.resolve(self._function.runtime)

    def _plan(self, installed: Installed, place: Place) -> BuildPlan:
        return installed.build(
            place,
            commands=self._deployment.commands,
            code=self._directory,
            entrypoint=self._deployment.entrypoint,
            memory_mb=self._memory_bytes // _MIB,
        )

    async def _steps(self, variables: Mapping[str, str]) -> Built:
        if not self._deployment.entrypoint:
            raise BuildError("The deployment has no entrypoint.")
        installed = await self._installed()
        await self._prepare(installed)
        place = self._place(installed)
        plan = self._plan(installed, place)
        from minifn.archive.unpack_main import shown

        for note in plan.notes:
            self._log.note(note)
        if unset := [
            shown(name) for name, value in variables.items() if not can_be_set(name, value)
        ]:
            self._log.note(
                f"Warning: not set, because of = in the name or a NUL: {', '.join(unset)}"
            )
        self._log.note("Environment preparation finished.")
        await self._run_commands(plan, installed, variables)
        usage = await asyncio.to_thread(self._seal, plan)
        return Built(size=usage, identity=identity_of(installed, self._machine.engine))

    async def _prepare(self, installed: Installed) -> None:
        """Place the source; meanwhile the files that the language's functions share are made.

        Raises BuildError, ToolchainFailed, TreeRefused, FolderRefused and Superseded.
        """
        interpreter = f"{installed.runtime.name} {installed.interpreter.version_text}"
        size = f"{self._deployment.source_size_bytes:,} bytes of source"
        source = self._folder.path if self._folder else size
        self._log.note(f"Environment preparation started: {interpreter}, {source}.")
        await asyncio.to_thread(self._make_room, installed)
        placing = asyncio.create_task(self._place_source())
        sharing = asyncio.create_task(self._machine.toolchains.ready(installed, self._log.note))
        try:
            await placing
            await self._begun()
            await sharing
        finally:
            await end(placing, sharing)

    async def _place_source(self) -> None:
        """Put the source into the build's directory, and give that to the function's user."""
        if self._folder:
            await asyncio.to_thread(copy_folder, self._folder, self._directory)
        else:
            source = self._machine.data.source(self._deployment.id)
            for note in await unpack(self._machine, source, self._directory, self._deployment.id):
                self._log.note(note)
        await asyncio.to_thread(self._hand_over)

    async def _run_commands(
        self, plan: BuildPlan, installed: Installed, variables: Mapping[str, str]
    ) -> None:
        """Run the commands of a plan; the last one may fail. Raises as `BuildCommands.run`."""
        entrypoint = self._deployment.entrypoint
        if plan.argv:
            self._log.note("Build command execution started.")
            await self._commands.run(self._command(plan, installed, plan.argv, variables))
            self._log.note("Build command execution finished.")
        if not holds(self._directory, entrypoint):
            self._log.note(f"Warning: the deployment has no file {entrypoint}, its entrypoint.")
        elif plan.check:
            check = self._command(plan, installed, plan.check, {})
            await self._commands.run(check, failure="The function's source does not parse.")
        if plan.compile:
            compiling = self._command(plan, installed, plan.compile, variables)
            await self._commands.run(compiling, failure="The function's source does not compile.")
        if plan.finish:
            wrapped = self._machine.engine.wrap(self._command(plan, installed, plan.finish, {}))
            await run(self._machine.spawner, wrapped, timeout_seconds=FINISH_SECONDS)

    def _make_room(self, installed: Installed) -> None:
        """Make the empty directories of a build; files of an interrupted build are removed."""
        data = self._machine.data
        own = self._deployment.id
        if not self._folder and not uploads.complete(data.upload(own), data.source(own)):
            raise BuildError("The source of the deployment is missing.")
        self._make_directory()
        if self._uid:
            # Lets builds reach their caches, for an engine that shows the host's file system.
            data.caches.chmod(0o711)
        mark_used(self._cache)
        remove_tree(self._scratch)
        self._scratch.mkdir(mode=0o700)
        tools = self._scratch / TOOLS
        tools.mkdir(mode=0o755)
        for name, program in installed.tools.items():
            (tools / name).symlink_to(program)

    def _make_directory(self) -> None:
        """Make the empty directory of the code."""
        check_space(self._machine.data.builds)
        remove_tree(self._directory)
        self._directory.mkdir(mode=0o700)

    def _hand_over(self) -> None:
        """Give the build's directories to the function's user."""
        if self._uid:
            give_to(self._directory, self._uid)
            # Not their content, where a script may have left links.
            for path in (self._cache, self._scratch):
                if path.exists():
                    os.chown(path, self._uid, self._uid)
            # An engine enters the directory before it becomes that user, without root's rights.
            os.chown(self._directory, self._uid, 0)
            self._directory.chmod(0o710)

    def _place(self, installed: Installed) -> Place:
        return Place(**places(self._machine.engine, self._binds(installed)))

    def _binds(self, installed: Installed) -> dict[str, Bind]:
        """Return the binds of a build's folders by the field of `Place` that names each."""
        return {
            "code": Bind(source=self._directory, target=CODE, writable=True),
            "cache": Bind(source=self._cache, target=CACHE, writable=True),
            "scratch": Bind(source=self._scratch, target=SCRATCH, writable=True),
            **folders(installed, self._machine.data),
        }

    def _command(
        self,
        plan: BuildPlan,
        installed: Installed,
        argv: tuple[str, ...],
        variables: Mapping[str, str],
    ) -> Command:
        place = self._place(installed)
        inherited = passed_paths(self._order.inherited, self._machine.data.root)
        shown = dict.fromkeys((*plan.binds, *inherited))
        return Command(
            argv=argv,
            env=self._environment(plan, installed, variables),
            cwd=place.code,
            binds=(
                *self._binds(installed).values(),
                *(Bind(source=path, target=str(path)) for path in shown),
            ),
            limits=Limits(
                memory_bytes=self._memory_bytes,
                reserved_bytes=installed.memory_allowance_mb * _MIB,
                processes=PROCESSES_MAX,
                open_files=OPEN_FILES_MAX,
                file_bytes=self._limit_bytes,
                cpus=max(1.0, self._size.cpus),
                nice=BUILD_NICE,
            ),
            uid=function_uid(self._function),
            label=f"{self._deployment.id} build",
        )

    def _environment(
        self, plan: BuildPlan, installed: Installed, variables: Mapping[str, str]
    ) -> dict[str, str]:
        """Return the environment of the commands: later groups win, and the system's come last."""
        machine, order = self._machine, self._order
        system = system_variables(
            order.function,
            order.deployment,
            project=machine.config.project,
            endpoint=machine.endpoint.url,
            runtime=(installed.runtime.name, installed.runtime.version),
            slug=order.function.build_specification,
        )
        # npm reads its variables in any case.
        own = {name.lower() for name in plan.env}
        wanted = {
            **{name: value for name, value in order.inherited.items() if name.lower() not in own},
            **plan.env,
            **variables,
            **installed.options(self._memory_bytes // _MIB, variables),
            **system,
            "APPWRITE_FUNCTION_API_KEY": order.key,
            "PATH": plan.env["PATH"],
        }
        return {name: value for name, value in wanted.items() if can_be_set(name, value)}

    def _relink(self, plan: BuildPlan) -> None:
        """Have the links out of an unpacked build lead to the programs of this machine."""
        for name, target in plan.links.items():
            path = self._directory / name
            above = (self._directory / one for one in PurePosixPath(name).parents)
            if path.is_symlink() and not any(one.is_symlink() for one in above):
                path.unlink()
                path.symlink_to(target)

    def _seal(self, plan: BuildPlan | None) -> TreeSize:
        """Give the build's output to the server; the function can then only read it."""
        code = self._machine.engine.place(Bind(source=self._directory, target=CODE))
        links: tuple[str, ...] = (code, "/usr", "/bin", "/lib")
        if plan is not None:
            links += (*(str(path) for path in plan.binds), *plan.links.values())
        owner = Owner(builder_uid=os.geteuid())
        if self._uid:
            owner = Owner(builder_uid=self._uid, uid=0, gid=self._uid)
        keep = plan.keep if plan else ()
        return seal(self._directory, owner, links, limit_bytes=self._limit_bytes, keep=keep)

    def _clear(self, *, keep: bool) -> None:
        """Remove the temporary files, a cache that is too large and, unless `keep`, the output."""
        remove_tree(self._scratch)
        try:
            overgrown = measure(self._cache).size_bytes > CACHE_BYTES_MAX
        except TreeRefused:
            overgrown = True
        if overgrown:
            remove_tree(self._cache)
        if not keep:
            remove_tree(self._directory)


def memory_bytes(order: BuildOrder) -> int:
    """Return the memory of a build, bytes."""
    size = specification(order.function.build_specification)
    return max(MEMORY_BYTES_MIN, 2 * size.memory_mb * _MIB)


def holds(directory: Path, entrypoint: str) -> bool:
    """Tell whether a build has its entrypoint, a path inside its directory."""
    path = PurePosixPath(entrypoint)
    if path.is_absolute() or ".." in path.parts:
        return False
    # `Path.exists` raises for a name that is too long, and for a closed directory.
    return os.path.exists(directory / path)  # noqa: PTH110
