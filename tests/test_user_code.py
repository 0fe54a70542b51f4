"""Typical functions on a real server: dependencies, files, binary answers and bad behaviour."""

import json

import httpx
import psutil
import pytest

from tests.serving import FUNCTIONS, PROJECT, Api, Server, mentions, pack, wait_until

ENTRYPOINTS = {"python": "main.py", "node": "main.js"}
PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452") + bytes(range(256))
LOG_LIMIT_CHARS = 1_000_000


@pytest.fixture(params=["python", "node"])
def family(request: pytest.FixtureRequest) -> str:
    """Each language family; the Node.js half skips where there is none."""
    if request.param == "node":
        request.getfixturevalue("node")
    return str(request.param)


def deploy_case(api: Api, family: str, case: str, **settings: object) -> str:
    """Create a function from `tests/functions/<case>/`, deploy it, and return its id."""
    function_id = f"{case}-{family}"
    api.create(function_id, api.runtime(family), entrypoint=ENTRYPOINTS[family], **settings)
    api.deploy(function_id, pack(FUNCTIONS / case))
    return function_id


def deploy_orders(api: Api, family: str, function_id: str) -> str:
    """Deploy the shop of a family with its dependency and return the function's id."""
    entrypoint, commands = {
        "python": ("src/main.py", "pip install -r requirements.txt"),
        "node": ("index.js", "npm install"),
    }[family]
    api.create(
        function_id, api.runtime(family), execute=["any"], entrypoint=entrypoint, commands=commands
    )
    api.deploy(function_id, pack(FUNCTIONS / f"orders_{family}"), seconds=120)
    return function_id


def test_a_function_with_dependencies_siblings_and_files(
    family: str, server: Server, api: Api
) -> None:
    function_id = deploy_orders(api, family, f"orders-{family}")
    order = {"name": "two coffees", "lines": [{"quantity": 2, "cents": 350}]}
    execution = api.execute(
        function_id,
        path="/orders",
        body=json.dumps(order),
        headers={"content-type": "application/json"},
    )
    assert execution["responseStatusCode"] == 201, execution
    answer = json.loads(execution["responseBody"])
    assert answer["total_cents"] == 700
    expected = {"python": ("Two Coffees", "R-00007"), "node": ("TWO COFFEES", 604_800_000)}[family]
    assert (answer["title"], answer["receipt"]) == expected
    assert execution["logs"].strip() == 'order {"lines":1}'
    greeting = api.execute(function_id, path="/", method="GET")
    assert greeting["responseBody"] == "<h1>Grüße from the shop ☕</h1>\n"
    assert {"name": "content-type", "value": "text/html; charset=utf-8"} in greeting[
        "responseHeaders"
    ]
    assert api.execute(function_id, path="/nothing")["status"] == "completed"

    png = api.http.request(
        "POST",
        f"/functions/{function_id}/executions",
        json={"path": "/receipt.png"},
        headers={"accept": "multipart/form-data"},
    )
    assert png.status_code == 201
    assert PNG in png.content
    refused = api.call(
        "POST", f"/functions/{function_id}/executions", 400, json={"path": "/receipt.png"}
    )
    assert refused["message"].startswith("Failed to parse response")


def test_a_function_answers_on_its_own_domain(family: str, server: Server, api: Api) -> None:
    function_id = deploy_orders(api, family, f"domain-{family}")
    host = {"host": f"{function_id}.functions.localhost:{server.port}"}
    with httpx.Client(base_url=server.url, headers=host, trust_env=False) as browser:
        image = browser.get("/receipt.png")
        assert image.status_code == 200
        assert image.content == PNG
        assert image.headers["content-type"].startswith("image/png")
        moved = browser.get("/old")
        assert (moved.status_code, moved.headers["location"]) == (302, "/orders")
        ordered = browser.post("/orders", json={"name": "tea", "lines": []})
        assert (ordered.status_code, ordered.json()["total_cents"]) == (201, 0)


def test_a_worker_is_ready_before_the_first_call(family: str, server: Server, api: Api) -> None:
    function_id = f"warm-{family}"
    api.create(function_id, api.runtime(family), entrypoint=ENTRYPOINTS[family])
    deployment = api.deploy(function_id, pack(FUNCTIONS / "hello"))

    def workers() -> list[psutil.Process]:
        return [process for process in server.workers() if mentions(process.pid, deployment["$id"])]

    wait_until(workers, 10, "a worker of the active deployment")
    assert api.call("GET", f"/functions/{function_id}/executions", 200)["total"] == 0


def test_a_crash_costs_one_execution(family: str, api: Api) -> None:
    function_id = deploy_case(api, family, "crash")
    raised = api.execute(function_id, path="/raise")
    assert (raised["status"], raised["responseStatusCode"]) == ("failed", 500)
    assert "a bug in the function" in raised["errors"]
    assert ENTRYPOINTS[family] in raised["errors"]
    assert raised["logs"].strip() == "before the crash"
    assert raised["responseBody"] == ""
    exited = api.execute(function_id, path="/exit")
    assert (exited["status"], exited["responseStatusCode"]) == ("failed", 500)
    assert "written to the descriptor" in exited["errors"]
    assert exited["logs"].startswith("before the crash\n")
    alive = api.execute(function_id)
    assert (alive["status"], alive["responseBody"]) == ("completed", "alive 1")


def test_memory_beyond_the_specification_fails_with_a_reason(family: str, api: Api) -> None:
    function_id = f"memory-{family}"
    settings = {"entrypoint": ENTRYPOINTS[family], "specification": "s-1vcpu-512mb", "timeout": 20}
    api.create(function_id, api.runtime(family), **settings)
    api.deploy(function_id, pack(FUNCTIONS / "crash"))
    greedy = api.execute(function_id, path="/memory")
    assert (greedy["status"], greedy["responseStatusCode"]) == ("failed", 500)
    assert "memory" in greedy["errors"].lower()
    assert api.execute(function_id)["status"] == "completed"


def test_ten_megabytes_of_logs_are_cut_and_do_not_hurt(
    family: str, server: Server, api: Api
) -> None:
    function_id = deploy_case(api, family, "flood")
    before = psutil.Process(server.process.pid).memory_info().rss
    execution = api.execute(function_id)
    assert (execution["status"], execution["responseBody"]) == ("completed", "flooded")
    assert len(execution["logs"]) <= LOG_LIMIT_CHARS
    assert execution["logs"].startswith("[WARNING] Logs truncated")
    assert psutil.Process(server.process.pid).memory_info().rss - before < 100 * 1024 * 1024
    again = api.call("GET", f"/functions/{function_id}/executions/{execution['$id']}", 200)
    assert again["logs"] == execution["logs"]


def test_a_guest_sees_no_logs_and_needs_the_role(server: Server, api: Api) -> None:
    function_id = "guarded"
    api.create(function_id, api.runtime("python"), entrypoint="main.py", execute=[])
    api.deploy(function_id, pack(FUNCTIONS / "sdk"))
    with httpx.Client(
        base_url=server.endpoint, headers={"x-appwrite-project": PROJECT}, trust_env=False
    ) as guest:
        refused = guest.post(f"/functions/{function_id}/executions", json={})
        assert (refused.status_code, refused.json()["type"]) == (401, "user_unauthorized")
        api.call(
            "PUT", f"/functions/{function_id}", 200, json={"name": "guarded", "execute": ["guests"]}
        )
        answered = guest.post(f"/functions/{function_id}/executions", json={"path": "/x"})
        assert answered.status_code == 201
        assert (answered.json()["logs"], answered.json()["errors"]) == ("", "")
        listed = guest.get(f"/functions/{function_id}/executions")
        assert (listed.status_code, listed.json()["type"]) == (401, "general_unauthorized_scope")
