"""The schedule of all functions, and the next runs of an expression."""

import itertools

import httpx

from minifn.ids import new_id
from minifn.instants import now_ms, parse_instant
from minifn.models import Execution
from tests.api.site import SiteServer, create_function, deploy, refusal

HOUR = 3_600_000


def test_runs_before_and_after_now(site: SiteServer, admin: httpx.Client) -> None:
    function_id = deploy(site, admin, schedule="0 */6 * * *")
    create_function(admin)
    now = now_ms()
    for ago, trigger in ((30, "schedule"), (2, "schedule"), (1, "schedule"), (1, "http")):
        execution = Execution(
            id=new_id(),
            function_id=function_id,
            created_at=now - ago * HOUR,
            status="completed",
            trigger=trigger,  # type: ignore[arg-type]
        )
        site.store_execution(execution)
    found = admin.get("/minifn/schedule").json()
    assert abs(parse_instant(found["now"]) - now) < 60_000
    runs = [run for run in found["runs"] if run["functionId"] == function_id]
    past = [run for run in runs if run["past"]]
    assert [round((now - parse_instant(run["at"])) / HOUR) for run in past] == [2, 1]
    assert {run["status"] for run in past} == {"completed"}
    assert admin.get(f"/minifn/executions/{past[0]['executionId']}").status_code == 200
    coming = [run for run in runs if not run["past"]]
    assert len(coming) == 4
    assert {(run["status"], run["executionId"]) for run in coming} == {("", "")}
    [shown] = [one for one in found["functions"] if one["functionId"] == function_id]
    assert shown["schedule"] == "0 */6 * * *"
    assert len(shown["next"]) == 5
    assert shown["next"][:4] == [run["at"] for run in coming]
    short = admin.get("/minifn/schedule", params={"hours": 1}).json()["runs"]
    assert len([run for run in short if run["functionId"] == function_id]) < 4


def test_intervals(site: SiteServer, admin: httpx.Client) -> None:
    function_id = deploy(site, admin, interval=90)
    found = admin.get("/minifn/schedule").json()
    [shown] = [one for one in found["functions"] if one["functionId"] == function_id]
    assert shown["schedule"] == "every 90 minutes"


def test_next_runs_of_an_expression(admin: httpx.Client) -> None:
    def ask(expression: str) -> httpx.Response:
        return admin.get("/minifn/cron", params={"expression": expression})

    found = [parse_instant(at) for at in ask("*/15 * * * *").json()["next"]]
    assert len(found) == 5
    assert found[0] > now_ms() - 60_000
    assert {later - at for at, later in itertools.pairwise(found)} == {15 * 60_000}
    assert ask("0 0 31 2 *").json() == {"next": []}
    for expression, reason in (
        ("* * * *", "a cron expression has five fields"),
        ("61 * * * *", "61 is not within 0 to 59"),
        ("x * * * *", "X is not a value, a range or *"),
    ):
        assert refusal(ask(expression)) == (400, "general_argument_invalid")
        assert reason in ask(expression).json()["message"]
