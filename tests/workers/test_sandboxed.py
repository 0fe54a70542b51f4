"""A worker behind the strongest engine: the socket and the code reach it, and it starts quickly."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from minifn.host.datadir import DataDir
from minifn.languages import Place, RuntimeTable
from minifn.process_env import CODE
from minifn.sandbox.choose import choose
from minifn.sandbox.command import Bind, Command, Limits
from minifn.sandbox.spawner import Spawner
from minifn.workers.pool import Pool
from minifn.workers.records import FunctionRequest, WorkerSpec
from minifn.workers.runtime_folders import folders, places, shown
from tests.patience import patient
from tests.runtimes.conftest import find_language
from tests.workers.harness import FUNCTIONS

UID = 20_001
MEMORY_BYTES = 512 * 1024 * 1024
#: Ten times the usual duration, for busy machines; the benchmarks check the real target.
COLD_SECONDS = 0.6


@pytest.fixture
def data() -> Iterator[DataDir]:
    """A prepared data directory below a directory that lets other uids pass."""
    root = Path(tempfile.mkdtemp(prefix="minifn-test-"))
    root.chmod(0o755)
    data = DataDir(root / "data")
    data.prepare()
    yield data
    shutil.rmtree(root)


@pytest.mark.usefixtures("bwrap")
@pytest.mark.parametrize("key", ["python", "node"])
def test_worker_in_bwrap(key: str, data: DataDir) -> None:
    language = find_language(RuntimeTable.load(), key)
    installed = language.table.resolve(language.runtime)
    code = data.build("deployment")
    shutil.copytree(FUNCTIONS / "contract_failures", code)

    async def run() -> None:
        async with Spawner(data.run) as spawner:
            engine = await choose("bwrap", spawner, data)
            binds = {"code": Bind(source=code, target=CODE), **folders(installed, data)}
            place = Place(**places(engine, binds))
            start = installed.start(place)
            command = Command(
                argv=start.argv,
                env={"OPEN_RUNTIMES_ENTRYPOINT": f"main{language.suffix}", **start.env},
                cwd=place.code,
                binds=(*binds.values(), *shown(installed)),
                limits=Limits(memory_bytes=MEMORY_BYTES),
                uid=UID,
                label="sandboxed",
            )
            spec = WorkerSpec(key="deployment", command=command)
            async with Pool(spawner, engine) as pool:
                began = time.monotonic()
                answer = await pool.call(spec, FunctionRequest(), began + 10)
                took = time.monotonic() - began
                assert answer.status_code == 200, answer
                assert answer.logs == "called\n"
                assert took < patient(COLD_SECONDS)
                ended = await pool.call(spec, FunctionRequest(path="/exit"), time.monotonic() + 10)
                assert "exited with code 7" in ended.errors
                assert "last words" in ended.errors

    asyncio.run(run())
