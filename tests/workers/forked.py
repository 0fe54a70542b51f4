"""Functions in the strongest engine, with templates."""

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from minifn.host.datadir import DataDir
from minifn.languages import Place, RuntimeTable
from minifn.process_env import CODE
from minifn.sandbox.choose import choose
from minifn.sandbox.command import Bind, Command, Limits
from minifn.sandbox.spawner import Spawner
from minifn.workers.pool import Pool
from minifn.workers.records import FunctionRequest, FunctionResponse, WorkerSpec
from minifn.workers.runtime_folders import folders, places, shown
from minifn.workers.template import Template
from tests.patience import patient
from tests.runtimes.conftest import newest
from tests.workers.harness import FUNCTIONS

MIB = 1 << 20
LIMITS = Limits(memory_bytes=96 * MIB, processes=64, tmp_bytes=16 * MIB)
OTHER_LIMITS = Limits(memory_bytes=1024 * MIB, processes=64, tmp_bytes=16 * MIB)
ENTRYPOINTS = {
    "python": "main.py",
    "node": "main.js",
    "php": "index.php",
    "ruby": "main.rb",
    "bun": "main.ts",
    "deno": "main.ts",
}


@dataclass
class Forked:
    """A pool with templates, and one function of it."""

    pool: Pool
    spawner: Spawner
    spec: WorkerSpec

    async def call(self, path: str, seconds: float = 20, **fields: Any) -> FunctionResponse:
        request = FunctionRequest(path=path, timeout_seconds=seconds, **fields)
        return await self.pool.call(self.spec, request, time.monotonic() + seconds)

    async def who(self, path: str = "/who", **fields: Any) -> dict[str, Any]:
        """Return what the worker says that answered the call."""
        answer = await self.call(path, **fields)
        assert answer.status_code == 200, answer
        found: dict[str, Any] = json.loads(answer.body)
        return found

    async def template(self) -> Template:
        """Return the template once it is ready."""
        await self.until(lambda: self.pool.templates.of(self.spec) is not None)
        found = self.pool.templates.of(self.spec)
        assert found is not None
        return found

    async def idle(self) -> None:
        """Wait until no worker is left."""
        await self.until(lambda: self.pool.workers == 0)

    async def forked(self) -> Template:
        """Wait until the next worker will be a fork, and the first in its sandbox."""
        await self.who()
        template = await self.template()
        await self.idle()
        return template

    async def until(self, condition: Callable[[], bool], seconds: float = 20) -> None:
        """Return when the condition holds. Raises AssertionError after `seconds`."""
        deadline = time.monotonic() + patient(seconds)
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds} s"
            await asyncio.sleep(0.005)

    def other(self, key: str) -> "Forked":
        """Return another deployment of the same code, by another user."""
        command = replace(self.spec.command, uid=self.spec.command.uid + 1)
        return replace(self, spec=replace(self.spec, key=key, command=command))


@asynccontextmanager
async def forked(
    data: DataDir, source: Path = FUNCTIONS / "template", family: str = "python", **settings: Any
) -> AsyncIterator[Forked]:
    """A function whose workers are forked, or have a spare; they end soon when they idle."""
    table = RuntimeTable.load()
    installed = table.resolve(newest(table, family))
    code = data.build("deployment")
    shutil.copytree(source, code)
    code.chmod(0o755)
    settings = {"idle_seconds": 0.05, "template_bytes": 1 << 30, **settings}
    async with Spawner(data.run) as spawner:
        engine = await choose("bwrap", spawner, data)
        binds = {"code": Bind(source=code, target=CODE), **folders(installed, data)}
        place = Place(**places(engine, binds))
        start = installed.start(place)
        limits = replace(OTHER_LIMITS, reserved_bytes=installed.memory_allowance_mb * MIB)
        command = Command(
            argv=start.argv,
            env={"OPEN_RUNTIMES_ENTRYPOINT": ENTRYPOINTS[family], **start.env},
            cwd=place.code,
            binds=(*binds.values(), *shown(installed)),
            limits=LIMITS if family == "python" else limits,
            uid=20_001,
            label="forked",
        )
        forks, waits = installed.family.forks, installed.family.waits
        spec = WorkerSpec(key="deployment", command=command, forks=forks, waits=waits)
        async with Pool(spawner, engine, **settings) as pool:
            yield Forked(pool, spawner, spec)
