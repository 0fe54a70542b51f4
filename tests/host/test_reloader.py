"""Builds lie where uvicorn's reloader does not see them."""

import logging
import multiprocessing
from pathlib import Path

import pytest
import uvicorn

from minifn.host.datadir import DataDir
from minifn.host.reloader import hide_code, watched_folder


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that uvicorn's reloader watches: this process has the settings of one it started."""
    (folder := tmp_path / "project").mkdir()
    config = uvicorn.Config("app:app", reload=True, reload_dirs=[str(folder)])
    process = multiprocessing.current_process()
    monkeypatch.setattr(process, "_kwargs", {"config": config}, raising=False)
    return folder


def test_builds_in_a_watched_folder_are_kept_elsewhere(
    project: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = DataDir(project / "data")
    hide_code(data, {"XDG_STATE_HOME": str(tmp_path / "state")})
    assert data.builds.is_relative_to(tmp_path / "state/minifn")
    assert data.builds.parent.is_dir()
    assert f"builds are kept in {data.builds.parent}" in caplog.text
    again = DataDir(project / "data")
    hide_code(again, {"XDG_STATE_HOME": str(tmp_path / "state")})
    assert again.builds == data.builds
    other = DataDir(project / "other/data")
    hide_code(other, {"XDG_STATE_HOME": str(tmp_path / "state")})
    assert other.builds != data.builds


def test_without_another_place_the_reason_is_said(
    project: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (blocked := tmp_path / "file").touch()
    for state, reason in (
        (project / "state", "so does"),
        (blocked, "cannot be made (Not a directory)"),
    ):
        caplog.clear()
        data = DataDir(project / "data")
        hide_code(data, {"XDG_STATE_HOME": str(state)})
        assert data.builds == project / "data/builds"
        assert reason in caplog.text
        assert "builds restart the app. Name another directory" in caplog.text


def test_a_folder_that_is_not_watched_is_left_alone(
    project: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    data = DataDir(tmp_path / "data")
    hide_code(data, {})
    assert data.builds == tmp_path / "data/builds"
    assert watched_folder(project / "data") == project
    assert not caplog.text
