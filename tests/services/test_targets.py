"""Targets: kept in memory, and forgotten when a commit touches them."""

import asyncio

from minifn.ids import new_id
from minifn.instants import now_ms
from minifn.models import Execution
from minifn.services.variables import VariableChange
from minifn.store import deployments, executions
from tests.services.functions import SETTINGS, Run, Services, activate, changed


def test_a_target_merges_variables_and_is_forgotten_when_they_change(
    run: Run,
) -> None:
    async def scenario(services: Services) -> None:
        heard: list[str] = []
        services.targets.on_change(heard.append)
        function = await services.functions.create("hello", SETTINGS)
        assert (await services.targets.of("hello")).deployment is None
        deployment = await activate(services.database, function)
        shared = await services.variables.create("", "SHARED", "project")
        await services.variables.create("", "OWN", "project")
        own = await services.variables.create("hello", "OWN", "function")
        target = await services.targets.of("hello")
        assert target.variables == {"SHARED": "project", "OWN": "function"}
        assert target.deployment is not None
        assert (target.deployment.id, target.deployment.build_logs) == (deployment.id, "")
        assert await services.targets.of("hello") is target
        heard.clear()
        await services.variables.update("hello", own.id, VariableChange(value="new"))
        assert heard == ["hello"]
        assert (await services.targets.of("hello")).variables["OWN"] == "new"
        await services.variables.delete("", shared.id)
        assert (await services.targets.of("hello")).variables == {"OWN": "new"}
        await services.database.write(deployments.delete, "hello", deployment.id, now_ms())
        assert (await services.targets.of("hello")).deployment is None

    run(scenario)


def test_a_target_read_while_it_changes_is_not_kept(run: Run) -> None:
    async def scenario(services: Services) -> None:
        await services.functions.create("hello", SETTINGS)
        for number in range(30):
            reading = asyncio.create_task(services.targets.of("hello"))
            await services.functions.update("hello", changed(timeout_seconds=number + 1))
            await reading
            assert (await services.targets.of("hello")).function.timeout_seconds == number + 1

    run(scenario)


def test_executions_leave_targets_alone(run: Run) -> None:
    async def scenario(services: Services) -> None:
        await services.functions.create("hello", SETTINGS)
        target = await services.targets.of("hello")
        execution = Execution(id=new_id(), function_id="hello", status="completed")
        await services.database.write(executions.insert, execution)
        assert await services.targets.of("hello") is target

    run(scenario)
