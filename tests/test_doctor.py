"""The printed report of `minifn doctor`."""

from pathlib import Path

import pytest

from minifn.cli.doctor import show
from minifn.doctor import Check, Report


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
