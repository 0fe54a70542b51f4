"""Usage over HTTP: keys by version, ranges and numbers."""

import httpx
import pytest

from minifn.api.operations.usage import points, starts
from minifn.store.usage import Used
from tests.api.site import SiteServer, create_function, deploy, refusal

NOW = 480_005 * 3600 + 61
OF_1_6 = {
    "range",
    "deploymentsTotal",
    "deploymentsStorageTotal",
    "buildsTotal",
    "buildsStorageTotal",
    "buildsTimeTotal",
    "buildsMbSecondsTotal",
    "executionsTotal",
    "executionsTimeTotal",
    "executionsMbSecondsTotal",
    "deployments",
    "deploymentsStorage",
    "builds",
    "buildsStorage",
    "buildsTime",
    "buildsMbSeconds",
    "executions",
    "executionsTime",
    "executionsMbSeconds",
}


def test_usage_of_a_function(site: SiteServer, admin: httpx.Client) -> None:
    function_id = deploy(site, admin, execute=["any"])
    for _ in range(3):
        assert admin.post(f"/functions/{function_id}/executions", json={}).status_code == 201
    usage = admin.get(f"/functions/{function_id}/usage", params={"range": "24h"}).json()
    assert (usage["range"], usage["executionsTotal"], usage["buildsTotal"]) == ("24h", 3, 1)
    assert (usage["deploymentsTotal"], usage["buildsStorageTotal"]) == (1, 5)
    assert usage["deploymentsStorageTotal"] > 0
    assert len(usage["executions"]) == 24
    assert sum(point["value"] for point in usage["executions"]) == 3
    assert usage["executions"][-1]["date"].endswith(":00:00.000+00:00")
    assert admin.delete(f"/functions/{function_id}").status_code == 204
    assert refusal(admin.get(f"/functions/{function_id}/usage")) == (404, "function_not_found")


def test_usage_of_all_functions(admin: httpx.Client) -> None:
    before = admin.get("/functions/usage").json()
    create_function(admin)
    after = admin.get("/functions/usage").json()
    assert after["functionsTotal"] == before["functionsTotal"] + 1
    assert after["functions"][-1]["value"] == before["functions"][-1]["value"] + 1


@pytest.mark.parametrize(("name", "count"), [("24h", 24), ("30d", 30), ("90d", 90)])
def test_ranges(admin: httpx.Client, name: str, count: int) -> None:
    usage = admin.get("/functions/usage", params={"range": name}).json()
    lists = [value for value in usage.values() if isinstance(value, list)]
    assert {len(value) for value in lists} == {count}


def test_an_unknown_range(admin: httpx.Client, guest: httpx.Client) -> None:
    assert refusal(admin.get("/functions/usage", params={"range": "7d"})) == (
        400,
        "general_argument_invalid",
    )
    assert refusal(guest.get("/functions/usage")) == (401, "general_unauthorized_scope")


def test_keys_by_version(site: SiteServer, admin: httpx.Client) -> None:
    function_id = create_function(admin)["$id"]
    for version, extra in (("1.6.0", 0), ("1.9.0", 5)):
        with site.admin(version) as client:
            of_function = client.get(f"/functions/{function_id}/usage").json()
            assert set(of_function) >= OF_1_6
            assert len(of_function) == len(OF_1_6) + extra
            of_all = client.get("/functions/usage").json()
            assert set(of_all) - set(of_function) == {"functions", "functionsTotal"}


def test_hours_fall_into_points() -> None:
    hours = starts("24h", NOW)
    assert (hours[0], hours[-1]) == (480_005 - 23, 480_005)
    days = starts("30d", NOW)
    assert days[-1] == 480_005 // 24 * 24
    assert days[-1] - days[0] == 29 * 24
    by_hour = {
        days[-1]: Used(executions=1),
        days[-1] + 23: Used(executions=2),
        days[-1] - 1: Used(executions=4),
    }
    values = [point["value"] for point in points(by_hour, days, lambda used: used.executions)]
    assert values[-2:] == [4, 3]
    assert sum(values) == 7
    empty: dict[int, Used] = {}
    assert points(empty, days, lambda used: used.executions)[-1]["date"].endswith(
        "T00:00:00.000+00:00"
    )
