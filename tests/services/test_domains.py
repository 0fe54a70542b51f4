"""Routes of hosts: after every commit, those in memory equal those in the database."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from minifn.errors import (
    ArgumentInvalid,
    BadRequest,
    FunctionAlreadyExists,
    RuleAlreadyExists,
    RuleNotFound,
    RuleResourceNotFound,
)
from minifn.services.domains import DomainService
from minifn.services.functions import FunctionService, FunctionSettings
from minifn.store import rules as store
from minifn.store.database import Database
from minifn.store.queries import Query

SETTINGS = FunctionSettings(name="Hello", runtime="python-3.11")

Scenario = Callable[[DomainService, FunctionService, Database], Awaitable[None]]


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Scenario], None]:
    """Runs a scenario with the rules and functions of a fresh database."""

    def run_scenario(scenario: Scenario) -> None:
        async def main() -> None:
            async with Database(tmp_path / "minifn.db") as database:
                rules = DomainService(database, "fn.test")
                await rules.open()
                await scenario(rules, FunctionService(database), database)

        asyncio.run(main())

    return run_scenario


def test_hosts_below_the_functions_domain_are_ids(run: Callable[[Scenario], None]) -> None:
    async def scenario(
        rules: DomainService, functions: FunctionService, database: Database
    ) -> None:
        found = {
            host: await rules.route_of(host) for host in ("a.fn.test", "a.b.fn.test", ".fn.test")
        }
        assert found == {"a.fn.test": "a", "a.b.fn.test": "a.b", ".fn.test": ""}
        for host in ("fn.test", "xfn.test", "localhost", ""):
            assert await rules.route_of(host) is None

    run(scenario)


def test_an_id_in_upper_case_has_its_domain_alone(run: Callable[[Scenario], None]) -> None:
    async def scenario(
        rules: DomainService, functions: FunctionService, database: Database
    ) -> None:
        assert await rules.route_of("hello.fn.test") == "hello"
        await functions.create("Hello", SETTINGS)
        assert await rules.route_of("hello.fn.test") == "Hello"
        for other in ("hello", "HELLO", "Hello"):
            with pytest.raises(FunctionAlreadyExists) as refused:
                await functions.create(other, SETTINGS)
            assert ("Host names know no case" in refused.value.message) == (other != "Hello")
        await functions.delete("Hello")
        await functions.create("hello", SETTINGS)
        assert await rules.route_of("hello.fn.test") == "hello"

    run(scenario)


@pytest.mark.parametrize(
    ("ids", "owner"), [(("Two", "two"), "two"), (("two", "TWO"), "two"), (("TWO", "Two"), "TWO")]
)
def test_ids_that_differ_in_case_from_older_versions(
    run: Callable[[Scenario], None], ids: tuple[str, ...], owner: str
) -> None:
    async def scenario(
        rules: DomainService, functions: FunctionService, database: Database
    ) -> None:
        for number, function_id in enumerate(ids):
            await functions.create(f"f{number}", SETTINGS)
            await database.write(rename, f"f{number}", function_id)
        assert await rules.route_of("two.fn.test") == owner
        own = await rules.page(Query())
        assert [(rule.id, rule.domain) for rule in own.items] == [(owner, "two.fn.test")]

    def rename(conn: sqlite3.Connection, old: str, new: str) -> None:
        conn.execute("UPDATE functions SET id = ? WHERE id = ?", (new, old))

    run(scenario)


def test_redirects_and_the_api(run: Callable[[Scenario], None]) -> None:
    async def scenario(
        rules: DomainService, functions: FunctionService, database: Database
    ) -> None:
        await functions.create("hello", SETTINGS)
        redirect = await rules.create_redirect("Old.test", "https://new.test/x", 308, "hello")
        assert (redirect.domain, await rules.route_of("old.test")) == ("old.test", redirect)
        api = await rules.create_api("api.fn.test")
        assert (api.function_id, await rules.route_of("api.fn.test")) == ("", None)
        for refused in (rules.create("old.test", "hello"), rules.create_api("hello.fn.test")):
            with pytest.raises(RuleAlreadyExists):
                await refused
        with pytest.raises(RuleResourceNotFound):
            await rules.create_redirect("b.test", "https://new.test", 301, "nobody")
        await functions.delete("hello")
        assert await rules.route_of("old.test") is None
        assert [rule.id for rule in (await rules.page(Query())).items] == [api.id]

    run(scenario)


def test_rules_are_known_at_once_and_forgotten_at_once(run: Callable[[Scenario], None]) -> None:
    async def scenario(
        rules: DomainService, functions: FunctionService, database: Database
    ) -> None:
        for name in ("hello", "other"):
            await functions.create(name, SETTINGS)
        assert await rules.route_of("a.test") is None
        rule = await rules.create("A.test", "hello")
        assert (rule.domain, await rules.route_of("a.test")) == ("a.test", "hello")
        await rules.create("other.fn.test2", "hello")
        await rules.create("new.fn.test", "hello")
        assert await rules.route_of("new.fn.test") == "hello"
        await rules.delete(rule.id)
        assert await rules.route_of("a.test") is None
        await functions.delete("hello")
        assert await rules.route_of("other.fn.test2") is None
        assert await rules.route_of("new.fn.test") == "new"

    run(scenario)


def test_a_rule_committed_during_a_read_is_not_missed(run: Callable[[Scenario], None]) -> None:
    async def scenario(
        rules: DomainService, functions: FunctionService, database: Database
    ) -> None:
        await functions.create("hello", SETTINGS)
        first = asyncio.create_task(rules.route_of("late.test"))
        await asyncio.sleep(0)
        await rules.create("late.test", "hello")
        await first
        assert await rules.route_of("late.test") == "hello"

    run(scenario)


def test_a_rule_survives_a_cancelled_caller(run: Callable[[Scenario], None]) -> None:
    async def scenario(
        rules: DomainService, functions: FunctionService, database: Database
    ) -> None:
        await functions.create("hello", SETTINGS)
        assert await rules.route_of("a.test") is None
        asking = asyncio.create_task(rules.create("a.test", "hello"))
        await asyncio.sleep(0)
        asking.cancel()
        await rules.create("b.test", "hello")
        assert await rules.route_of("a.test") == "hello"

    run(scenario)


def test_refusals(run: Callable[[Scenario], None]) -> None:
    async def scenario(
        rules: DomainService, functions: FunctionService, database: Database
    ) -> None:
        await functions.create("hello", SETTINGS)
        await functions.create("other", SETTINGS)
        await rules.create("a.test", "hello")
        for domain, function_id, refused in (
            ("A.test", "hello", RuleAlreadyExists),
            ("hello.fn.test", "other", RuleAlreadyExists),
            ("b.test", "nobody", RuleResourceNotFound),
            ("localhost", "hello", ArgumentInvalid),
            ("FN.test", "hello", ArgumentInvalid),
        ):
            with pytest.raises(refused):
                await rules.create(domain, function_id)
        assert (await rules.create("hello.fn.test", "hello")).own
        with pytest.raises(BadRequest):
            await rules.delete("hello")
        for missing in (rules.get("x"), rules.delete("x")):
            with pytest.raises(RuleNotFound):
                await missing

    run(scenario)


def test_own_domains_follow_the_setting(tmp_path: Path) -> None:
    async def own_domain(functions_domain: str) -> str:
        async with Database(tmp_path / "minifn.db") as database:
            rules = DomainService(database, functions_domain)
            await rules.open()
            return (await rules.get("Hello")).domain

    async def create() -> None:
        async with Database(tmp_path / "minifn.db") as database:
            await FunctionService(database).create("Hello", SETTINGS)

    asyncio.run(create())
    assert asyncio.run(own_domain("one.test")) == "hello.one.test"
    assert asyncio.run(own_domain("two.test")) == "hello.two.test"


def test_routes_hold_only_domains_that_are_not_ids(run: Callable[[Scenario], None]) -> None:
    async def scenario(
        rules: DomainService, functions: FunctionService, database: Database
    ) -> None:
        for name in ("plain", "Upper"):
            await functions.create(name, SETTINGS)
        await rules.create("a.test", "plain")

        assert await database.read(store.routes) == {"upper.fn.test": "Upper", "a.test": "plain"}

    run(scenario)
