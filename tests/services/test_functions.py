"""Functions, variables and rules as their service keeps them, and the targets it remembers."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from minifn.errors import (
    ArgumentInvalid,
    FunctionAlreadyExists,
    FunctionNotFound,
    InstallationNotFound,
    MinifnError,
    VariableAlreadyExists,
    VariableCannotUnsetSecret,
    VariableNotFound,
)
from minifn.ids import is_id, new_id
from minifn.instants import now_ms
from minifn.models import Deployment, Execution, Function, Rule
from minifn.services.functions import FunctionService, FunctionSettings, VariableChange
from minifn.store import deployments, executions, rules, schedules
from minifn.store.cipher import VariableCipher
from minifn.store.database import Database
from minifn.store.queries import Query

SETTINGS = FunctionSettings(name="Hello", runtime="python-3.11", entrypoint="main.py")

Scenario = Callable[[Database, FunctionService], Awaitable[None]]


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Scenario], None]:
    """Runs a scenario with a service over a fresh database."""

    def run_scenario(scenario: Scenario) -> None:
        async def main() -> None:
            async with Database(tmp_path / "minifn.db", VariableCipher("0" * 64)) as database:
                service = FunctionService(database, installations=["local"])
                await scenario(database, service)

        asyncio.run(main())

    return run_scenario


def changed(**fields: object) -> FunctionSettings:
    return msgspec.structs.replace(SETTINGS, **fields)


async def activate(database: Database, function: Function) -> Deployment:
    """Give `function` a ready, active deployment."""
    deployment = Deployment(
        id=new_id(), function_id=function.id, created_at=now_ms(), activate=True
    )
    await database.write(deployments.insert, deployment)
    await database.write(deployments.claim, now_ms())
    result = deployments.BuildResult(status="ready", duration_seconds=1, build_logs="long logs")
    built = await database.write(deployments.finish, deployment.id, result, now_ms())
    assert built is not None
    return built


def test_a_function_is_created_with_the_given_or_a_new_id(run: Callable[[Scenario], None]) -> None:
    async def scenario(database: Database, service: FunctionService) -> None:
        created = await service.create("hello", changed(events=("users.*.create",)))
        assert (created.id, created.sequence, created.live, created.events) == (
            "hello",
            1,
            True,
            ("users.*.create",),
        )
        assert created.created_at == created.updated_at > 0
        assert await service.get("hello") == created
        generated = await service.create("unique()", SETTINGS)
        assert is_id(generated.id)
        assert len(generated.id) == 20
        with pytest.raises(FunctionAlreadyExists):
            await service.create("hello", SETTINGS)
        assert (await service.page(Query(search="hello"))).total == 2

    run(scenario)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"installation_id": "nowhere"}, InstallationNotFound),
        ({"provider_repository_id": "repo"}, ArgumentInvalid),
        ({"provider_repository_id": "repo", "installation_id": "local"}, ArgumentInvalid),
    ],
)
def test_what_a_function_cannot_be(
    run: Callable[[Scenario], None], fields: dict[str, str], error: type[MinifnError]
) -> None:
    async def scenario(database: Database, service: FunctionService) -> None:
        with pytest.raises(error):
            await service.create("hello", changed(**fields))
        assert (await service.page(Query())).total == 0

    run(scenario)


def test_an_update_resets_what_it_does_not_name_but_runtime_and_entrypoint(
    run: Callable[[Scenario], None],
) -> None:
    async def scenario(database: Database, service: FunctionService) -> None:
        first = changed(commands="pip install x", timeout_seconds=60, provider_paths=("src/*",))
        repository = {
            "installation_id": "local",
            "provider_repository_id": "repo",
            "provider_branch": "main",
        }
        await service.create("hello", msgspec.structs.replace(first, **repository))
        updated = await service.update("hello", FunctionSettings(name="Hello"))
        assert (updated.runtime, updated.entrypoint) == ("python-3.11", "main.py")
        assert (updated.commands, updated.timeout_seconds) == ("", 15)
        assert (updated.provider_repository_id, updated.provider_paths) == ("repo", ("src/*",))
        assert await service.get("hello") == updated
        disconnected = await service.update(
            "hello", FunctionSettings(name="Hello", provider_repository_id="")
        )
        assert disconnected.provider_repository_id == ""
        with pytest.raises(FunctionNotFound):
            await service.update("nobody", SETTINGS)

    run(scenario)


def test_live_tells_whether_the_deployment_has_what_the_function_says(
    run: Callable[[Scenario], None],
) -> None:
    async def scenario(database: Database, service: FunctionService) -> None:
        await service.create("hello", SETTINGS)
        for field, value in (
            ("name", "x"),
            ("entrypoint", "x.py"),
            ("commands", "x"),
            ("runtime", "node-20.0"),
        ):
            assert not (await service.update("hello", changed(**{field: value}))).live
            await service.update("hello", SETTINGS)
            assert (await service.update("hello", changed(timeout_seconds=99))).live
        await service.create_variable("hello", "KEY", "value")
        assert not (await service.get("hello")).live

    run(scenario)


def test_a_changed_schedule_is_to_be_computed_again(run: Callable[[Scenario], None]) -> None:
    async def scenario(database: Database, service: FunctionService) -> None:
        function = await service.create("hello", changed(schedule="0 * * * *"))
        await activate(database, function)
        move = schedules.Move(
            function_id="hello",
            schedule="0 * * * *",
            interval_minutes=0,
            from_at=0,
            to_at=3_600_000,
        )
        await database.write(schedules.apply, [move])
        assert (await service.get("hello")).schedule_next == 3_600_000
        kept = await service.update("hello", changed(schedule="0 * * * *"))
        assert kept.schedule_next == 3_600_000
        moved = await service.update("hello", changed(schedule="5 * * * *"))
        assert moved.schedule_next == 0

    run(scenario)


def test_a_changed_interval_is_to_be_computed_again(run: Callable[[Scenario], None]) -> None:
    async def scenario(database: Database, service: FunctionService) -> None:
        await activate(database, await service.create("hello", changed(interval_minutes=5)))
        move = schedules.Move(
            function_id="hello", schedule="", interval_minutes=5, from_at=0, to_at=3_600_000
        )
        await database.write(schedules.apply, [msgspec.structs.replace(move, interval_minutes=6)])
        assert (await service.get("hello")).schedule_next == 0
        await database.write(schedules.apply, [move])
        kept = await service.update("hello", SETTINGS)
        assert (kept.interval_minutes, kept.schedule_next) == (5, 3_600_000)
        moved = await service.update("hello", changed(interval_minutes=6))
        assert (moved.interval_minutes, moved.schedule_next) == (6, 0)
        scheduled = await service.update("hello", changed(schedule="5 * * * *"))
        assert (scheduled.interval_minutes, scheduled.schedule) == (0, "5 * * * *")

    run(scenario)


def test_a_deleted_function_takes_everything_with_it(run: Callable[[Scenario], None]) -> None:
    async def scenario(database: Database, service: FunctionService) -> None:
        function = await service.create("hello", SETTINGS)
        deployment = await activate(database, function)
        variable = await service.create_variable("hello", "KEY", "value")
        await database.write(
            rules.insert, Rule(id="rule", domain="hello.example", function_id="hello")
        )
        deleted, deployment_ids = await service.delete("hello")
        assert (deleted.id, deployment_ids) == ("hello", [deployment.id])
        assert await database.read(rules.by_domain, "hello.example") is None
        assert await database.read(deployments.by_id, deployment.id) is None
        for missing in (
            service.get("hello"),
            service.target("hello"),
            service.get_variable("hello", variable.id),
        ):
            with pytest.raises(FunctionNotFound):
                await missing
        with pytest.raises(FunctionNotFound):
            await service.delete("hello")
        await service.create("hello", SETTINGS)
        assert await service.list_variables("hello") == []

    run(scenario)


def test_variables_have_one_value_a_key(run: Callable[[Scenario], None]) -> None:
    async def scenario(database: Database, service: FunctionService) -> None:
        await service.create("hello", SETTINGS)
        first = await service.create_variable("hello", "A", "1")
        second = await service.create_variable("hello", "B", "", variable_id="mine")
        assert (second.id, await service.get_variable("hello", "mine")) == ("mine", second)
        with pytest.raises(VariableAlreadyExists):
            await service.create_variable("hello", "A", "2")
        with pytest.raises(VariableAlreadyExists):
            await service.update_variable("hello", second.id, VariableChange(key="A"))
        updated = await service.update_variable("hello", first.id, VariableChange(key="C"))
        assert (updated.key, updated.value) == ("C", "1")
        assert (await service.page_variables("hello", Query())).total == 2
        assert await service.delete_variable("hello", first.id) == updated
        for missing in (
            service.get_variable("hello", first.id),
            service.update_variable("hello", first.id, VariableChange(value="x")),
            service.delete_variable("hello", first.id),
        ):
            with pytest.raises(VariableNotFound):
                await missing
        with pytest.raises(FunctionNotFound):
            await service.create_variable("nobody", "A", "1")

    run(scenario)


def test_a_secret_stays_secret(run: Callable[[Scenario], None]) -> None:
    async def scenario(database: Database, service: FunctionService) -> None:
        await service.create("hello", SETTINGS)
        variable = await service.create_variable("hello", "A", "1")
        assert (
            await service.update_variable("hello", variable.id, VariableChange(secret=True))
        ).secret
        with pytest.raises(VariableCannotUnsetSecret):
            await service.update_variable("hello", variable.id, VariableChange(secret=False))

    run(scenario)


def test_a_target_merges_variables_and_is_forgotten_when_they_change(
    run: Callable[[Scenario], None],
) -> None:
    async def scenario(database: Database, service: FunctionService) -> None:
        heard: list[str] = []
        service.on_change(heard.append)
        function = await service.create("hello", SETTINGS)
        assert (await service.target("hello")).deployment is None
        deployment = await activate(database, function)
        await service.create_variable("", "SHARED", "project")
        await service.create_variable("", "OWN", "project")
        own = await service.create_variable("hello", "OWN", "function")
        target = await service.target("hello")
        assert target.variables == {"SHARED": "project", "OWN": "function"}
        assert target.deployment is not None
        assert (target.deployment.id, target.deployment.build_logs) == (deployment.id, "")
        assert service.cached_target("hello") is target
        heard.clear()
        await service.update_variable("hello", own.id, VariableChange(value="new"))
        assert service.cached_target("hello") is None
        assert heard == ["hello"]
        assert (await service.target("hello")).variables["OWN"] == "new"
        project = (await service.list_variables(""))[0]
        await service.delete_variable("", project.id)
        assert (await service.target("hello")).variables == {"OWN": "new"}
        await database.write(deployments.delete, "hello", deployment.id, now_ms())
        assert (await service.target("hello")).deployment is None

    run(scenario)


def test_a_target_read_while_it_changes_is_not_kept(run: Callable[[Scenario], None]) -> None:
    async def scenario(database: Database, service: FunctionService) -> None:
        await service.create("hello", SETTINGS)
        for number in range(30):
            reading = asyncio.create_task(service.target("hello"))
            await service.update("hello", changed(timeout_seconds=number + 1))
            await reading
            assert (await service.target("hello")).function.timeout_seconds == number + 1

    run(scenario)


def test_executions_leave_targets_alone(run: Callable[[Scenario], None]) -> None:
    async def scenario(database: Database, service: FunctionService) -> None:
        await service.create("hello", SETTINGS)
        target = await service.target("hello")
        execution = Execution(id=new_id(), function_id="hello", status="completed")
        await database.write(executions.insert, execution)
        assert service.cached_target("hello") is target

    run(scenario)
