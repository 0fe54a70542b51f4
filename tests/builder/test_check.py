"""A source that does not parse fails its build; everything that may load passes."""

import asyncio
import subprocess
from pathlib import Path

import msgspec
import pytest

from minifn.languages import Place, RuntimeTable
from minifn.store import functions
from tests.building import opened

GOOD = {
    "python": {"main.py": "def main(context):\n    return context.res.text('up')\n"},
    "node": {"main.js": "module.exports = ({ res }) => res.text('up');\n"},
}
RUNTIMES = {"python": "python-3.11", "node": "node-20.0"}
HANDLER = "def main(context):\n    pass\n"

#: Family, files, what the build log says.
REFUSED = [
    ("python", {"main.py": "def main(context)\n    pass\n"}, ('main.py", line 1', "SyntaxError")),
    ("python", {"main.py": "import lib\n", "lib.py": "return 1\n"}, ('lib.py", line 1', "outside")),
    ("python", {"main.py": "from . import lib\n", "lib.py": "x = (\n"}, ("lib.py", "SyntaxError")),
    (
        "python",
        {"main.py": "from function.a.b import c\n", "a/b.py": "  x = 1\n"},
        ("a/b.py", "IndentationError"),
    ),
    (
        "python",
        {"main.py": "import a.b\n", "a/__init__.py": "from .d import e\n", "a/d.py": "=\n"},
        ("a/d.py", "SyntaxError"),
    ),
    ("python", {"main.py": "# coding: latin-1\nx = 'a\n"}, ("unterminated string",)),
    ("python", {"main.py": "x = 1\0\n"}, ("null bytes",)),
    (
        "node",
        {"main.js": "module.exports = ({ res }) => res.text('a';\n"},
        ("main.js:1", "missing )"),
    ),
    (
        "node",
        {"main.js": "import x from './lib.mjs';\nexport default x;\n", "lib.mjs": "\nlet a =;\n"},
        ("lib.mjs:2", "SyntaxError"),
    ),
    (
        "node",
        {"main.js": "export default 1;\nlet a, a;\n", "package.json": '{"type": "module"}'},
        ("main.js:2", "already been declared"),
    ),
    (
        "node",
        {"main.js": "const { a } = require('./lib');\n", "lib.js": "class {\n"},
        ("lib.js:1", "SyntaxError"),
    ),
    (
        "node",
        {"main.js": "import x from 'y';\n", "package.json": '{"type": "commonjs"}'},
        ("main.js:1", "import statement"),
    ),
]

ACCEPTED = [
    # Importing these needs a variable, a network, a package, or never ends.
    ("python", {"main.py": f"import os\nos.environ['TOKEN']\n{HANDLER}"}),
    (
        "python",
        {"main.py": f"import urllib.request as r\nr.urlopen('http://127.0.0.1:1')\n{HANDLER}"},
    ),
    ("python", {"main.py": f"import not_installed\nfrom .missing import x\n{HANDLER}"}),
    ("python", {"main.py": f"while True: pass\n{HANDLER}"}),
    ("python", {"main.py": f"print('ran', file=open('ran', 'w'))\n{HANDLER}"}),
    # Files that are never imported, or only perhaps.
    ("python", {"main.py": HANDLER, "old/python2.py": "print 'hello'\n"}),
    (
        "python",
        {"main.py": f"try:\n    import fast\nexcept SyntaxError:\n    fast = None\n{HANDLER}"}
        | {"fast.py": "match x\n"},
    ),
    # The standard library comes before a function's own files.
    ("python", {"main.py": f"import queue\n{HANDLER}", "queue.py": "not python\n"}),
    ("python", {"main.py": f"x = '\\d'\nassert (x, 'always')\n{HANDLER}"}),
    ("python", {"main.py": "# coding: latin-1\nx = 'ä'\n" + HANDLER}),
    ("node", {"main.js": "#!/usr/bin/env node\nrequire('not-installed');\nreturn;\n"}),
    ("node", {"main.js": "import x from 'not-installed';\nexport default await x;\n"}),
    ("node", {"main.js": "if (process.env.OLD) require('./old');\n", "old.js": "not js\n"}),
    ("node", {"main.js": "require('./data.json');\n", "data.json": "{", "x/y.js": "not js"}),
    ("node", {"main.js": "const a = require('./b');", "b.js": "require('./main');", "b/c.js": ")"}),
    ("node", {"main.js": "for (;;);\n"}),
    ("node", {"main.js": "", "package.json": '{"type": "module"}'}),
]


@pytest.fixture(scope="module")
def runtimes() -> RuntimeTable:
    """The runtimes of this machine."""
    return RuntimeTable.load()


def check(
    runtimes: RuntimeTable, family: str, files: dict[str, str], code: Path, entrypoint: str = ""
) -> subprocess.CompletedProcess[str]:
    """Parse a function as its build does."""
    if not runtimes.interpreters[family]:
        pytest.skip(f"{family} is not on PATH")
    for name, text in files.items():
        (code / name).parent.mkdir(parents=True, exist_ok=True)
        (code / name).write_text(text, encoding="utf-8")
    installed = runtimes.resolve(RUNTIMES[family])
    place = Place(code=str(code), wrapper=str(installed.wrapper), common=str(installed.common))
    entrypoint = entrypoint or next(iter(GOOD[family]))
    plan = installed.build(place, commands="", code=code, entrypoint=entrypoint)
    return subprocess.run(
        plan.check,
        cwd=code,
        env={"PATH": plan.env["PATH"], "LANG": plan.env["LANG"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(("family", "files", "says"), REFUSED)
def test_the_compiler_says_what_does_not_parse(
    family: str,
    files: dict[str, str],
    says: tuple[str, ...],
    runtimes: RuntimeTable,
    tmp_path: Path,
) -> None:
    done = check(runtimes, family, files, tmp_path)
    assert done.returncode == 1
    for words in says:
        assert words in done.stdout


@pytest.mark.parametrize(("family", "files"), ACCEPTED)
def test_what_may_load_is_not_refused(
    family: str, files: dict[str, str], runtimes: RuntimeTable, tmp_path: Path
) -> None:
    """It is not run either."""
    done = check(runtimes, family, files, tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"src/main.py": f"import near\n{HANDLER}", "src/near.py": "1 +\n"}, 1),
        ({"src/main.py": f"import far\n{HANDLER}", "far.py": "1 +\n"}, 1),
        ({"src/main.py": HANDLER, "main.py": "1 +\n"}, 0),
    ],
)
def test_modules_are_found_from_an_entrypoint_in_a_folder(
    files: dict[str, str], code: int, runtimes: RuntimeTable, tmp_path: Path
) -> None:
    assert check(runtimes, "python", files, tmp_path, "src/main.py").returncode == code


def test_a_module_of_a_package_is_not_looked_for_in_the_code(
    runtimes: RuntimeTable, tmp_path: Path
) -> None:
    version = runtimes.resolve("python-3.11").interpreter.version[:2]
    packages = f"runtime-env/lib/python{version[0]}.{version[1]}/site-packages"
    files = {"main.py": f"import taken\n{HANDLER}", "taken.py": "1 +\n"}
    assert check(runtimes, "python", files, tmp_path).returncode == 1
    assert check(runtimes, "python", {f"{packages}/taken.py": ""}, tmp_path).returncode == 0


@pytest.mark.parametrize("family", GOOD)
def test_a_build_that_does_not_parse_fails_and_the_one_before_stays_active(
    family: str, data: Path, runtimes: RuntimeTable
) -> None:
    if not runtimes.interpreters[family]:
        pytest.skip(f"{family} is not on PATH")
    _, broken, says = next(case for case in REFUSED if case[0] == family)
    (entrypoint,) = GOOD[family]

    async def main() -> None:
        async with opened(data, runtimes) as world:
            function = msgspec.structs.replace(await world.function(), runtime=RUNTIMES[family])
            await world.database.write(functions.update, function)
            before = await world.build(GOOD[family], entrypoint=entrypoint)
            assert before.status == "ready", before.build_logs
            deployment = await world.build(broken, entrypoint=entrypoint)
            assert deployment.status == "failed"
            for words in (*says, "The function's source does not parse."):
                assert words in deployment.build_logs
            assert (await world.function()).deployment_id == before.id

    asyncio.run(main())
