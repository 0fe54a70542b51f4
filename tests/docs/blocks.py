"""The code blocks of the documentation, and a reader who does what they say.

The words after a block's language say what it is:

    bash run            run in one session with the page's other blocks; must succeed
    bash setup          the same, and before the blocks of every other page
    bash serve          run in the background until the next `serve` or the end of the page;
                        must answer on port 8000, and `minifn dev` say that a function is ready
    python run          a program; `javascript run` as well
    python file=NAME    the file NAME
    text output         what the block before it printed; `...` stands for anything
    LANGUAGE skip: WHY  not run
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.sdk.install import place
from tests.serving import free_port, wait_until

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "minifn" / "docs"
_FENCE = re.compile(r"^```(\w+)? ?([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
#: Seconds for one block: some install packages.
BLOCK_SECONDS = 120.0
START_SECONDS = 60.0
#: The Appwrite SDKs that examples import.
PYTHON_SDK = place("python", "27.0.0")
NODE_SDK = place("node", "27.1.0")


@dataclass(frozen=True, kw_only=True)
class Block:
    """One fenced block: `kind` is the first word after its language, `rest` what follows."""

    language: str
    kind: str
    rest: str
    text: str


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a Markdown text."""
    found = []
    for language, words, content in _FENCE.findall(text):
        kind, separator, rest = re.fullmatch(r"(\w*)([=:]? ?)(.*)", words).groups()  # type: ignore[union-attr]
        found.append(
            Block(language=language, kind=kind + separator.strip(), rest=rest, text=content)
        )
    return found


def setup() -> Iterator[Block]:
    """Yield the blocks that come before those of every page."""
    for page in sorted(PAGES.glob("*.md")):
        yield from (block for block in blocks(page.read_text()) if block.kind == "setup")


class Reader:
    """Does what a page says, in a directory of its own. A context manager: it stops it all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "reader"
        self.folder.mkdir()
        self._session = folder / "session"
        self._log = folder / "serve.log"
        self.port = free_port()
        self._serving: subprocess.Popen[bytes] | None = None
        self._environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("MINIFN_")},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(PYTHON_SDK),
            "NODE_PATH": str(NODE_SDK / "node_modules"),
            "MINIFN_PORT": str(self.port),
            "no_proxy": "*",
        }
        self.printed = ""

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def do(self, block: Block) -> None:
        """Do what one block says. Raises AssertionError when it does not work."""
        text = block.text.replace(":8000", f":{self.port}").replace(
            "--port 8000", f"--port {self.port}"
        )
        if block.kind in ("run", "setup"):
            self.printed = self._run(block.language, text)
        elif block.kind == "serve":
            self.serve(text)
        elif block.kind == "file=":
            path = self.folder / block.rest
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        elif block.kind == "output":
            pattern = re.sub(r"(\\ )*\\\.\\\.\\\.(\\ )*", ".*", re.escape(text.strip()))
            assert re.search(pattern, self.printed, re.DOTALL), f"{text}\nis not in\n{self.printed}"

    def _run(self, language: str, text: str) -> str:
        command = {
            "bash": ["bash", "-euo", "pipefail", "-c"],
            "python": [sys.executable, "-c"],
        }.get(language)
        if command is None:
            command = [shutil.which("node") or "node", "--input-type=module", "-e"]
        if language == "bash":
            # The blocks of a page are one session: variables and functions go on.
            keep = f'{{ declare -f; export -p | grep -v "^declare -x PWD="; }} > {self._session}'
            text = f"set -a\n[ ! -e {self._session} ] || . {self._session}\n{text}\n{keep}"
        done = subprocess.run(
            [*command, text],
            cwd=self.folder,
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=BLOCK_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}\n{self.log()}"
        return done.stdout

    def serve(self, text: str) -> None:
        self._stop()
        with self._log.open("ab") as log:
            self._serving = subprocess.Popen(
                ["bash", "-euc", text],
                cwd=self.folder,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(lambda: self._answers(text), START_SECONDS, f"{text} answers")

    def _answers(self, text: str) -> bool:
        assert self._serving is not None
        assert self._serving.poll() is None, self.log()
        with contextlib.suppress(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{self.port}/", trust_env=False)
            return "minifn dev" not in text or "\nready " in self.log()
        return False

    def log(self) -> str:
        """Return the end of what the server has printed."""
        return self._log.read_text(errors="replace")[-4000:] if self._log.exists() else ""

    def _stop(self) -> None:
        if self._serving is None:
            return
        os.killpg(self._serving.pid, signal.SIGTERM)
        self._serving.wait(START_SECONDS)
        self._serving = None
