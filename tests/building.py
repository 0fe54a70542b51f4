"""A builder at work for tests: real database, spawner and engine, one function called `fn`."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from minifn.builder import BuildContext, Builder
from minifn.change_feed import Change
from minifn.config import Config
from minifn.host.datadir import DataDir
from minifn.host.tasks import running
from minifn.languages import RuntimeTable
from minifn.models import UNFINISHED_BUILD, Deployment, Function
from minifn.sandbox.choose import choose
from minifn.sandbox.spawner import Spawner
from minifn.services.deployments import DeploymentService, Effects, Upload, UploadedFile
from minifn.store import deployments, functions
from minifn.store.cipher import VariableCipher
from minifn.store.database import Database
from minifn.tokens import Tokens
from tests.packing import packed_files


class World:
    """A builder and the service that feeds it, on a real database with one function `fn`."""

    def __init__(self, config: Config, tools: BuildContext) -> None:
        self.data, self.database, self.tools = tools.data, tools.database, tools
        self.builder = Builder(tools)
        tools.changes.listen(self._note_status)
        self.builder.on_ready = lambda function, deployment: self.ready.append(deployment.id)
        self.statuses: list[str] = []
        self.ready: list[str] = []

        async def nothing(deployment_id: str) -> None:
            return

        effects = Effects(
            build=self.builder.wake, interrupt=self.builder.interrupt, retire=nothing, prewarm=lambda *_: None
        )
        self.service = DeploymentService(config, tools.data, tools.database, effects)

    def _note_status(self, change: Change) -> None:
        if isinstance(change.record, Deployment) and change.record.status not in self.statuses[-1:]:
            self.statuses.append(change.record.status)

    async def upload(self, files: dict[str, str] | bytes, commands: str = "", **changes: Any) -> Deployment:
        content = files if isinstance(files, bytes) else packed_files(files)
        path = self.data.run / f"upload-{time.monotonic_ns()}"
        path.write_bytes(content)
        code = UploadedFile(path=path, size_bytes=len(content), filename="code.tar.gz")
        upload = Upload(function_id="fn", code=code, commands=commands, activate=True)
        return await self.service.upload(msgspec.structs.replace(upload, **changes))

    async def get(self, deployment_id: str) -> Deployment:
        deployment = await self.database.read(deployments.by_id, deployment_id)
        assert deployment is not None
        return deployment

    async def until(self, deployment_id: str, reached: Callable[[Deployment], bool]) -> Deployment:
        """Wait until the deployment is as wanted."""
        deadline = time.monotonic() + 20
        while True:
            deployment = await self.get(deployment_id)
            if reached(deployment):
                return deployment
            assert time.monotonic() < deadline, f"still {deployment.status}: {deployment.build_logs}"
            await asyncio.sleep(0.01)

    async def built(self, deployment: Deployment) -> Deployment:
        """Wait until the build has ended and everybody was told."""
        ended = await self.until(deployment.id, lambda now: now.status not in UNFINISHED_BUILD)
        telling = [task for task in asyncio.all_tasks() if task.get_name() == f"minifn-build-{deployment.id}"]
        await asyncio.gather(*telling)
        return ended

    async def build(self, files: dict[str, str] | bytes, commands: str = "", **changes: Any) -> Deployment:
        return await self.built(await self.upload(files, commands, **changes))

    async def function(self) -> Function:
        function = await self.database.read(functions.get, "fn")
        assert function is not None
        return function

    def published(self, deployment: Deployment, name: str) -> str:
        return (self.data.build(deployment.id) / name).read_text()


@asynccontextmanager
async def opened(root: Path, runtimes: RuntimeTable, engine: str = "process", **settings: Any) -> AsyncIterator[World]:
    """A world on `root`, which may be used again, as a server is started again."""
    config = Config(data=root, **settings)
    data = DataDir(root)
    data.prepare()
    async with Spawner(data.run) as spawner, Database(data.database, VariableCipher("0" * 64)) as database:
        if await database.read(functions.get, "fn") is None:
            function = Function(
                id="fn", name="My fn", runtime="python-3.11", entrypoint="main.py", scopes=("users.read",)
            )
            await database.write(functions.insert, function)
        chosen = await choose(engine, spawner, data)
        if chosen.name == "process" and os.geteuid() == 0:
            runtimes = runtimes.public(data.run / "runtimes")
        tools = BuildContext(
            config=config,
            data=data,
            database=database,
            engine=chosen,
            spawner=spawner,
            runtimes=runtimes,
            tokens=Tokens("secret" * 8, config.project),
            environ={"HTTP_PROXY": "http://proxy:1", "PIP_INDEX_URL": "http://index", "SERVER_SECRET": "hidden"},
        )
        world = World(config, tools)
        died: list[str] = []
        async with world.builder, running(world.builder.run(), "builder", died.append):
            yield world
        assert died == []
