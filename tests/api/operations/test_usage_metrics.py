"""Usage by metric, against real executions and deployments."""

from typing import Any

import httpx
import pytest

from minifn.ids import new_id
from minifn.instants import format_instant, parse_instant
from minifn.models import Execution
from tests.api.site import SiteServer, create_function, refusal, upload

HOUR = 3_600_000
NOON = parse_instant("2026-03-02T12:00:00")
TIME = {"startAt": format_instant(NOON), "endAt": format_instant(NOON + 49 * HOUR)}


@pytest.fixture(scope="module")
def functions(site: SiteServer) -> list[str]:
    """Two functions: the first ran in two hours of a day and one of the next, the second once."""
    with site.admin() as admin:
        ids = sorted(create_function(admin)["$id"] for _ in range(2))
        upload(admin, ids[0])
    for function_id, hour, seconds in (
        (ids[0], 0, 1.5),
        (ids[0], 1, 0.5),
        (ids[0], 13, 1.0),
        (ids[1], 1, 2.0),
    ):
        at = NOON + hour * HOUR
        site.store_execution(
            Execution(
                id=new_id(),
                function_id=function_id,
                created_at=at,
                updated_at=at,
                status="completed",
                duration_seconds=seconds,
            )
        )
    return ids


def asked(client: httpx.Client, kind: str, **params: Any) -> list[list[tuple[str, int, str]]]:
    """Return the points of each metric as (time, value, resourceId)."""
    answer = client.get(f"/usage/{kind}", params=params)
    assert answer.status_code == 200, answer.text
    series = answer.json()["metrics"]
    return [
        [(p["time"][:16], p["value"], p.get("resourceId", "")) for p in item["points"]]
        for item in series
    ]


def of(*ids: str) -> dict[str, str]:
    listed = ",".join(f'"{function_id}"' for function_id in ids)
    return {"queries[0]": f'{{"method":"equal","attribute":"resourceId","values":[{listed}]}}'}


def test_events_are_summed(admin: httpx.Client, functions: list[str]) -> None:
    metrics = {"metrics[]": ["executions", "executions.compute", "builds", "network.requests"]}
    only = {**TIME, **of(*functions), **metrics}
    assert asked(admin, "events", **only) == [
        [("2026-03-04T13:00", 4, "")],
        [("2026-03-04T13:00", 5000, "")],
        [("2026-03-04T13:00", 0, "")],
        [],
    ]
    hourly, *_ = asked(admin, "events", **only, interval="1h")
    assert hourly == [
        ("2026-03-02T12:00", 1, ""),
        ("2026-03-02T13:00", 2, ""),
        ("2026-03-03T01:00", 1, ""),
    ]
    daily, *_ = asked(admin, "events", **only, interval="1d", orderDir="desc")
    assert daily == [("2026-03-03T00:00", 1, ""), ("2026-03-02T00:00", 3, "")]
    assert admin.get("/usage/events", params={**only, "interval": "15m"}).json()["interval"] == "1h"


def test_events_by_function(admin: httpx.Client, functions: list[str]) -> None:
    first, second = functions
    only = {
        **TIME,
        **of(*functions),
        "metrics[]": "executions",
        "dimensions[]": ["resource", "resourceId"],
    }
    top = asked(admin, "events", **only, orderBy="value", orderDir="desc")
    assert top == [[("2026-03-04T13:00", 3, first), ("2026-03-04T13:00", 1, second)]]
    assert asked(
        admin, "events", **only, orderBy="value", orderDir="desc", limit="1", offset="1"
    ) == [top[0][1:]]
    assert asked(admin, "events", **{**only, **of(second)}) == [top[0][1:]]
    point = admin.get("/usage/events", params=only).json()["metrics"][0]["points"][0]
    assert point["resource"] == "function"


def test_gauges_are_present_values(admin: httpx.Client, functions: list[str]) -> None:
    metrics = {"metrics[]": ["functions", "deployments", "deployments.storage", "builds.storage"]}
    counted = asked(admin, "gauges", **metrics, **of(*functions))
    made, deployed, source, built = [points[0][1] for points in counted]
    assert (made, deployed, built) == (2, 1, 0)
    assert source > 0
    assert asked(admin, "gauges", **metrics, **of(*functions), **TIME) == [[], [], [], []]
    hourly = asked(admin, "gauges", **{"metrics[]": "functions"}, **of(functions[0]), interval="1h")
    assert [value for _, value, _ in hourly[0]] in ([1], [1, 1])


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"metrics[]": [f"m{number}" for number in range(11)]},
        {"metrics[]": "executions", "interval": "2h"},
        {"metrics[]": "executions", "dimensions[]": "country"},
        {"metrics[]": "executions", "startAt": "soon"},
        {"metrics[]": "executions", "endAt": "2001-01-01", "startAt": "2002-01-01"},
        {
            "metrics[]": "executions",
            "queries[0]": '{"method":"equal","attribute":"path","values":["/"]}',
        },
    ],
    ids=str,
)
def test_rules_of_metrics(admin: httpx.Client, params: dict[str, Any]) -> None:
    for kind in ("events", "gauges"):
        assert refusal(admin.get(f"/usage/{kind}", params=params)) == (
            400,
            "general_argument_invalid",
        )


def test_too_many_points(admin: httpx.Client) -> None:
    years = {
        "metrics[]": "functions",
        "interval": "1h",
        "startAt": "2001-01-01",
        "endAt": "2003-01-01",
    }
    assert refusal(admin.get("/usage/gauges", params=years)) == (400, "general_argument_invalid")
