"""The services of functions, variables and targets over a fresh database."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from minifn.ids import new_id
from minifn.instants import now_ms
from minifn.models import Deployment, Function
from minifn.services.functions import FunctionService, FunctionSettings
from minifn.services.targets import Targets
from minifn.services.variables import VariableService
from minifn.store import build_queue, deployments
from minifn.store.cipher import VariableCipher
from minifn.store.database import Database

SETTINGS = FunctionSettings(name="Hello", runtime="python-3.11", entrypoint="main.py")


@dataclass(frozen=True)
class Services:
    """The services under test."""

    database: Database
    functions: FunctionService
    variables: VariableService
    targets: Targets


Scenario = Callable[[Services], Awaitable[None]]
Run = Callable[[Scenario], None]


def run_on(path: Path) -> Run:
    """Return a function that runs a scenario with services over the database `path`."""

    def run(scenario: Scenario) -> None:
        async def main() -> None:
            async with Database(path, VariableCipher("0" * 64)) as database:
                await scenario(
                    Services(
                        database=database,
                        functions=FunctionService(database, installations=["local"]),
                        variables=VariableService(database),
                        targets=Targets(database),
                    )
                )

        asyncio.run(main())

    return run


def changed(**fields: object) -> FunctionSettings:
    return msgspec.structs.replace(SETTINGS, **fields)


async def activate(database: Database, function: Function) -> Deployment:
    """Give `function` a ready, active deployment."""
    deployment = Deployment(
        id=new_id(), function_id=function.id, created_at=now_ms(), activate=True
    )
    await database.write(deployments.insert, deployment)
    await database.write(build_queue.claim, now_ms())
    result = build_queue.BuildResult(status="ready", duration_seconds=1, build_logs="long logs")
    built = await database.write(build_queue.finish, deployment.id, result, now_ms())
    assert built is not None
    return built
