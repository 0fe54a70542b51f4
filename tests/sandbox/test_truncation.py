"""Truncation of files by their path, which the filter refuses where Landlock cannot.

Landlock refuses it since version 3 (Linux 6.2).
"""

import asyncio
import os
import platform
import sys

import pytest

from minifn.host.datadir import DataDir
from minifn.sandbox import seccomp
from minifn.sandbox.command import Bind
from minifn.sandbox.engines.process import ProcessEngine
from minifn.sandbox.launcher.confine import TRUNCATE_SINCE
from minifn.sandbox.programs import find_programs
from minifn.sandbox.spawner import Spawner, run
from tests.sandbox.commands import PYTHON, command, started

#: All ways to truncate without a writable descriptor. The access mode 3 asks for neither reading
#: nor writing, so Landlock has nothing to refuse; openat2 takes it in a structure in memory.
ATTEMPTS = """
import ctypes, errno, os, struct, sys

def by_structure(path, flags):
    how = struct.pack("=QQQ", flags, 0, 0)
    if ctypes.CDLL(None, use_errno=True).syscall(437, -100, path.encode(), how, len(how)) < 0:
        raise OSError(ctypes.get_errno(), "openat2")

def attempt(name, function, *arguments):
    try:
        function(*arguments)
        print(name, "OPEN")
    except OSError as error:
        print(name, errno.errorcode[error.errno])

for path in sys.argv[1:]:
    attempt("truncate", os.truncate, path, 0)
    attempt("neither", os.open, path, os.O_ACCMODE | os.O_TRUNC)
    attempt("reading", os.open, path, os.O_RDONLY | os.O_TRUNC)
    attempt("structure", by_structure, path, os.O_ACCMODE | os.O_TRUNC)
"""
#: Ordinary use of a program's own files.
ORDINARY = """
import os
path = os.path.join(os.environ["TMPDIR"], "own")
for flags in (os.O_WRONLY | os.O_CREAT, os.O_RDWR, os.O_WRONLY | os.O_APPEND):
    own = os.open(path, flags | os.O_TRUNC)
    assert os.fstat(own).st_size == 0
    os.write(own, b"content")
    os.ftruncate(own, 3)
    assert os.fstat(own).st_size == 3
    os.close(own)
print("own", open(path).read())
"""


def test_no_file_of_the_server_can_be_truncated(place: DataDir) -> None:
    """Neither a closed file nor a readable one, with any version of Landlock."""
    readable = place.root / "wrapper"
    place.database.write_text("DATABASE")
    readable.write_text("WRAPPER")

    async def main() -> str:
        async with started(place, "process") as (spawner, engine):
            argv = (PYTHON, "-c", ATTEMPTS, str(place.database), str(readable))
            shown = Bind(source=readable, target="/wrapper")
            wrapped = engine.wrap(command(*argv, binds=(shown,)))
            return (await run(spawner, wrapped, timeout_seconds=60)).text

    lines = asyncio.run(main()).splitlines()
    assert len(lines) == 8
    assert not [line for line in lines if line.endswith("OPEN")]
    assert (place.database.read_text(), readable.read_text()) == ("DATABASE", "WRAPPER")


REFUSED = [
    *("own con", "truncate EPERM", "neither EPERM", "reading EPERM", "structure ENOSYS", "left 3"),
]
EMPTIED = [
    *("own con", "truncate OPEN", "neither OPEN", "reading OPEN", "structure OPEN", "left 0"),
]


@pytest.mark.skipif(sys.platform != "linux", reason="system call filters are Linux's")
@pytest.mark.parametrize("landlock", [2, 3])
def test_the_filter_refuses_truncation_only_in_place_of_landlock(
    place: DataDir, landlock: int
) -> None:
    """The filter alone decides here, on any kernel."""
    if platform.machine() not in seccomp.MACHINES:
        pytest.skip("there is no filter for this machine")
    root = os.geteuid() == 0
    engine = ProcessEngine(
        programs=find_programs(),
        root=root,
        seccomp=seccomp.process_program(platform.machine(), own_uid=root, landlock=landlock),
    )
    script = (
        f"{ORDINARY}\nimport sys; sys.argv.append(path)\n"
        f"{ATTEMPTS}\nprint('left', os.stat(path).st_size)"
    )

    async def main() -> str:
        async with Spawner(place.run) as spawner:
            for path in (place.root, place.run, spawner.tmp_dir):
                path.chmod(0o711)
            wrapped = engine.wrap(command(PYTHON, "-c", script))
            return (await run(spawner, wrapped, timeout_seconds=60)).text

    lines = asyncio.run(main()).splitlines()
    assert lines == (REFUSED if landlock < TRUNCATE_SINCE else EMPTIED)
