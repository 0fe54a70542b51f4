"""Restores that are killed, repeated, or meet the files of others."""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from minifn.host.datadir import DataDir
from minifn.services.backup import BackupError, backup, restore


def test_a_restore_that_was_killed_is_repeated(kept: DataDir, tmp_path: Path) -> None:
    """Also where its files were about to get their places; a server does not start between."""
    file = tmp_path / "copy.tar"
    backup(kept, file)
    data = DataDir(tmp_path / "again")
    command = [sys.executable, "-m", "minifn", "restore", str(file), "--data", str(data.root)]
    program = "import sys; from minifn.services import backup; from minifn.cli import main; {}"
    for end in (
        "backup._make_ready = lambda data: os.kill(os.getpid(), 9)",
        "backup.sync_directory = lambda data: os.kill(os.getpid(), 9)",
    ):
        code = program.format(f"import os; {end}; main(sys.argv[1:])")
        killed = subprocess.run([sys.executable, "-c", code, *command[3:]], check=False)
        assert killed.returncode == -signal.SIGKILL
        with pytest.raises(OSError, match="A restore into it was interrupted: repeat it"):
            data.open()
    assert restore(file, data).deployments == 2
    data.restoring.mkdir()
    data.open()
    assert not data.restoring.exists()


def test_a_restore_removes_nothing_that_it_did_not_make(kept: DataDir, tmp_path: Path) -> None:
    file = tmp_path / "copy.tar"
    backup(kept, file)
    (tmp_path / "home/restoring/deployments").mkdir(parents=True)
    (tmp_path / "home/thesis").touch()
    with pytest.raises(BackupError, match="is not empty"):
        restore(file, DataDir(tmp_path / "home"))
    assert (tmp_path / "home/thesis").exists()


def test_two_restores_into_one_directory(kept: DataDir, tmp_path: Path) -> None:
    file = tmp_path / "copy.tar"
    backup(kept, file)
    data = DataDir(tmp_path / "again")
    data.restoring.joinpath("deployments").mkdir(parents=True)
    descriptor = os.open(data.root, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(BackupError, match="another restore into"):
        restore(file, data)
    os.close(descriptor)
    assert restore(file, data).deployments == 2
