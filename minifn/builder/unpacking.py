"""Unpacks an archive, or a packed build, in a sandbox."""

from pathlib import Path

from minifn.archive import unpack_argv
from minifn.builder.commands import BuildError
from minifn.builder.context import BuildMachine
from minifn.process_env import CODE
from minifn.sandbox.command import Bind, Command, Limits
from minifn.sandbox.own_python import own_binds
from minifn.sandbox.spawner import run

#: Path of the archive in the sandbox of the unpacking program.
ARCHIVE = "/archive.tar.gz"
#: Limits of the program for the archive of a deployment, and for a packed build.
UNPACK_SECONDS, BUILT_SECONDS = 60, 600
UNPACK_MEMORY_BYTES, BUILT_MEMORY_BYTES = 256 * 1024 * 1024, 1024 * 1024 * 1024


async def unpack(
    machine: BuildMachine, file: Path, directory: Path, label: str, built_bytes: int = 0
) -> list[str]:
    """Unpack a file into an empty directory, and return lines for the build log.

    `built_bytes`: most bytes of a packed build, 0 for the archive of a deployment. It is unpacked
    as the server's user, because only that user can read archives. Raises BuildError and
    SandboxError.
    """
    engine = machine.engine
    archive = Bind(source=file, target=ARCHIVE)
    code = Bind(source=directory, target=CODE, writable=True)
    interpreter = (Bind(source=path, target=str(path)) for path in own_binds())
    seconds = BUILT_SECONDS if built_bytes else UNPACK_SECONDS
    command = Command(
        argv=unpack_argv(engine.place(archive), engine.place(code), built_bytes),
        env={"PATH": "/usr/bin:/bin"},
        binds=(archive, code, *interpreter),
        limits=Limits(
            memory_bytes=BUILT_MEMORY_BYTES if built_bytes else UNPACK_MEMORY_BYTES,
            file_bytes=machine.config.build_limit,
            cpu_seconds=seconds,
        ),
        label=f"{label} unpack",
    )
    output = await run(machine.spawner, engine.wrap(command), timeout_seconds=seconds)
    if not output.ok:
        reason = output.exit.reason or output.text.strip() or f"exit code {output.exit.code}"
        lead = "" if reason.startswith("The archive") else "The archive could not be unpacked: "
        raise BuildError(lead + reason)
    return output.text.splitlines()
