"""The services of deployments and uploads over a real database, without builds."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from minifn.config import Config
from minifn.hooks import Hooks
from minifn.host.datadir import DataDir
from minifn.limits import CHUNK_BYTES
from minifn.models import Deployment, Function
from minifn.services.deployments import DeploymentService
from minifn.services.uploads import Upload, UploadedFile, Uploads
from minifn.store import build_queue, functions
from minifn.store.build_queue import BuildResult
from minifn.store.database import Database
from tests.packing import packed_files

SMALL = packed_files({"main.py": "x"})


class World:
    """A service on a real database with one function `fn`, and the hooks that it called."""

    def __init__(self, root: Path, database: Database) -> None:
        self.data = DataDir(root)
        self.database = database
        self.calls: list[tuple[str, str]] = []
        hooks = Hooks(
            build=lambda: self.calls.append(("build", "")),
            interrupt=lambda deployment_id: self._note("interrupt", deployment_id),
            retire=lambda deployment_id: self._note("retire", deployment_id),
            prewarm=lambda function, deployment: self.calls.append(("prewarm", deployment.id)),
        )
        self.service = DeploymentService(self.data, database, hooks)
        self.uploads = Uploads(Config(data=root), self.data, database, self.service, hooks)
        self._files = 0

    async def _note(self, call: str, deployment_id: str) -> None:
        self.calls.append((call, deployment_id))

    def file(self, content: bytes, filename: str = "code.tar.gz") -> UploadedFile:
        """A file as the API leaves it after reading a request."""
        self._files += 1
        path = self.data.run / f"upload-{self._files}"
        path.write_bytes(content)
        return UploadedFile(path=path, size_bytes=len(content), filename=filename)

    async def upload(self, content: bytes | None = SMALL, **changes: Any) -> Deployment:
        """Upload to `fn`; `changes` are fields of Upload."""
        code = self.file(content) if content is not None else None
        return await self.uploads.take(msgspec.structs.replace(self.request(code), **changes))

    def request(self, code: UploadedFile | None) -> Upload:
        return Upload(function_id="fn", code=code, activate=True)

    async def chunk(
        self, whole: bytes, number: int, deployment_id: str, **changes: Any
    ) -> Deployment:
        """Upload chunk `number` of `whole` the way every SDK cuts it."""
        start = number * CHUNK_BYTES
        piece = whole[start : start + CHUNK_BYTES]
        header = f"bytes {start}-{start + len(piece) - 1}/{len(whole)}"
        return await self.upload(
            piece, **{"content_range": header, "deployment_id": deployment_id, **changes}
        )

    async def finish(self, deployment_id: str) -> None:
        """Do what a successful build would: publish something and say `ready`."""
        await self.database.write(build_queue.claim, 1)
        self.data.build(deployment_id).mkdir()
        (self.data.build(deployment_id) / "main.py").write_text("built")
        result = BuildResult(status="ready", duration_seconds=1, build_size_bytes=5)
        assert await self.database.write(build_queue.finish, deployment_id, result, 2)

    async def configure(self, **settings: Any) -> None:
        """Change fields of the function."""
        await self.database.write(
            functions.update, msgspec.structs.replace(await self.function(), **settings)
        )

    async def function(self) -> Function:
        function = await self.database.read(functions.get, "fn")
        assert function is not None
        return function


@asynccontextmanager
async def opened(root: Path) -> AsyncIterator[World]:
    DataDir(root).prepare()
    async with Database(root / "minifn.db") as database:
        function = Function(
            id="fn", name="fn", runtime="python-3.11", entrypoint="main.py", commands="true"
        )
        await database.write(functions.insert, function)
        yield World(root, database)


def in_world(test: Callable[[World], Awaitable[None]]) -> Callable[[Path], None]:
    """Run an async test inside a new world."""

    def run(tmp_path: Path) -> None:
        async def body() -> None:
            async with opened(tmp_path / "data") as world:
                await test(world)

        asyncio.run(body())

    run.__name__ = run.__qualname__ = test.__name__
    return run
