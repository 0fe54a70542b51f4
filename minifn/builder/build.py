"""The steps of one build: unpack the source, run the commands, check and seal their output.

They work in the directory that the function will run from; it is not used before the deployment is
`ready`.
"""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from minifn.archive import UNPACK_PROGRAM, unpack_argv, uploads
from minifn.archive.folders import FolderRefused, copy_folder
from minifn.builder.caches import mark_used
from minifn.builder.commands import BuildCommands, BuildError
from minifn.builder.context import BuildContext
from minifn.builder.logs import BuildLog
from minifn.builder.publish import Owner, give_to, seal
from minifn.builder.toolchains import ToolchainFailed
from minifn.host.datadir import remove_tree, sync_tree
from minifn.host.space import TreeRefused, TreeSize, check_space, measure
from minifn.host.tasks import end
from minifn.instants import now_ms
from minifn.languages import BuildPlan, Installed, Place, RuntimeUnavailable
from minifn.languages.installed import TOOLS
from minifn.models import Deployment, Function, specification
from minifn.process_env import CODE, WRAPPER, can_be_set, function_uid, system_variables
from minifn.sandbox.command import Bind, Command, Limits, SandboxError
from minifn.sandbox.inherited import passed_paths, passed_through
from minifn.sandbox.own_python import own_binds
from minifn.sandbox.spawner import run
from minifn.store import deployments
from minifn.workers.runtime_folders import folders, places

#: Path of the function's cache in a build's sandbox.
CACHE = "/cache"
#: Path of the temporary files in a build's sandbox. They are on disk, because package managers
#: unpack more than fits into a /tmp in memory.
SCRATCH = "/scratch"
#: Path of the archive in the sandbox of the unpacking program.
ARCHIVE = "/archive.tar.gz"
#: Limits of the unpacking program.
UNPACK_SECONDS = 60
UNPACK_MEMORY_BYTES = 256 * 1024 * 1024
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


class Superseded(Exception):
    """The deployment was canceled or deleted."""


class Build:
    """One build of one deployment. `variables` are the function's, merged with the project's."""

    def __init__(
        self, context: BuildContext, function: Function, deployment: Deployment, log: BuildLog
    ) -> None:
        self._context = context
        self._function = function
        self._deployment = deployment
        self._log = log
        self._directory = context.data.build(deployment.id)
        self._cache = context.data.cache(function.id)
        self._scratch = context.data.scratch(deployment.id)
        #: The folder that is built, None for an archive.
        self._folder = context.folders.get(deployment.id)
        self._passed = passed_through(context.environ, context.config.build_env_passthrough)
        self._limit_bytes = context.config.build_limit
        self._size = specification(function.build_specification)
        self._commands = BuildCommands(
            context.spawner,
            context.engine,
            log,
            code=self._directory,
            others=(self._cache, self._scratch),
            limit_bytes=self._limit_bytes,
        )
        self._memory_bytes = max(MEMORY_BYTES_MIN, 2 * self._size.memory_mb * _MIB)
        probe = Command(argv=("true",), env={}, uid=function_uid(function))
        #: The uid of the build's processes, 0 unless the server is root and the engine drops root.
        self._uid = context.engine.wrap(probe).uid

    async def run(self, variables: Mapping[str, str]) -> TreeSize:
        """Build, and return the size of the published tree. Raises BuildError and Superseded."""
        try:
            return await self._steps(variables)
        except (RuntimeUnavailable, ToolchainFailed, TreeRefused, FolderRefused) as exc:
            raise BuildError(str(exc)) from exc
        except SandboxError as exc:
            raise BuildError(f"The build could not be started: {exc}") from exc

    async def _steps(self, variables: Mapping[str, str]) -> TreeSize:
        entrypoint = self._deployment.entrypoint
        if not entrypoint:
            raise BuildError("The deployment has no entrypoint.")
        await asyncio.to_thread(self._context.runtimes.look, self._function.runtime)
        installed = self._context.runtimes.resolve(self._function.runtime)
        await self._prepare(installed)
        place = self._place(installed)
        plan = installed.build(
            place,
            commands=self._deployment.commands,
            code=self._directory,
            entrypoint=entrypoint,
            memory_mb=self._memory_bytes // _MIB,
        )
        from minifn.archive.unpack_main import shown

        for note in plan.notes:
            self._log.note(note)
        if unset := [
            shown(name) for name, value in variables.items() if not can_be_set(name, value)
        ]:
            self._log.note(f"Warning: not set, for = in the name or a NUL: {', '.join(unset)}")
        self._log.note("Environment preparation finished.")
        await self._run_commands(plan, installed, variables)
        return await asyncio.to_thread(self._seal, plan, place)

    async def _prepare(self, installed: Installed) -> None:
        """Place the source; meanwhile the files that the language's functions share are made.

        Raises BuildError, ToolchainFailed, TreeRefused, FolderRefused and Superseded.
        """
        context, deployment = self._context, self._deployment
        interpreter = f"{installed.runtime.name} {installed.interpreter.version_text}"
        size = f"{deployment.source_size_bytes:,} bytes of source"
        source = self._folder.path if self._folder else size
        self._log.note(f"Environment preparation started: {interpreter}, {source}.")
        await asyncio.to_thread(self._make_room, installed)
        placing = asyncio.create_task(self._place_source())
        sharing = asyncio.create_task(context.toolchains.ready(installed, self._log.note))
        try:
            await placing
            now = now_ms()
            building = await context.database.write(deployments.start_building, deployment.id, now)
            if building is None:
                raise Superseded
            context.changes.tell("update", building)
            await sharing
        finally:
            await end(placing, sharing)

    async def _place_source(self) -> None:
        """Put the source into the build's directory, and give that to the function's user."""
        if self._folder:
            await asyncio.to_thread(copy_folder, self._folder, self._directory)
        else:
            await self._unpack()
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
            wrapped = self._context.engine.wrap(self._command(plan, installed, plan.finish, {}))
            await run(self._context.spawner, wrapped, timeout_seconds=FINISH_SECONDS)

    def _make_room(self, installed: Installed) -> None:
        """Make the empty directories of a build; files of an interrupted build are removed."""
        data = self._context.data
        check_space(data.builds)
        own = self._deployment.id
        if not self._folder and not uploads.complete(data.upload(own), data.source(own)):
            raise BuildError("The source of the deployment is missing.")
        remove_tree(self._directory)
        self._directory.mkdir(mode=0o700)
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

    async def _unpack(self) -> None:
        """Unpack as the server's user, because only that user can read archives."""
        engine = self._context.engine
        program = Bind(source=UNPACK_PROGRAM, target=f"{WRAPPER}/unpack.py")
        archive = Bind(source=self._context.data.source(self._deployment.id), target=ARCHIVE)
        code = Bind(source=self._directory, target=CODE, writable=True)
        interpreter = (Bind(source=path, target=str(path)) for path in own_binds())
        command = Command(
            argv=unpack_argv(engine.place(program), engine.place(archive), engine.place(code)),
            env={"PATH": "/usr/bin:/bin"},
            binds=(program, archive, code, *interpreter),
            limits=Limits(
                memory_bytes=UNPACK_MEMORY_BYTES,
                file_bytes=self._limit_bytes,
                cpu_seconds=UNPACK_SECONDS,
            ),
            label=f"{self._deployment.id} unpack",
        )
        output = await run(
            self._context.spawner, engine.wrap(command), timeout_seconds=UNPACK_SECONDS
        )
        if not output.ok:
            reason = output.exit.reason or output.text.strip() or f"exit code {output.exit.code}"
            message = (
                "" if reason.startswith("The archive") else "The archive could not be unpacked: "
            )
            raise BuildError(message + reason)
        for note in output.text.splitlines():
            self._log.note(note)

    def _hand_over(self) -> None:
        """Give the build's directories to the function's user."""
        if self._uid:
            give_to(self._directory, self._uid)
            # Not their content, where a script may have left links.
            for path in (self._cache, self._scratch):
                os.chown(path, self._uid, self._uid)
            # An engine enters the directory before it becomes that user, without root's rights.
            os.chown(self._directory, self._uid, 0)
            self._directory.chmod(0o710)

    def _place(self, installed: Installed) -> Place:
        return Place(**places(self._context.engine, self._binds(installed)))

    def _binds(self, installed: Installed) -> dict[str, Bind]:
        """Return the binds of a build's folders by the field of `Place` that names each."""
        return {
            "code": Bind(source=self._directory, target=CODE, writable=True),
            "cache": Bind(source=self._cache, target=CACHE, writable=True),
            "scratch": Bind(source=self._scratch, target=SCRATCH, writable=True),
            **folders(installed, self._context.data),
        }

    def _command(
        self,
        plan: BuildPlan,
        installed: Installed,
        argv: tuple[str, ...],
        variables: Mapping[str, str],
    ) -> Command:
        place = self._place(installed)
        shown = dict.fromkeys((*plan.binds, *passed_paths(self._passed, self._context.data.root)))
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
        context, function = self._context, self._function
        system = system_variables(
            function,
            self._deployment,
            project=context.config.project,
            endpoint=context.endpoint.url,
            runtime=(installed.runtime.name, installed.runtime.version),
            slug=function.build_specification,
        )
        # npm reads its variables in any case.
        own = {name.lower() for name in plan.env}
        wanted = {
            **{name: self._passed[name] for name in self._passed if name.lower() not in own},
            **plan.env,
            **variables,
            **installed.options(self._memory_bytes // _MIB, variables),
            **system,
            "APPWRITE_FUNCTION_API_KEY": context.tokens.mint_key(
                function.scopes, context.config.build_timeout, reach=function.reach
            ),
            "PATH": plan.env["PATH"],
        }
        return {name: value for name, value in wanted.items() if can_be_set(name, value)}

    def _seal(self, plan: BuildPlan, place: Place) -> TreeSize:
        """Give the build's output to the server, durably; the function can then only read it."""
        links = (
            place.code,
            *("/usr", "/bin", "/lib"),
            *(str(path) for path in plan.binds),
            *plan.links.values(),
        )
        owner = Owner(builder_uid=os.geteuid())
        if self._uid:
            owner = Owner(builder_uid=self._uid, uid=0, gid=self._uid)
        usage = seal(self._directory, owner, links, limit_bytes=self._limit_bytes, keep=plan.keep)
        # Before the deployment becomes `ready`.
        sync_tree(self._directory)
        return usage

    def clear(self, *, keep: bool) -> None:
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


def holds(directory: Path, entrypoint: str) -> bool:
    """Tell whether a build has its entrypoint, a path inside its directory."""
    path = PurePosixPath(entrypoint)
    if path.is_absolute() or ".." in path.parts:
        return False
    # `Path.exists` raises for a name that is too long, and for a closed directory.
    return os.path.exists(directory / path)  # noqa: PTH110
