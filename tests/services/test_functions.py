"""Functions: how they are created, changed and deleted."""

import msgspec
import pytest

from minifn.errors import (
    ArgumentInvalid,
    FunctionAlreadyExists,
    FunctionNotFound,
    InstallationNotFound,
    MinifnError,
)
from minifn.models import Rule
from minifn.services.functions import FunctionSettings
from minifn.store import deployments, rules, schedules
from minifn.store.queries import Query
from tests.services.functions import SETTINGS, Run, Services, activate, changed


def test_a_function_is_created_with_the_given_or_a_new_id(run: Run) -> None:
    async def scenario(services: Services) -> None:
        created = await services.functions.create("hello", changed(events=("users.*.create",)))
        assert created.sequence > 0
        assert (created.id, created.live, created.events) == ("hello", True, ("users.*.create",))
        assert created.created_at == created.updated_at > 0
        assert await services.functions.get("hello") == created
        await services.functions.create("other", SETTINGS)
        with pytest.raises(FunctionAlreadyExists):
            await services.functions.create("hello", SETTINGS)
        assert (await services.functions.page(Query(search="hello"))).total == 2

    run(scenario)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"installation_id": "nowhere"}, InstallationNotFound),
        ({"provider_repository_id": "repo"}, ArgumentInvalid),
        ({"provider_repository_id": "repo", "installation_id": "local"}, ArgumentInvalid),
    ],
)
def test_bad_settings_are_refused(
    run: Run, fields: dict[str, str], error: type[MinifnError]
) -> None:
    async def scenario(services: Services) -> None:
        with pytest.raises(error):
            await services.functions.create("hello", changed(**fields))
        assert (await services.functions.page(Query())).total == 0

    run(scenario)


def test_an_update_resets_unnamed_settings_except_runtime_and_entrypoint(
    run: Run,
) -> None:
    async def scenario(services: Services) -> None:
        first = changed(commands="pip install x", timeout_seconds=60, provider_paths=("src/*",))
        repository = {
            "installation_id": "local",
            "provider_repository_id": "repo",
            "provider_branch": "main",
        }
        await services.functions.create("hello", msgspec.structs.replace(first, **repository))
        updated = await services.functions.update("hello", FunctionSettings(name="Hello"))
        assert (updated.runtime, updated.entrypoint) == ("python-3.11", "main.py")
        assert (updated.commands, updated.timeout_seconds) == ("", 15)
        assert (updated.provider_repository_id, updated.provider_paths) == ("repo", ("src/*",))
        assert await services.functions.get("hello") == updated
        disconnected = await services.functions.update(
            "hello", FunctionSettings(name="Hello", provider_repository_id="")
        )
        assert disconnected.provider_repository_id == ""
        with pytest.raises(FunctionNotFound):
            await services.functions.update("nobody", SETTINGS)

    run(scenario)


def test_live_tells_whether_the_deployment_has_the_current_settings(
    run: Run,
) -> None:
    async def scenario(services: Services) -> None:
        await services.functions.create("hello", SETTINGS)
        for field, value in (
            ("name", "x"),
            ("entrypoint", "x.py"),
            ("commands", "x"),
            ("runtime", "node-20.0"),
        ):
            assert not (await services.functions.update("hello", changed(**{field: value}))).live
            await services.functions.update("hello", SETTINGS)
            assert (await services.functions.update("hello", changed(timeout_seconds=99))).live
        await services.variables.create("hello", "KEY", "value")
        assert not (await services.functions.get("hello")).live

    run(scenario)


def test_a_changed_schedule_is_to_be_computed_again(run: Run) -> None:
    async def scenario(services: Services) -> None:
        function = await services.functions.create("hello", changed(schedule="0 * * * *"))
        await activate(services.database, function)
        move = schedules.Move(
            function_id="hello",
            schedule="0 * * * *",
            interval_minutes=0,
            from_at=0,
            to_at=3_600_000,
        )
        await services.database.write(schedules.apply, [move])
        assert (await services.functions.get("hello")).schedule_next == 3_600_000
        kept = await services.functions.update("hello", changed(schedule="0 * * * *"))
        assert kept.schedule_next == 3_600_000
        moved = await services.functions.update("hello", changed(schedule="5 * * * *"))
        assert moved.schedule_next == 0

    run(scenario)


def test_a_changed_interval_is_to_be_computed_again(run: Run) -> None:
    async def scenario(services: Services) -> None:
        await activate(
            services.database, await services.functions.create("hello", changed(interval_minutes=5))
        )
        move = schedules.Move(
            function_id="hello", schedule="", interval_minutes=5, from_at=0, to_at=3_600_000
        )
        await services.database.write(
            schedules.apply, [msgspec.structs.replace(move, interval_minutes=6)]
        )
        assert (await services.functions.get("hello")).schedule_next == 0
        await services.database.write(schedules.apply, [move])
        kept = await services.functions.update("hello", SETTINGS)
        assert (kept.interval_minutes, kept.schedule_next) == (5, 3_600_000)
        moved = await services.functions.update("hello", changed(interval_minutes=6))
        assert (moved.interval_minutes, moved.schedule_next) == (6, 0)
        scheduled = await services.functions.update("hello", changed(schedule="5 * * * *"))
        assert (scheduled.interval_minutes, scheduled.schedule) == (0, "5 * * * *")

    run(scenario)


def test_a_deleted_function_takes_everything_with_it(run: Run) -> None:
    async def scenario(services: Services) -> None:
        function = await services.functions.create("hello", SETTINGS)
        deployment = await activate(services.database, function)
        variable = await services.variables.create("hello", "KEY", "value")
        await services.database.write(
            rules.insert, Rule(id="rule", domain="hello.example", function_id="hello")
        )
        deleted, deployment_ids = await services.functions.delete("hello")
        assert (deleted.id, deployment_ids) == ("hello", [deployment.id])
        assert await services.database.read(rules.by_domain, "hello.example") is None
        assert await services.database.read(deployments.by_id, deployment.id) is None
        for missing in (
            services.functions.get("hello"),
            services.targets.of("hello"),
            services.variables.get("hello", variable.id),
        ):
            with pytest.raises(FunctionNotFound):
                await missing
        with pytest.raises(FunctionNotFound):
            await services.functions.delete("hello")
        await services.functions.create("hello", SETTINGS)
        assert (await services.variables.page("hello", Query())).total == 0

    run(scenario)
