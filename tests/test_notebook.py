"""`%%function` and `%run_function` in a real IPython shell, in a process of its own."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from minifn.languages.manifest import load_families
from minifn.languages.table import default_root

SESSION = r"""
%load_ext minifn

%%function hello --var GREETING=Welcome
import os

def main(context):
    print("\x1b[31mgreeting")
    return context.res.json({"text": f"{os.environ['GREETING']}, {context.req.body_text}!"})
----
who = "Ada"
----
answer = %run_function hello {who}
----
print("ANSWER", answer)
----
import urllib.request
from pathlib import Path
url = (Path(".minifn/notebook/run/address").read_text()).split()[0]
asked = urllib.request.Request(url, b"Bob", {"Host": "hello.functions.localhost"})
print("URL", urllib.request.urlopen(asked).read().decode())
----
%%function broken
def main(context:
----
%%function hello --timeout never
x
----
%run_function nothing
----
%run_function
----
%%function fails
def main(context):
    raise ValueError("as asked")
----
%run_function fails
----
%%function "open
x
----
%%function liar
def main(context):
    return context.res.text("{no: JSON}", 200, {"content-type": "application/json"})
----
print("TEXT", get_ipython().run_line_magic("run_function", "liar"))
"""


def cells(text: str) -> list[str]:
    """Return the cells of a session; the first line of a magic is the first of its cell."""
    head, _, rest = text.strip().partition("\n\n")
    return [head, *rest.split("----\n")]


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The output of a session."""
    if importlib.util.find_spec("IPython") is None:
        pytest.skip("IPython is not installed: pip install ipython")
    folder = tmp_path_factory.mktemp("notebook")
    folder.chmod(0o755)
    (folder / "cells.json").write_text(json.dumps(cells(SESSION)))
    code = (
        "import json\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance(colors='nocolor')\n"
        "for cell in json.load(open('cells.json')):\n"
        "    print('>>>', cell.split(chr(10))[0], flush=True)\n"
        "    shell.run_cell(cell, store_history=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "IPYTHONDIR": str(folder / "ipython"), "HOME": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=True,
    )
    assert (folder / ".minifn/.gitignore").read_text() == "*\n"
    return done.stdout


def part(printed: str, line: str) -> str:
    """Return what a cell prints, by its first line."""
    return printed.partition(f">>> {line}\n")[2].partition(">>> ")[0]


def test_a_cell_is_deployed_and_run(printed: str) -> None:
    """The build log, the URL, the function's logs without escape sequences, and the answer."""
    deployed = part(printed, "%%function hello --var GREETING=Welcome")
    assert "[minifn]" in deployed
    assert "hello answers at http://hello.functions.localhost:" in deployed
    assert "greeting\n" in part(printed, "answer = %run_function hello {who}")
    assert "\x1b" not in printed
    assert "ANSWER {'text': 'Welcome, Ada!'}" in printed
    assert 'URL {"text":"Welcome, Bob!"}' in printed


def test_mistakes_are_one_message(printed: str) -> None:
    broken = part(printed, "%%function broken")
    assert "main.py" in broken
    assert "UsageError: the build of broken failed" in broken
    assert "invalid int value: 'never'" in part(printed, "%%function hello --timeout never")
    assert "UsageError: Function with the requested ID" in part(printed, "%run_function nothing")
    assert "UsageError: %run_function NAME [BODY]" in part(printed, "%run_function")
    failed = part(printed, "%run_function fails")
    assert "as asked" in failed
    assert "status 500" in failed
    assert 'UsageError: "open: No closing quotation' in part(printed, '%%function "open')
    assert "TEXT {no: JSON}\n" in printed
    for line in ("%%function broken", '%%function "open', "%run_function nothing"):
        assert "Traceback (most recent call last)" not in part(printed, line)


def test_an_error_of_the_start_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("IPython", reason="IPython is not installed: pip install ipython")
    from IPython.core.error import UsageError

    from minifn.notebook import FunctionMagics

    monkeypatch.chdir(tmp_path)
    database = tmp_path / ".minifn/notebook/minifn.db"
    database.parent.mkdir(parents=True)
    database.write_text("This is no database. " * 1000)
    with pytest.raises(UsageError, match="file is not a database"):
        FunctionMagics().run_function("hello")


@pytest.mark.parametrize(
    ("runtime", "code", "name"),
    [
        ("python", "def main(context): ...", "src/main.py"),
        ("node", "module.exports = () => {}", "src/main.js"),
        ("node", "// a\nexport default () => {}", "src/main.mjs"),
        ("php", "<?php", "src/index.php"),
        ("cobol", "", "main.py"),
    ],
)
def test_a_cell_has_the_name_that_its_language_expects(runtime: str, code: str, name: str) -> None:
    pytest.importorskip("IPython", reason="IPython is not installed: pip install ipython")
    from minifn.notebook import entry_file

    assert entry_file(load_families(default_root()).get(runtime), code) == name
