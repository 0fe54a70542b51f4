"""Workers in real processes without isolation, for tests of pool, worker and wrappers."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minifn.host.datadir import DataDir
from minifn.languages import Place, RuntimeTable
from minifn.sandbox.command import Command
from minifn.sandbox.engines.none import NoEngine
from minifn.sandbox.spawner import Spawner
from minifn.workers.pool import Pool
from minifn.workers.records import FunctionRequest, FunctionResponse, WorkerSpec
from minifn.workers.runtime_folders import folders, places
from tests.patience import patient

FUNCTIONS = Path(__file__).parent.parent / "functions"


@dataclass(frozen=True, kw_only=True)
class Language:
    """A language that the contract is tested with."""

    key: str
    #: Suffix of entry files.
    suffix: str
    #: Newest runtime of this machine.
    runtime: str
    table: RuntimeTable

    def spec(
        self, code: Path, entry: str, env: Mapping[str, str] | None = None, concurrency: int = 64
    ) -> WorkerSpec:
        """Return the spec of the function whose entry is `entry` (without suffix) in `code`."""
        installed = self.table.resolve(self.runtime)
        file = entry + self.suffix
        engine = NoEngine()
        place = Place(
            code=str(code), **places(engine, folders(installed, DataDir(code))), tmp=engine.tmp
        )
        start = installed.start(place, entrypoint=file)
        env = {
            **start.defaults,
            **(env or {}),
            "OPEN_RUNTIMES_ENTRYPOINT": file,
            **start.env,
        }
        command = Command(argv=start.argv, env=env, cwd=str(code), label=f"{code.name}/{entry}")
        return WorkerSpec(key=f"{code}/{entry}", command=command, concurrency=concurrency)


@dataclass
class Caller:
    """One function and the pool it runs in."""

    pool: Pool
    spec: WorkerSpec

    async def __call__(
        self, path: str = "/", seconds: float = 10, **fields: Any
    ) -> FunctionResponse:
        """Call the function; `seconds` is both its timeout and the deadline."""
        request = FunctionRequest(path=path, timeout_seconds=seconds, **fields)
        return await self.pool.call(self.spec, request, time.monotonic() + seconds)

    async def until(self, condition: Callable[[], bool], seconds: float = 5) -> None:
        """Return when the condition holds. Raises AssertionError after `seconds`."""
        deadline = time.monotonic() + patient(seconds)
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds} s"
            await asyncio.sleep(0.002)


@asynccontextmanager
async def pool_of(run_dir: Path, **settings: Any) -> AsyncIterator[Pool]:
    """A pool on a spawner of its own."""
    async with Spawner(run_dir) as spawner, Pool(spawner, NoEngine(), **settings) as pool:
        yield pool


@asynccontextmanager
async def function(run_dir: Path, spec: WorkerSpec, **settings: Any) -> AsyncIterator[Caller]:
    """One function, ready to be called."""
    async with pool_of(run_dir, **settings) as pool:
        yield Caller(pool, spec)
