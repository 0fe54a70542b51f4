"""The commands on a real terminal: widths, colours, progress, and hostile text."""

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Here
from tests.cli.pseudo_terminal import PseudoTerminal
from tests.cli.test_cli import environment
from tests.packing import packed_files
from tests.serving import Api, Server, wait_until

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
HELLO = 'def main(context):\n    return context.res.text("\\x1b]0;evil\\x07\\x1b[31mhi")\n'


@pytest.fixture(scope="module")
def function(server: Server) -> str:
    """A function whose deployment has a long note with control characters."""
    with server.api as api:
        api.create("terminal", api.runtime("python"), entrypoint="main.py")
        api.deploy("terminal", packed_files({"main.py": HELLO}), message="\x1b[2J" + "long " * 40)
        api.create("terminal-" + "x" * 27, api.runtime("python"))
    return "terminal"


def shown(here: Here, *arguments: str, columns: int = 80) -> PseudoTerminal:
    """Return the terminal of a command that has ended."""
    settings = environment(TERM="xterm-256color")
    del settings["COLUMNS"]
    command = [sys.executable, "-m", "minifn", *arguments]
    with PseudoTerminal(command, here.folder, settings, columns) as terminal:
        terminal.read_all()
    return terminal


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_tables_fit_the_terminal(here: Here, function: str, columns: int) -> None:
    terminal = shown(here, "deployments", function, columns=columns)
    lines = terminal.text.splitlines()
    assert len(lines) == 2
    assert max(map(len, lines)) <= columns
    assert ("note" in lines[0]) is (columns > 40)
    assert "active" in lines[1]
    assert COLOUR.search(terminal.raw)
    assert "\x1b[2J" not in terminal.raw


@pytest.mark.parametrize("columns", [44, 80])
def test_the_list_of_functions_fits(here: Here, function: str, columns: int) -> None:
    terminal = shown(here, "ls", columns=columns)
    lines = [line.rstrip() for line in terminal.text.splitlines()]
    assert max(map(len, lines)) <= columns
    assert any(line.startswith("terminal-xxxxxx") and "…" in line for line in lines)
    assert "calls" in lines[0]
    assert ("p50" in lines[0]) is (columns == 80)


def test_bash_completes_ids_at_the_tab_key(here: Here, function: str) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not on PATH")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    settings = environment(PATH=path, PS1="ready> ", TERM="dumb")
    with PseudoTerminal([bash, "--norc", "--noprofile", "-i"], here.folder, settings) as terminal:
        terminal.expect("ready> ")
        terminal.press('eval "$(minifn completion bash)" && echo loaded\n')
        terminal.expect("^loaded$")
        terminal.press("minifn show terminal-\t")
        terminal.expect("minifn show terminal-x{27}")


def test_colours_are_for_terminals_alone(here: Here, function: str) -> None:
    assert "\x1b" not in here.run("deployments", function).output


def test_progress_and_the_build_log_are_shown(here: Here, api: Api) -> None:
    here.file("terminal-deploy/main.py", HELLO)
    (here.folder / "terminal-deploy/noise").write_bytes(os.urandom(6 * 1024 * 1024))
    terminal = shown(here, "deploy", "terminal-deploy")
    for words in ("packing terminal-deploy", "uploading terminal-deploy", "building terminal-depl"):
        assert words in terminal.text
    assert "[minifn]" in terminal.text
    assert re.search(r"terminal-deploy  ready in [\d.]+ m?s", terminal.text.splitlines()[-1])


def test_a_body_never_reaches_the_terminal_raw(here: Here, function: str) -> None:
    terminal = shown(here, "run", function)
    assert terminal.raw == "hi\r\n"
    terminal = shown(here, "logs", function, "-n", "1")
    assert "POST / 200" in terminal.text
    assert "\x1b]" not in terminal.raw


def test_no_command_line_has_the_link_to_the_console(here: Here, tmp_path: Path) -> None:
    """Every user of a machine reads the command lines of all its processes."""
    seen, home = tmp_path / "seen", tmp_path / "home"
    opener = here.file("bin/xdg-open", f'#!/bin/sh\nprintf "%s" "$*" > {seen}\n')
    opener.chmod(0o755)
    settings = {"PATH": f"{opener.parent}:{os.environ['PATH']}", "HOME": str(home)}
    settings |= {"XDG_CONFIG_HOME": str(home)}
    command = [sys.executable, "-m", "minifn", "open"]
    with PseudoTerminal(command, here.folder, environment(**settings)) as terminal:
        terminal.expect(r"\?token=")
        wait_until(lambda: seen.exists() and seen.read_text(), 10, "the browser opens")
    link, place = terminal.text.split()[0], seen.read_text()
    assert link.removeprefix(here.server.url) not in place
    page = Path(place.removeprefix("file://"))
    assert f'content="0; url={link}"' in page.read_text()
    assert (page.stat().st_mode & 0o777, page.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert list(page.parent.iterdir()) == [page]


def test_a_secret_is_asked_for_and_not_echoed(here: Here, function: str, api: Api) -> None:
    command = [sys.executable, "-m", "minifn", "vars", function, "set", "TOKEN", "--secret"]
    with PseudoTerminal(command, here.folder, environment()) as terminal:
        terminal.expect("value of TOKEN: ")
        terminal.press("hush-hush\n")
        terminal.expect("terminal: TOKEN set")
    assert "hush-hush" not in terminal.raw
    variables = api.call("GET", f"/functions/{function}/variables", 200)["variables"]
    assert [one["secret"] for one in variables] == [True]
