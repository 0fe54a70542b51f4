"""The git command line, confined by the server's engine and without any user's configuration.

git reads untrusted repositories. Each run is a separate command with limits and a deadline. It sees
one working directory and at most one repository, and has a network only to reach a URL. It never
prompts for a password, runs no hooks and follows no submodules.
"""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from minifn.config import Config
from minifn.git.installations import REPOSITORY, Remote, without_credentials
from minifn.host.datadir import DataDir
from minifn.host.files import remove_tree
from minifn.sandbox.command import Bind, Command, Exit, Limits, Network, SandboxError
from minifn.sandbox.engines import Engine
from minifn.sandbox.inherited import passed_paths, passed_through
from minifn.sandbox.own_python import own_binds, own_interpreter
from minifn.sandbox.spawner import Spawner, run

#: Directories in which git is looked for; every sandbox shows them.
SEARCH_PATH = "/usr/local/bin:/usr/bin:/bin"
HOW_TO_GET = "install the package git (Debian, Ubuntu, Fedora, Alpine: `git`)"
#: Path of git's working directory in a sandbox.
WORK = "/work"
#: Name of a bare repository in git's working directory.
BARE = "repository.git"
#: Deadline of a run, seconds.
GIT_SECONDS = 300
MEMORY_BYTES = 1024 * 1024 * 1024
#: Most output of one run, bytes: more than any list of branches takes.
OUTPUT_BYTES_MAX = 4 * 1024 * 1024
#: Characters at the end of git's output that an error message shows.
MESSAGE_CHARS = 2000
#: Name of git's settings in its home, which is the working directory.
SETTINGS_FILE = ".gitconfig"
#: Packs are kept as received, in one file, so that the limit on file size bounds a repository.
#: `fsync` covers references: an empty one, after a loss of power, makes a repository unusable.
SETTINGS = """\
[safe]
\tdirectory = *
[core]
\thooksPath = /dev/null
\tfsync = all
[init]
\tdefaultBranch = main
[fetch]
\tunpackLimit = 1
[uploadpack]
\tallowAnySHA1InWant = true
[receive]
\tunpackLimit = 1
\tautogc = false
[gc]
\tauto = 0
[maintenance]
\tauto = false
[submodule]
\trecurse = false
[credential]
\thelper =
"""
#: Python code that makes descriptor 3 the standard input of git, which a command lacks.
WITH_INPUT = (
    "import os, sys; os.dup2(3, 0); os.closerange(3, 10); os.execvp(sys.argv[1], sys.argv[1:])"
)


class GitFailed(Exception):
    """git failed; the message has no credentials and can be shown to users."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One run of git."""

    arguments: tuple[str, ...]
    #: git's working directory, with its settings beside the repository.
    place: Path
    remote: Remote | None = None
    #: The largest file it may write, bytes.
    file_bytes: int
    seconds: float = GIT_SECONDS
    environment: Mapping[str, str] | None = None


class Git:
    """Runs git. Of the server's environment `environ`, git gets the same variables as builds."""

    def __init__(
        self,
        config: Config,
        data: DataDir,
        engine: Engine,
        spawner: Spawner,
        environ: Mapping[str, str],
    ) -> None:
        self._data = data
        self._engine = engine
        self._spawner = spawner
        self._passed = passed_through(environ, config.build_env_passthrough)

    @contextlib.asynccontextmanager
    async def place(self, remote: Remote | None = None) -> AsyncIterator[Path]:
        """Yield a temporary working directory with the settings of git."""
        self._data.git.mkdir(mode=0o700, exist_ok=True)
        place = Path(tempfile.mkdtemp(dir=self._data.git))
        try:
            settings = SETTINGS
            if remote is not None and remote.authorization:
                settings += f'[http "{remote.url}"]\n'
                settings += f'\textraHeader = "Authorization: {remote.authorization}"\n'
                # Never follow a redirect with the password.
                settings += "\tfollowRedirects = false\n"
            (place / SETTINGS_FILE).write_text(settings)
            yield place
        finally:
            remove_tree(place)

    async def run(self, call: Run) -> str:
        """Return what git printed. Raises GitFailed."""
        try:
            wrapped = self._engine.wrap(self.command(call))
            output = await run(
                self._spawner, wrapped, timeout_seconds=call.seconds, output_bytes=OUTPUT_BYTES_MAX
            )
        except SandboxError as exc:
            raise GitFailed(f"git could not be started: {exc}") from exc
        if not output.ok:
            raise GitFailed(explain(output.exit, output.text, call.file_bytes))
        return output.text

    async def start(self, call: Run, given: int, printed: int) -> Exit:
        """Run git with the descriptors `given` and `printed` as its standard input and output.

        Raises GitFailed.
        """
        command = self.command(call)
        interpreter = str(own_interpreter())
        wrapped = self._engine.wrap(
            Command(
                argv=(interpreter, "-I", "-S", "-c", WITH_INPUT, *command.argv),
                env=command.env,
                cwd=command.cwd,
                binds=(
                    *command.binds,
                    *(Bind(source=path, target=str(path)) for path in own_binds()),
                ),
                limits=command.limits,
                network=command.network,
                label=command.label,
            )
        )
        try:
            process = await self._spawner.spawn(wrapped, (given,), stdout=printed)
        except SandboxError as exc:
            raise GitFailed(f"git could not be started: {exc}") from exc
        try:
            return await asyncio.wait_for(process.wait(), GIT_SECONDS)
        except TimeoutError as exc:
            raise GitFailed(f"git took longer than {GIT_SECONDS} s") from exc
        finally:
            if process.exit is None:
                process.kill_soon()

    def command(self, call: Run) -> Command:
        """Return the command of a call. Raises GitFailed when the machine has no git."""
        program = find_git()
        if program is None:
            raise GitFailed(f"git is not installed on this server: {HOW_TO_GET}")
        work = Bind(source=call.place, target=WORK, writable=True)
        binds = [work]
        shown: Sequence[Path] = ()
        if call.remote is not None:
            if call.remote.path is not None:
                binds.append(Bind(source=call.remote.path, target=REPOSITORY))
            else:
                shown = passed_paths(self._passed, self._data.root)
        online = call.remote is not None and call.remote.path is None
        return Command(
            argv=(program, *call.arguments),
            env=self._environment(call, self._engine.place(work), online=online),
            cwd=self._engine.place(work),
            binds=(*binds, *(Bind(source=path, target=str(path)) for path in shown)),
            limits=Limits(
                memory_bytes=MEMORY_BYTES, file_bytes=call.file_bytes, cpu_seconds=GIT_SECONDS
            ),
            network=Network.NONE if not online and self._engine.namespaces else Network.HOST,
            label=f"git {call.arguments[0]}",
        )

    def _environment(self, call: Run, home: str, *, online: bool) -> dict[str, str]:
        environment = {
            **(self._passed if online else {}),
            "PATH": SEARCH_PATH,
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_ATTR_NOSYSTEM": "1",
            "HOME": home,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": call.remote.protocol if call.remote else "file",
            "GIT_OPTIONAL_LOCKS": "0",
            **(call.environment or {}),
        }
        if online and "SSL_CERT_FILE" in self._passed:
            environment["GIT_SSL_CAINFO"] = self._passed["SSL_CERT_FILE"]
        return environment

    def address(self, remote: Remote) -> str:
        """Return git's address of a remote: its URL, or the directory's path in the sandbox."""
        if remote.path is None:
            return remote.url
        return self._engine.place(Bind(source=remote.path, target=REPOSITORY))


def find_git() -> str | None:
    """Return the path of the git command, None when this machine has none."""
    return shutil.which("git", path=SEARCH_PATH)


def explain(exit: Exit, text: str, file_bytes: int) -> str:
    """Return why git failed: its own message, or the limit that it hit."""
    # A child that indexes dies of SIGXFSZ, and git reports the number of the signal.
    if exit.signal == 25 or "signal 25" in text or "File too large" in text:
        return (
            f"the repository, or the folder that is deployed, is larger than {file_bytes:,} bytes"
        )
    if exit.reason:
        return f"git was stopped: {exit.reason}"
    said = without_credentials(text).strip()[-MESSAGE_CHARS:]
    return said or f"git ended with code {exit.code}, signal {exit.signal}"
