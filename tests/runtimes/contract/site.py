"""A server in the test's process that builds one family's programs and runs them."""

import asyncio
import dataclasses
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from minifn import Config, Minifn
from minifn.hooks import Hooks
from minifn.models import UNFINISHED_BUILD, Deployment
from minifn.services.functions import FunctionSettings
from minifn.services.uploads import Upload, UploadedFile
from minifn.store import deployments
from minifn.workers.records import WorkerSpec
from minifn.workers.specs import WorkerSpecs, concurrency_of
from tests.runtimes.contract.table import CONTRACT, Family
from tests.serving import pack
from tests.workers.harness import Caller

#: Deadline of a build, seconds: a first one of a compiled language makes the machine's caches.
BUILD_SECONDS = 300


class Calm(Minifn):
    """A server that starts no worker before the first call, so that tests see each one load."""

    def hooks(self) -> Hooks:
        return dataclasses.replace(super().hooks(), prewarm=lambda function, deployment: None)


class Site:
    """One family's programs on a server with the engine in use, built when first asked for."""

    def __init__(self, family: Family, runtime: str, server: Minifn, runner: asyncio.Runner):
        self.family = family
        self.server = server
        self.run = runner.run
        self._runtime = runtime
        self._specs = WorkerSpecs(
            server.config,
            server.data,
            server.engine,
            server.runtimes,
            server.endpoint,
            server.toolchains.share,
        )
        #: Function's id -> its first deployment, built or failed.
        self._built: dict[str, Deployment] = {}

    async def built(self, program: str, entry: str = "") -> Deployment:
        """Return the first build of a program, which may have failed.

        `entry` replaces the name of its entry.
        """
        function_id = f"{program}-{entry}" if entry else program
        if function_id not in self._built:
            settings = FunctionSettings(
                name=program,
                runtime=self._runtime,
                execute=("any",),
                entrypoint=entry or self.family.entry_of(program),
                commands=self.family.commands.get(program, ""),
            )
            await self.server.functions.create(function_id, settings)
            self._built[function_id] = await self.build_again(program, entry)
        return self._built[function_id]

    async def build_again(self, program: str, entry: str = "") -> Deployment:
        """Build a program whose function exists, and return the deployment."""
        function_id = f"{program}-{entry}" if entry else program
        return await deployed(self.server, function_id, pack(self.family.programs() / program))

    async def spec(self, program: str = CONTRACT, entry: str = "") -> WorkerSpec:
        """Return the spec of a program's workers. Raises AssertionError for a failed build."""
        deployment = await self.built(program, entry)
        assert deployment.status == "ready", deployment.build_logs
        return self._specs.of(await self.server.targets.of(deployment.function_id))

    async def caller(
        self,
        program: str = CONTRACT,
        entry: str = "",
        *,
        own: str = "",
        variables: Mapping[str, str] | None = None,
    ) -> Caller:
        """Return a caller of a program, with workers of its own when `own` names them."""
        spec = await self.spec(program, entry)
        if own:
            environment = {**spec.command.env, **(variables or {})}
            spec = dataclasses.replace(
                spec,
                key=f"{spec.key} {own}",
                command=dataclasses.replace(spec.command, env=environment),
                concurrency=concurrency_of(environment),
            )
        return Caller(self.server.pool, spec)


async def deployed(server: Minifn, function_id: str, content: bytes) -> Deployment:
    """Upload an archive for a function and return its deployment, built or failed."""
    path = server.data.run / f"upload-{function_id}"
    path.write_bytes(content)
    code = UploadedFile(path=path, size_bytes=len(content), filename="code.tar.gz")
    upload = Upload(function_id=function_id, code=code, activate=True)
    deployment = await server.uploads.take(upload)
    async with asyncio.timeout(BUILD_SECONDS):
        while deployment.status in UNFINISHED_BUILD:
            await asyncio.sleep(0.01)
            found = await server.database.read(deployments.by_id, deployment.id)
            assert found is not None
            deployment = found
    return deployment


@contextmanager
def opened(family: Family, runtime: str, data: Path) -> Iterator[Site]:
    """Run a site on a data directory; its work goes on while `Site.run` runs."""
    # `RuntimeTable.load()` reads the second one as well.
    named = ("MINIFN_SANDBOX", "MINIFN_RUNTIME_PATHS")
    environ = {name: os.environ[name] for name in named if name in os.environ}
    config = Config.from_env(environ, data=data)
    with asyncio.Runner() as runner:
        server = Calm(config)
        runner.run(server.__aenter__())
        try:
            yield Site(family, runtime, server, runner)
        finally:
            runner.run(server.__aexit__(None, None, None))
