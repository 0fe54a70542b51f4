"""A disk with a plug: a file system of its own, which can be ended at once with all that it has not written."""

import fcntl
import os
import struct
import subprocess
from pathlib import Path

import pytest

from tests.serving import wait_until

DISK_BYTES = 4 << 30
#: EXT4_IOC_SHUTDOWN of Linux (fs/ext4/ext4.h), for tests like this one.
SHUTDOWN = 0x8004587D
#: Not even the journal is written: EXT4_GOING_FLAGS_NOLOGFLUSH.
NO_FLUSH = 2
#: As lossy as ext4 can be: names may outlive contents, and replacing a file writes nothing early.
OPTIONS = "loop,data=writeback,noauto_da_alloc"


class Disk:
    """An ext4 file system in the sparse file `image`."""

    def __init__(self, folder: Path) -> None:
        """Make it; skips where that is not possible."""
        if os.geteuid() != 0:
            pytest.skip("only root can mount a disk: run the tests as root")
        self._image = folder / "disk.img"
        self.place = folder / "disk"
        self.place.mkdir(mode=0o711)
        with self._image.open("wb") as file:
            file.truncate(DISK_BYTES)
        try:
            _run("mkfs.ext4", "-q", "-F", str(self._image))
            self.mount()
        except (FileNotFoundError, AssertionError) as exc:
            pytest.skip(f"no ext4 can be made and mounted here: {exc}")
        self.place.chmod(0o711)

    def mount(self) -> None:
        """Plug it in. Raises AssertionError."""
        _run("mount", "-o", OPTIONS, str(self._image), str(self.place))

    def pull_the_plug(self) -> None:
        """From now on every write fails, and what was not on disk is lost."""
        descriptor = os.open(self.place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, SHUTDOWN, struct.pack("I", NO_FLUSH))
        finally:
            os.close(descriptor)

    def unmount(self) -> None:
        """Take it out once nobody uses it. Raises AssertionError."""
        wait_until(lambda: _unmounted(self.place), 20, f"{self.place} is unmounted")


def _unmounted(place: Path) -> bool:
    done = subprocess.run(["umount", str(place)], capture_output=True, check=False)
    return done.returncode == 0 or not place.is_mount()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
