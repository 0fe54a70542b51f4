"""Ordinary programs run as usual when confined."""

import asyncio
import os
from pathlib import Path

import psutil
import pytest

from minifn.host.datadir import DataDir
from minifn.sandbox.choose import choose
from minifn.sandbox.command import Bind, Command, Limits
from minifn.sandbox.spawner import Spawner, run

MEMORY_BYTES = 512 * 2**20

PYTHON = """
import asyncio, concurrent.futures, http.server, os, socket, sqlite3, ssl, subprocess
import tempfile, threading, urllib.request

with tempfile.NamedTemporaryFile() as file:
    file.write(b"x")
assert tempfile.gettempdir() == os.environ["TMPDIR"] == os.path.expanduser("~")
sqlite3.connect(os.path.join(tempfile.gettempdir(), "a.db")).execute("create table t (x)")
ssl.create_default_context()
socket.getaddrinfo("localhost", 80)
socket.gethostbyname(socket.gethostname())
assert subprocess.check_output(["sh", "-c", "echo hi | cat"]) == b"hi\\n"
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    assert sum(pool.map(len, ["a"] * 100)) == 100
server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
threading.Thread(target=server.serve_forever, daemon=True).start()
urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/main.py").read()

async def main():
    child = await asyncio.create_subprocess_exec("true")
    return await child.wait()

assert asyncio.run(main()) == 0
if os.fork() == 0:
    os._exit(0)
os.wait()
print(open("main.py").read(5), flush=True)
"""

NODE = """
const { Worker } = require("node:worker_threads");
const { execFileSync } = require("node:child_process");
const fs = require("node:fs"), os = require("node:os"), path = require("node:path");
const http = require("node:http");
const assert = require("node:assert");
fs.writeFileSync(path.join(os.tmpdir(), "a"), "x");
assert.strictEqual(os.tmpdir(), process.env.TMPDIR);
assert.strictEqual(execFileSync("echo", ["hi"]).toString(), "hi\\n");
new WebAssembly.Memory({ initial: 1, maximum: 100 });
os.cpus(); os.networkInterfaces(); process.memoryUsage();
const server = http.createServer((_, response) => response.end("ok"));
server.listen(0, "127.0.0.1", async () => {
  const answer = await fetch(`http://localhost:${server.address().port}/`);
  assert.strictEqual(await answer.text(), "ok");
  server.close();
  new Worker("require('node:worker_threads').parentPort.postMessage(1)", { eval: true })
    .on("message", () => console.log(fs.readFileSync("main.js", "utf8").slice(0, 5)));
});
"""


@pytest.mark.parametrize("engine_name", ["bwrap", "process"])
@pytest.mark.parametrize("language", ["python", "node"])
def test_programs_run(
    place: DataDir, engine_name: str, language: str, request: pytest.FixtureRequest
) -> None:
    if engine_name == "bwrap":
        request.getfixturevalue("bwrap")
    if language == "node":
        program, name, text = Path(request.getfixturevalue("node")), "main.js", NODE
    else:
        program, name, text = Path("/usr/bin/python3"), "main.py", PYTHON
    program = program.resolve()
    if not program.exists() or not program.is_relative_to("/usr"):
        pytest.skip(
            f"{program} is not below /usr: install {language} by the system's package manager"
        )
    code = place.build("d1")
    code.mkdir()
    code.joinpath(name).write_text(text.lstrip())
    for path in (code, code / name):
        path.chmod(0o755)

    async def main() -> None:
        async with Spawner(place.run) as spawner:
            engine = await choose(engine_name, spawner, place)
            bind = Bind(source=code, target="/fn")
            command = Command(
                argv=(str(program), f"{engine.place(bind)}/{name}"),
                env={"PATH": "/usr/bin:/bin"},
                cwd=engine.place(bind),
                binds=(bind,),
                limits=Limits(memory_bytes=MEMORY_BYTES),
                uid=20_301 if os.geteuid() == 0 else 0,
            )
            output = await run(spawner, engine.wrap(command), timeout_seconds=30)
            assert output.ok, output
            assert output.text.splitlines()[-1] == text.lstrip()[:5]

    asyncio.run(main())


def test_the_launcher_is_reaped() -> None:
    """It is this process's only child while a spawner lives."""
    states = [child.status() for child in psutil.Process().children()]
    assert psutil.STATUS_ZOMBIE not in states
