"""Files that all functions of one toolchain share: made once for the machine, read-only afterwards.

A language's wrapper object, standard library and archives take seconds to compile and are the same
for every function. A command of the family makes them in the sandbox, as a user that no function
has; then they belong to the server. A record beside the files names each of them with its size and
time, so that a broken file is noticed and they are made again.
"""

import asyncio
import hashlib
import json
import logging
import os
import stat
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from minifn import jsontext
from minifn.builder.publish import Owner, seal
from minifn.host.datadir import DataDir
from minifn.host.files import remove_tree, sync_directory, sync_tree
from minifn.host.space import TreeRefused, TreeSize, check_space
from minifn.ids import new_id
from minifn.languages import Installed, Place
from minifn.languages.installed import TOOLS
from minifn.process_env import SHARED, TOOLCHAIN_UID
from minifn.sandbox.command import Bind, Command, Limits, SandboxError
from minifn.sandbox.engines import Engine, user_under
from minifn.sandbox.spawner import Output, Spawner, run
from minifn.workers.records import WorkerFailed
from minifn.workers.runtime_folders import folders, places, shown

logger = logging.getLogger("minifn.builder")

#: Path of the temporary files of the command that makes a cache.
SCRATCH = "/scratch"
#: Deadline of that command, seconds, and its limits.
MAKE_SECONDS = 600.0
MEMORY_MB = 2048
PROCESSES_MAX = 256
OPEN_FILES_MAX = 4096
#: Largest cache, bytes.
CACHE_BYTES_MAX = 4_000_000_000
#: Niceness of the command, as of builds.
NICE = 10
#: Last bytes of the command's output in an error.
OUTPUT_CHARS = 2000
_MIB = 1024 * 1024


class ToolchainFailed(Exception):
    """The files of a toolchain could not be made; the message says why."""


class ToolchainCaches:
    """The caches of this data directory, made when they are first needed."""

    def __init__(self, data: DataDir, engine: Engine, spawner: Callable[[], Spawner]) -> None:
        self._data = data
        self._engine = engine
        self._spawner = spawner
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        #: Names of the caches that this server has found whole.
        self._whole: set[str] = set()
        #: Uid of the command, 0 unless the server is root and the engine drops root.
        self._uid = user_under(engine, TOOLCHAIN_UID)

    async def ready(self, installed: Installed, note: Callable[[str], None]) -> None:
        """Make the files of a runtime's toolchain, unless they exist and are whole.

        `note` is told when they are made. Raises ToolchainFailed and TreeRefused.
        """
        name = installed.cache_name
        if not name:
            return
        async with self._locks[name]:
            directory = self._data.toolchain(name)
            if await asyncio.to_thread(is_whole, directory, self._place(directory)):
                self._whole.add(name)
                return
            self._whole.discard(name)
            language = f"{installed.runtime.name} {installed.interpreter.version_text}"
            note(f"Making the files that functions of {language} share; later builds reuse them.")
            started = time.monotonic()
            usage = await self._make(installed)
            self._whole.add(name)
            logger.info(
                "made the shared files of %s (%s) in %.1f s: %d files, %d bytes",
                *(language, name, time.monotonic() - started, usage.files, usage.size_bytes),
            )

    async def share(self, installed: Installed) -> None:
        """Make the files for a worker, unless they exist. Raises WorkerFailed."""
        name = installed.cache_name
        if not name or (name in self._whole and self._data.toolchain(name).is_dir()):
            return
        try:
            await self.ready(installed, lambda line: None)
        except (ToolchainFailed, TreeRefused) as exc:
            raise WorkerFailed(f"The worker could not be started: {exc}\n") from exc

    def tidy(self, wanted: Callable[[], Iterable[str]]) -> None:
        """Remove all files but those of the caches with the wanted names; no worker may run."""
        if present := list(self._data.toolchains.iterdir()):
            known = {f"{name}{end}" for name in wanted() for end in ("", ".json")}
            for path in present:
                if path.name not in known:
                    remove_tree(path)

    def _place(self, directory: Path) -> str:
        """Return the path by which functions know a cache."""
        return self._engine.place(Bind(source=directory, target=SHARED))

    async def _make(self, installed: Installed) -> TreeSize:
        """Make a cache at its final path, because some archives hold the paths of their files."""
        name = installed.cache_name
        directory = self._data.toolchain(name)
        scratch = directory.with_name(f"{name}~{new_id()}")
        try:
            await asyncio.to_thread(self._make_room, installed, directory, scratch)
            output = await self._run(installed, scratch)
            if not output.ok:
                reason = output.exit.reason or f"exit code {output.exit.code}"
                raise ToolchainFailed(
                    f"The files that all {installed.runtime.name} functions share could not be made"
                    f" ({reason}): {output.text.strip()[-OUTPUT_CHARS:]}"
                )
            return await asyncio.to_thread(self._publish, installed, directory)
        except SandboxError as exc:
            raise ToolchainFailed(str(exc)) from exc
        finally:
            await asyncio.to_thread(remove_tree, scratch)

    def _make_room(self, installed: Installed, directory: Path, scratch: Path) -> None:
        check_space(self._data.toolchains)
        drop(self._data, installed.cache_name)
        for path in (directory, scratch):
            path.mkdir(mode=0o700)
        (scratch / TOOLS).mkdir(mode=0o755)
        for name, program in installed.tools.items():
            (scratch / TOOLS / name).symlink_to(program)
        if self._uid:
            # Lets users of functions pass, for an engine that shows the host's file system.
            self._data.toolchains.chmod(0o711)
            # An engine enters the directory before it becomes that user, without root's rights.
            for path in (directory, scratch):
                os.chown(path, self._uid, 0)
                path.chmod(0o710)

    async def _run(self, installed: Installed, scratch: Path) -> Output:
        binds = folders(installed, self._data)
        binds["shared"] = Bind(
            source=binds["shared"].source, target=binds["shared"].target, writable=True
        )
        binds["scratch"] = Bind(source=scratch, target=SCRATCH, writable=True)
        place = Place(code="", **places(self._engine, binds))
        argv, env = installed.share(place, MEMORY_MB)
        command = Command(
            argv=argv,
            env=env,
            cwd=place.shared,
            binds=(*binds.values(), *shown(installed)),
            limits=Limits(
                memory_bytes=MEMORY_MB * _MIB,
                reserved_bytes=installed.memory_allowance_mb * _MIB,
                processes=PROCESSES_MAX,
                open_files=OPEN_FILES_MAX,
                file_bytes=CACHE_BYTES_MAX,
                nice=NICE,
            ),
            uid=TOOLCHAIN_UID,
            label=f"{installed.cache_name} shared files",
        )
        return await run(self._spawner(), self._engine.wrap(command), timeout_seconds=MAKE_SECONDS)

    def _publish(self, installed: Installed, directory: Path) -> TreeSize:
        """Give the files to the server, durably, and record them."""
        owner = Owner(builder_uid=os.geteuid())
        if self._uid:
            owner = Owner(builder_uid=self._uid, uid=0, gid=0, everyone=True)
        usage = seal(directory, owner, ("/",), limit_bytes=CACHE_BYTES_MAX)
        sync_tree(directory)
        record = {
            "name": directory.name,
            "runtime": installed.runtime.name,
            "version": installed.interpreter.version_text,
            "bytes": usage.size_bytes,
            "place": self._place(directory),
            "digest": listing_digest(directory),
        }
        file = record_file(directory)
        new = file.with_name(f"{file.name}~new")
        new.touch(mode=0o600)
        new.write_text(json.dumps(record))
        new.rename(file)
        sync_directory(file.parent)
        return usage


def record_file(directory: Path) -> Path:
    """Return the path of the record of a cache."""
    return directory.with_name(f"{directory.name}.json")


def records(data: DataDir) -> list[dict[str, Any]]:
    """Return the readable records of all caches, by name."""
    found = []
    for path in sorted(data.toolchains.glob("*.json")):
        record = _record(path)
        if record is not None:
            found.append(record)
    return found


def is_whole(directory: Path, place: str = "") -> bool:
    """Tell whether a cache is as it was recorded.

    `place`: the path by which functions must know it, because its files may hold that; "" = any.
    """
    record = _record(record_file(directory))
    if record is None or record["place"] != (place or record["place"]):
        return False
    try:
        return bool(record["digest"] == listing_digest(directory))
    except OSError:
        return False


def drop(data: DataDir, name: str) -> None:
    """Remove a cache; the next build or worker that needs it makes it again. Raises OSError."""
    directory = data.toolchain(name)
    record_file(directory).unlink(missing_ok=True)
    if directory.exists():
        # Out of the way at once: a large tree takes long to remove.
        remove_tree(directory.rename(directory.with_name(f"{name}~{new_id()}")))


def listing_digest(directory: Path) -> str:
    """Return a digest of the names, kinds, modes, sizes and times of all files. Raises OSError.

    The time of a directory is left out: moves in it show by themselves.
    """
    digest = hashlib.sha256()
    places = [""]
    while places:
        place = places.pop()
        with os.scandir(f"{directory}/{place}") as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                path = f"{place}{entry.name}"
                status = entry.stat(follow_symlinks=False)
                what = f"{path}\0{status.st_mode}"
                if stat.S_ISDIR(status.st_mode):
                    places.append(f"{path}/")
                else:
                    what += f"\0{status.st_size}\0{status.st_mtime_ns}"
                digest.update(os.fsencode(what + "\n"))
    return digest.hexdigest()


def _record(path: Path) -> dict[str, Any] | None:
    """Return a record, None for one that is missing or damaged."""
    try:
        record = jsontext.decode(path.read_bytes())
    except (OSError, jsontext.JsonInvalid):
        return None
    keys = {"name", "runtime", "version", "bytes", "place", "digest"}
    return record if isinstance(record, dict) and keys <= record.keys() else None
