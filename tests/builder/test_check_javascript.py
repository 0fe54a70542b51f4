"""Source of JavaScript and TypeScript that does not parse fails the build in each language."""

import re
import subprocess
from pathlib import Path

import pytest

from minifn.languages import Installed, Place, RuntimeTable

#: The oldest Node.js that reads TypeScript.
READS_TYPESCRIPT = (22, 18)
HANDLER = "export default ({ res }: { res: any }) => res.text('up');\n"

#: Files, what is said of them, and the languages that see it.
REFUSED = [
    ({"main.ts": "export default (c: any => ;\n"}, r"main\.ts:1", "node bun deno"),
    (
        {"main.ts": f"import './lib.ts';\n{HANDLER}", "lib.ts": "\nlet a: = 1;\n"},
        r"lib\.ts:2",
        "node bun deno",
    ),
    ({"main.ts": f"let a: number, a;\n{HANDLER}"}, r"main\.ts:1", "node bun"),
    ({"main.tsx": "export default () => <p>;\n"}, r"main\.tsx:\d", "bun deno"),
    ({"main.js": "const { a } = require('./lib');\n", "lib.js": "class {\n"}, r"lib\.js:1", "bun"),
    ({"main.mjs": "import './lib.mjs';\n", "lib.mjs": "let a =;\n"}, r"lib\.mjs:1", "bun deno"),
    ({"main.ts": f"import './lib';\n{HANDLER}", "lib.ts": "let a: = 1;\n"}, r"lib\.ts:1", "bun"),
]

#: Files that may load, or fail only when they are loaded.
ACCEPTED = [
    {"main.ts": f"import type {{ A }} from './a.ts';\nconst b: string = 'b';\n{HANDLER}"},
    {"main.ts": f"throw new Error(String(process.env.TOKEN));\n{HANDLER}"},
    {"main.ts": f"for (;;);\n{HANDLER}"},
    {"main.ts": f"if (Math.random() < 2) await import('./old.ts');\n{HANDLER}", "old.ts": "not ts"},
    {"main.ts": f"try {{ await import('not-installed'); }} catch {{}}\n{HANDLER}"},
    {"main.js": "#!/usr/bin/env node\nmodule.exports = () => 1;\n"},
    {"main.js": "if (process.env.OLD) require('./old');\n", "old.js": "not js\n"},
]


@pytest.fixture(scope="module")
def runtimes() -> RuntimeTable:
    """The runtimes of this machine."""
    return RuntimeTable.load()


def check(installed: Installed, files: dict[str, str], code: Path) -> tuple[bool, str]:
    """Check a function as its build does; returns whether it passes, and the output."""
    for name, text in files.items():
        (code / name).write_text(text)
    place = Place(
        code=str(code),
        wrapper=str(installed.wrapper),
        common=str(installed.common),
        scratch=str(code),
    )
    plan = installed.build(place, commands="", code=code, entrypoint=next(iter(files)))
    done = subprocess.run(
        plan.check or plan.compile,
        cwd=code,
        env=plan.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode == 0, done.stdout


@pytest.fixture(params=["node", "bun", "deno"])
def installed(request: pytest.FixtureRequest, runtimes: RuntimeTable) -> Installed:
    """Each language that runs JavaScript; skips where it is missing."""
    if not runtimes.interpreters[request.param]:
        pytest.skip(f"this machine has no {request.param}: `minifn doctor` says how to get it")
    newest = [one.id for one in runtimes.runnable() if one.key == request.param][-1]
    return runtimes.resolve(newest)


def reads_typescript(installed: Installed) -> bool:
    return installed.runtime.key != "node" or installed.interpreter.version >= READS_TYPESCRIPT


@pytest.mark.parametrize(
    ("files", "says", "installed"),
    [(files, says, key) for files, says, keys in REFUSED for key in keys.split()],
    indirect=["installed"],
)
def test_the_message_names_the_file_and_the_line(
    files: dict[str, str], says: str, installed: Installed, tmp_path: Path
) -> None:
    passed, output = check(installed, files, tmp_path)
    assert not passed
    if reads_typescript(installed):
        assert re.search(says, output), output


@pytest.mark.parametrize("files", ACCEPTED)
def test_what_may_load_is_not_refused(
    files: dict[str, str], installed: Installed, tmp_path: Path
) -> None:
    if "main.ts" in files and not reads_typescript(installed):
        pytest.skip(f"Node.js {installed.interpreter.version_text} does not read TypeScript")
    passed, output = check(installed, files, tmp_path)
    assert passed, output


def test_an_old_node_says_that_it_does_not_read_typescript(
    runtimes: RuntimeTable, tmp_path: Path
) -> None:
    old = [one for one in runtimes.interpreters["node"] if one.version < READS_TYPESCRIPT]
    if not old:
        pytest.skip("every Node.js of this machine reads TypeScript")
    installed = runtimes.resolve(f"node-{old[0].version[0]}.0")
    passed, output = check(installed, {"main.ts": HANDLER}, tmp_path)
    assert not passed
    assert "does not read TypeScript, versions from 22.18 on do" in output
    assert check(installed, {"main.ts": "module.exports = () => 1;\n"}, tmp_path)[0]
