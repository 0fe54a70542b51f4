"""The printed report of `minifn doctor`."""

import contextlib
import json
import os
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from minifn.cli.doctor import show
from minifn.doctor import Check, Report
from tests.patience import patient
from tests.processes import killed_at_end


def test_a_report_in_a_pipe_is_not_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    path = Path.home() / ("long" * 30) / "python3.12"
    checks = (
        Check(group="runtimes", name="python", state="ON", detail=f"3.12.1  {path}"),
        Check(
            group="runtimes",
            name="node",
            state="OFF",
            detail="none found",
            remedy="install the package nodejs",
        ),
    )
    show(Report(checks=checks))
    shown = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert shown[1].endswith(f"python  ON     3.12.1  ~/{'long' * 30}/python3.12")
    assert "node: install the package nodejs" in shown
    assert shown[-1] == "minifn serve will work here."


def test_other_programs_output_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    check = Check(
        group="sandbox",
        name="bwrap",
        state="OFF",
        detail="\x1b[2Jgone",
        remedy="\x1b]0;x\x07run it",
    )
    show(Report(checks=(check,)))
    shown = capsys.readouterr().out
    assert "bwrap" in shown
    assert "gone" in shown
    assert "bwrap: run it" in shown
    assert "\x1b" not in shown


def test_a_report_fits_the_terminal() -> None:
    """Lines are wrapped to the width of the terminal, not cut."""
    master, slave = os.openpty()
    termios.tcsetwinsize(slave, (24, 60))
    environ = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    command = [sys.executable, "-m", "minifn", "doctor"]
    doctor = subprocess.Popen(command, stdout=slave, env={**environ, "TERM": "dumb"})
    with killed_at_end(doctor) as process:
        os.close(slave)
        shown = b""
        with contextlib.suppress(OSError):
            # Reading ends with an error once the program has closed the terminal.
            while piece := os.read(master, 4096):
                shown += piece
        assert process.wait(patient(60)) in (0, 1)
    os.close(master)
    lines = shown.decode().splitlines()
    assert max(map(len, lines)) <= 60
    assert any(line.startswith("minifn serve will work") or "missing" in line for line in lines)


@pytest.mark.usefixtures("bwrap")
@pytest.mark.parametrize(
    ("engine", "others"),
    [("bwrap", set()), ("process", {"engine bwrap", "engine sandlock"})],
)
def test_engines_weaker_than_the_one_in_use_are_left_out(engine: str, others: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "minifn", "doctor", "--json", "--sandbox", engine],
        capture_output=True,
        timeout=60,
        check=False,
    )
    report = json.loads(done.stdout)
    assert {one["name"] for one in report["checks"] if one["name"].startswith("engine ")} == others
    assert set(report) == {"minifn", "works", "settings", "checks"}
    assert report["settings"]["sandbox"] == engine
    for check in report["checks"]:
        assert set(check) == {"group", "name", "state", "detail", "remedy", "required", "fatal"}


def test_a_full_disk_is_said_by_name(tmp_path: Path) -> None:
    """No file may grow here: a disk is full in the same way, also for root."""
    limited = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", sys.executable, "-m", "minifn"]
    with (tmp_path / "read").open("w") as nowhere:
        done = subprocess.run(
            [*limited, "doctor", "--json", "--sandbox", "none", "--data", str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=nowhere,
            timeout=60,
            check=False,
        )
    report = json.loads(done.stdout)
    (check,) = (one for one in report["checks"] if one["name"] == "data directory")
    (engine,) = (one for one in report["checks"] if one["name"] == "engine")
    assert (done.returncode, report["works"], check["state"]) == (1, False, "OFF")
    assert engine["detail"].startswith("not tried: No usable temporary directory")
    assert check["detail"] == f"{tmp_path}: {tmp_path} cannot be written: File too large"
    assert check["remedy"] == "free space there, or set MINIFN_DATA to another disk"
    assert [path.name for path in tmp_path.iterdir()] == ["read"]
