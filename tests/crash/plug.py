"""A disk with a plug: its own file system, which can lose all that is not written at once."""

import fcntl
import os
import struct
import subprocess
from pathlib import Path

import pytest

from tests.serving import wait_until

DISK_BYTES = 4 << 30
#: Linux's EXT4_IOC_SHUTDOWN (fs/ext4/ext4.h).
SHUTDOWN = 0x8004587D
#: EXT4_GOING_FLAGS_NOLOGFLUSH: not even the journal is written.
NO_FLUSH = 2
#: Mount options that lose most: names may outlive contents, and replacing a file writes nothing
#: early.
OPTIONS = "loop,data=writeback,noauto_da_alloc"


class Disk:
    """An ext4 file system in the sparse file `image`."""

    def __init__(self, folder: Path) -> None:
        """Create the file system; skip the test where that is not possible."""
        if os.geteuid() != 0:
            pytest.skip("only root can mount a disk: run the tests as root")
        self._image = folder / "disk.img"
        self._mounted = False
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

    def plug_in_again(self) -> None:
        """Unmount the file system and mount a copy of it. Raises AssertionError.

        Another sandbox may still have the dead file system mounted, and mounting the original would
        mount that one again.
        """
        self.unmount()
        copy = self._image.with_name("copy.img")
        _run("cp", "--sparse=always", str(self._image), str(copy))
        copy.replace(self._image)
        self.mount()

    def mount(self) -> None:
        """Mount the file system. Raises AssertionError."""
        _run("mount", "-o", OPTIONS, str(self._image), str(self.place))
        self._mounted = True

    def pull_the_plug(self) -> None:
        """Fail every write from now on, and lose all that is not on disk."""
        descriptor = os.open(self.place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, SHUTDOWN, struct.pack("I", NO_FLUSH))
        finally:
            os.close(descriptor)

    def unmount(self) -> None:
        """Unmount the file system once it is unused. Raises AssertionError."""
        if self._mounted:
            wait_until(self._try_unmount, 20, f"{self.place} is unmounted")

    def _try_unmount(self) -> bool:
        done = subprocess.run(["umount", str(self.place)], capture_output=True, check=False)
        self._mounted = done.returncode != 0
        return not self._mounted


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
