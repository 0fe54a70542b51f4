"""Executions of all functions: the same list as that of one function."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from minifn.ids import new_id
from minifn.models import Execution
from tests.api.site import SiteServer, create_function, refusal

PATH = "/minifn/executions"


@pytest.fixture(scope="module")
def executions(site: SiteServer) -> Iterator[list[Execution]]:
    """Executions of two functions by turns; others may exist besides."""
    with site.admin() as admin:
        for function_id in ("every-a", "every-b"):
            create_function(admin, functionId=function_id, name=f"Name of {function_id}")
    stored = [
        Execution(
            id=new_id(),
            function_id=("every-a", "every-b")[number % 2],
            status="failed" if number % 5 == 0 else "completed",
            deployment_id="every-d",
            logs="a line",
        )
        for number in range(20)
    ]
    for one in stored:
        site.store_execution(one)
    yield stored
    with site.admin() as admin:
        for function_id in ("every-a", "every-b"):
            admin.delete(f"/functions/{function_id}")


def query(method: str, attribute: str = "", *values: Any) -> str:
    return json.dumps({"method": method, "attribute": attribute, "values": list(values)})


DEPLOYED = query("equal", "deploymentId", "every-d")


def listed(client: httpx.Client, *queries: str, **params: Any) -> tuple[int, list[str]]:
    answer = client.get(PATH, params={"queries[]": list(queries), **params})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    return body["total"], [item["$id"] for item in body["executions"]]


def test_queries_cursors_and_totals(admin: httpx.Client, executions: list[Execution]) -> None:
    ids = [one.id for one in executions]
    assert listed(admin, DEPLOYED, query("limit", "", 100)) == (20, ids)
    newest = query("orderDesc", "$createdAt"), query("limit", "", 3)
    assert listed(admin, DEPLOYED, *newest)[0] == 20
    backwards = query("orderDesc"), query("limit", "", 3)
    total, page = listed(admin, DEPLOYED, *backwards)
    assert (total, page) == (20, ids[:-4:-1])
    after = query("cursorAfter", "", page[-1])
    assert listed(admin, DEPLOYED, *backwards, after) == (20, ids[-4:-7:-1])
    assert listed(admin, DEPLOYED, query("limit", "", 1), total="false") == (0, ids[:1])
    failed = [one.id for one in executions if one.status == "failed"]
    assert listed(admin, DEPLOYED, query("equal", "status", "failed")) == (4, failed)


def test_functions_are_chosen_by_a_query(admin: httpx.Client, executions: list[Execution]) -> None:
    first = [one.id for one in executions if one.function_id == "every-a"]
    both = [one.id for one in executions]
    for queries, ids in (
        ([query("equal", "functionId", "every-a")], first),
        ([query("equal", "functionId", "every-a", "every-b")], both),
        ([query("equal", "functionId", "every-a"), query("equal", "functionId", "nothing")], []),
        ([query("startsWith", "functionId", "every-"), DEPLOYED], both),
        ([query("notEqual", "functionId", "every-b"), DEPLOYED], first),
    ):
        assert listed(admin, *queries) == (len(ids), ids), queries


def test_search(admin: httpx.Client, executions: list[Execution]) -> None:
    one = executions[3]
    assert listed(admin, search=one.id) == (1, [one.id])
    assert listed(admin, DEPLOYED, search="every-b")[0] == 20
    assert listed(admin, DEPLOYED, search='"every b"')[0] == 10
    assert listed(admin, search="nothing-has-this") == (0, [])


def test_an_execution_has_its_logs(admin: httpx.Client, executions: list[Execution]) -> None:
    found = admin.get(f"{PATH}/{executions[0].id}").json()
    path = f"/functions/{executions[0].function_id}/executions/{executions[0].id}"
    assert found == admin.get(path).json()
    assert found["logs"] == "a line"
    assert refusal(admin.get(f"{PATH}/nothing")) == (404, "execution_not_found")


def test_a_key_sees_its_own_functions(site: SiteServer, executions: list[Execution]) -> None:
    _, secret = site.run(site.site.keys.create("a", ["execution.read"], functions=["every-a"]))
    with site.client(x_appwrite_key=secret) as client:
        mine = [one.id for one in executions if one.function_id == "every-a"]
        assert listed(client, query("limit", "", 50)) == (10, mine)
        assert listed(client, query("equal", "functionId", "every-b")) == (0, [])
        other = next(one.id for one in executions if one.function_id == "every-b")
        assert refusal(client.get(f"{PATH}/{other}")) == (404, "execution_not_found")
        after = client.get(PATH, params={"queries[]": query("cursorAfter", "", other)})
        assert refusal(after) == (400, "general_cursor_not_found")


def test_deleted_functions_are_left_out(site: SiteServer, admin: httpx.Client) -> None:
    function_id = create_function(admin)["$id"]
    execution = Execution(id=new_id(), function_id=function_id)
    site.store_execution(execution)
    assert admin.get(f"{PATH}/{execution.id}").status_code == 200
    admin.delete(f"/functions/{function_id}")
    assert admin.get(f"{PATH}/{execution.id}").status_code == 404
