"""A builder at work for tests: real database, spawner and engine, one function called `fn`."""

import asyncio
import dataclasses
import os
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec

from minifn.change_feed import Change
from minifn.config import Config
from minifn.hooks import Hooks, nothing_async
from minifn.languages import RuntimeTable
from minifn.models import UNFINISHED_BUILD, Deployment, Function
from minifn.parts import Parts
from minifn.sandbox.choose import choose
from minifn.services.uploads import Upload, UploadedFile
from minifn.store import deployments, functions
from minifn.workers.pool import Pool
from tests.packing import packed_files
from tests.patience import patient

ENVIRON = {
    "HTTP_PROXY": "http://proxy:1",
    "PIP_INDEX_URL": "http://index",
    "SERVER_SECRET": "hidden",
}


class World(Parts):
    """The parts of a server that build, on a real database with one function `fn`."""

    def __init__(self, config: Config, runtimes: RuntimeTable) -> None:
        super().__init__(config)
        self.environ = ENVIRON
        self.runtimes = runtimes
        self.changes.listen(self._note_status)
        self.statuses: list[str] = []
        self.ready: list[str] = []

    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(*error)
        assert not self.lost.done()

    async def open_machine(self, stack: AsyncExitStack) -> None:
        self.engine = await choose(self.config.sandbox, self.spawner, self.data)
        if self.engine.name == "process" and os.geteuid() == 0:
            self.runtimes = self.runtimes.public(self.data.run / "runtimes")
        self.pool = self.workers = Pool(self.spawner, self.engine)

    def hooks(self) -> Hooks:
        return dataclasses.replace(
            super().hooks(),
            retire=nothing_async,
            prewarm=lambda function, deployment: self.ready.append(deployment.id),
        )

    async def run_loops(self, stack: AsyncExitStack) -> None:
        if await self.database.read(functions.get, "fn") is None:
            function = Function(
                id="fn",
                name="My fn",
                runtime="python-3.11",
                entrypoint="main.py",
                scopes=("users.read",),
            )
            await self.database.write(functions.insert, function)
        await stack.enter_async_context(self.builder)
        await self.run_loop(stack, self.builder.run(), "builder")

    def _note_status(self, change: Change) -> None:
        if isinstance(change.record, Deployment) and change.record.status not in self.statuses[-1:]:
            self.statuses.append(change.record.status)

    async def upload(
        self, files: dict[str, str] | bytes, commands: str = "", **changes: Any
    ) -> Deployment:
        content = files if isinstance(files, bytes) else packed_files(files)
        path = self.data.run / f"upload-{time.monotonic_ns()}"
        path.write_bytes(content)
        code = UploadedFile(path=path, size_bytes=len(content), filename="code.tar.gz")
        upload = Upload(function_id="fn", code=code, commands=commands, activate=True)
        return await self.uploads.take(msgspec.structs.replace(upload, **changes))

    async def get(self, deployment_id: str) -> Deployment:
        deployment = await self.database.read(deployments.by_id, deployment_id)
        assert deployment is not None
        return deployment

    async def until(self, deployment_id: str, reached: Callable[[Deployment], bool]) -> Deployment:
        """Wait until the deployment fulfils `reached`."""
        deadline = time.monotonic() + patient(20)
        while True:
            deployment = await self.get(deployment_id)
            if reached(deployment):
                return deployment
            assert time.monotonic() < deadline, (
                f"still {deployment.status}: {deployment.build_logs}"
            )
            await asyncio.sleep(0.01)

    async def built(self, deployment: Deployment) -> Deployment:
        """Wait until the build and its task have ended."""
        ended = await self.until(deployment.id, lambda now: now.status not in UNFINISHED_BUILD)
        telling = [
            task
            for task in asyncio.all_tasks()
            if task.get_name() == f"minifn-build-{deployment.id}"
        ]
        await asyncio.gather(*telling)
        return ended

    async def build(
        self, files: dict[str, str] | bytes, commands: str = "", **changes: Any
    ) -> Deployment:
        return await self.built(await self.upload(files, commands, **changes))

    async def function(self) -> Function:
        function = await self.database.read(functions.get, "fn")
        assert function is not None
        return function

    def published(self, deployment: Deployment, name: str) -> str:
        return (self.data.build(deployment.id) / name).read_text()


def opened(root: Path, runtimes: RuntimeTable, engine: str = "process", **settings: Any) -> World:
    """Return a world on `root`, which may be opened again, as a server is started again."""
    return World(Config(data=root, sandbox=engine, **settings), runtimes)
