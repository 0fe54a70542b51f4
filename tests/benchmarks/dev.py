"""The dev loop: from a saved file to the first answer of its code, beside that of others."""

import contextlib
import math
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.benchmarks.report import Row, at_most
from tests.serving import free_port, wait_until

PYTHON = "def main(context):\n    return context.res.text({!r})\n"
NODE = "module.exports = async (context) => context.res.text({!r});\n"
FLASK = "def main(request):\n    return {!r}\n"
WORKER = "export default {{ fetch() {{ return new Response({!r}); }} }};\n"
#: Saves of each file in a round; the first of all warms up.
SAVES = 3
#: Deadline of a server's start, and of an answer with new code, seconds.
START_SECONDS, ANSWER_SECONDS = 60.0, 30.0
#: Seconds between two calls while the new code is waited for.
PAUSE_SECONDS = 0.002
#: Seconds from an answer to the next save, in which watchers come to rest.
REST_SECONDS = 0.5
#: Most milliseconds of minifn.
TARGET_MS = 300.0


@dataclass(frozen=True, kw_only=True)
class Loop:
    """A dev server, the file that it watches, and how to call what the file has."""

    name: str
    file: Path
    #: The file's code, with `{!r}` for its answer.
    code: str
    port: int
    host: str = "127.0.0.1"

    def answer(self) -> str:
        """Return the present answer, "" for none."""
        url = f"http://127.0.0.1:{self.port}/"
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(url, headers={"host": self.host}, timeout=5, trust_env=False).text
        return ""

    def save(self, text: str) -> None:
        """Write code that answers with `text`."""
        self.file.write_text(self.code.format(text))

    def seconds(self, text: str) -> float:
        """Save code that answers with `text`, and return the seconds until it does.

        Infinite when it does not within ANSWER_SECONDS.
        """
        began = time.perf_counter()
        self.save(text)
        while self.answer() != text:
            if time.perf_counter() - began > ANSWER_SECONDS:
                return math.inf
            time.sleep(PAUSE_SECONDS)
        return time.perf_counter() - began


def measure(data: Path, engine: str, rounds: int) -> list[Row]:
    """Measure all loops of this machine in turn. `data` is a folder that does not exist yet."""
    samples: dict[str, list[float]] = {}
    with contextlib.ExitStack() as stack:
        loops = list(start(stack, data, engine))
        for number in range(rounds * SAVES + 1):
            for loop in loops:
                milliseconds = 1000 * loop.seconds(f"answer {number}")
                samples.setdefault(loop.name, []).extend([milliseconds] if number else [])
                time.sleep(REST_SECONDS)
    rows = []
    for name, found in samples.items():
        what = f"saved file to new answer: {name}"
        median = statistics.median(found)
        if name.startswith("minifn"):
            rows.append(at_most(what, median, TARGET_MS, "ms"))
        else:
            rows.append(Row(what=what, value=f"{median:,.1f} ms"))
    return rows


def start(stack: contextlib.ExitStack, folder: Path, engine: str) -> Iterator[Loop]:
    """Start the dev servers that this machine has, each in a folder of its own."""
    minifn = [sys.executable, "-m", "minifn", "dev", "--sandbox", engine, "--port"]
    for family, file, code in (("Python", "main.py", PYTHON), ("Node.js", "main.js", NODE)):
        if family == "Node.js" and not shutil.which("node"):
            continue
        name = family.lower().replace(".", "")
        yield _started(
            stack,
            Loop(
                name=f"minifn dev, {family}",
                file=folder / name / file,
                code=code,
                port=free_port(),
                host=f"{name}.functions.localhost",
            ),
            minifn,
        )
    if framework := shutil.which("functions-framework"):
        place = folder / "framework/main.py"
        yield _started(
            stack,
            Loop(name="functions-framework --debug", file=place, code=FLASK, port=free_port()),
            [framework, "--target", "main", "--debug", "--source", "main.py", "--port"],
        )
    if wrangler := shutil.which("wrangler"):
        place = folder / "wrangler/main.js"
        yield _started(
            stack,
            Loop(name="wrangler dev", file=place, code=WORKER, port=free_port()),
            [wrangler, "dev", "main.js", "--compatibility-date", "2024-09-23", "--port"],
        )


def _started(stack: contextlib.ExitStack, loop: Loop, argv: list[str]) -> Loop:
    """Start a server, whose arguments end before the port; return once it answers."""
    loop.file.parent.mkdir(parents=True)
    for place in (loop.file.parents[2], loop.file.parents[1], loop.file.parent):
        # Functions with their own uid must be able to pass through.
        place.chmod(0o755)
    loop.save("answer")
    process = subprocess.Popen(
        [*argv, str(loop.port)],
        cwd=loop.file.parent,
        env={**os.environ, "WRANGLER_SEND_METRICS": "false", "CI": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stack.callback(_stop, process)
    wait_until(lambda: loop.answer() == "answer", START_SECONDS, f"{loop.name} answers")
    return loop


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
