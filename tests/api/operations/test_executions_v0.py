"""Clients of Appwrite 0.7 and 0.8, and differences for clients before 1.4."""

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from minifn.tokens import UserClaims
from tests.api.site import RUNTIME, SiteServer, create_function, deploy
from tests.serving import wait_until

pytestmark = pytest.mark.both_ways

KEYS_0_8 = {
    "$id",
    "functionId",
    "dateCreated",
    "trigger",
    "status",
    "exitCode",
    "stdout",
    "stderr",
    "time",
}


@pytest.fixture(scope="module")
def function_id(site: SiteServer) -> str:
    """A deployed function that any caller may execute."""
    with site.admin() as client:
        return deploy(site, client, execute=["any"])


def token(site: SiteServer, user_id: str) -> str:
    return site.site.tokens.mint_user(UserClaims(user_id=user_id, exp=int(time.time()) + 60))


def finished(client: httpx.Client, function_id: str, execution_id: str) -> Any:
    def over() -> Any:
        found = client.get(f"/functions/{function_id}/executions/{execution_id}").json()
        return found if found["status"] in ("completed", "failed") else None

    return wait_until(over, 10, "the execution is over")


def test_an_execution_is_always_queued(site: SiteServer, function_id: str) -> None:
    with site.admin("0.8.0") as old:
        path = f"/functions/{function_id}/executions"
        created = old.post(path, json={"data": "hello", "async": False})
        made = created.json()
        assert (created.status_code, made["status"], made["trigger"]) == (201, "waiting", "http")
        assert set(made) == KEYS_0_8
        assert abs(made["dateCreated"] - time.time()) < 60
        done = finished(old, function_id, made["$id"])
        assert (done["status"], done["exitCode"], done["stderr"]) == ("completed", 0, "")
        logged, answer = done["stdout"].split("\n")
        assert (logged, json.loads(answer)["body"]) == ("logged", "hello")
        [listed] = [
            item for item in old.get(path).json()["executions"] if item["$id"] == made["$id"]
        ]
        assert listed["stdout"] == done["stdout"]
        with site.admin("1.3.0") as newer:
            assert newer.get(f"{path}/{made['$id']}").json()["stdout"] == "logged"
        assert site.site.pool.requests[-1].body == b"hello"
        assert (
            old.post(f"/functions/{function_id}/executions", json={"data": "x" * 8193}).status_code
            == 400
        )


def test_0_7_shows_read_permissions(site: SiteServer, function_id: str) -> None:
    with site.client("0.7.0", x_appwrite_jwt=token(site, "ada")) as old:
        made = old.post(f"/functions/{function_id}/executions", json={}).json()
        assert set(made) == {*KEYS_0_8, "$permissions"}
        assert made["$permissions"] == {"read": ["user:ada"], "write": []}
        assert json.loads(finished(old, function_id, made["$id"])["stdout"])["method"] == "POST"


def test_lists_by_offset(site: SiteServer, admin: httpx.Client) -> None:
    function_id = deploy(site, admin)
    made = [
        admin.post(f"/functions/{function_id}/executions", json={}).json()["$id"] for _ in range(4)
    ]
    path = f"/functions/{function_id}/executions"

    def listed(client: httpx.Client, **params: Any) -> list[str]:
        found = client.get(path, params=params).json()
        assert (set(found), found["sum"]) == ({"sum", "executions"}, 4)
        return [item["$id"] for item in found["executions"]]

    with site.admin("0.8.0") as old:
        assert listed(old) == made
        assert listed(old, orderType="DESC", limit=2) == made[:1:-1]
        assert listed(old, offset=3, limit=100) == made[3:]
        assert listed(old, limit=0) == []
        assert old.get(path, params={"search": made[1]}).json()["sum"] == 1
        for wrong in ({"limit": 101}, {"offset": 2001}, {"orderType": "asc"}, {"limit": -1}):
            answer = old.get(path, params=wrong)
            assert answer.status_code == 400
            assert set(answer.json()) == {"message", "code", "version"}
    assert admin.get(path, params={"limit": 1000}).json()["total"] == 4


def test_errors_without_a_type(site: SiteServer) -> None:
    with site.client("0.8.0") as old:
        for method, path, status in (
            ("POST", "/functions/unknown/executions", 404),
            ("GET", "/functions/unknown/executions", 401),
            ("GET", "/nowhere", 404),
        ):
            answer = old.request(method, path)
            assert (answer.status_code, set(answer.json())) == (
                status,
                {"message", "code", "version"},
            )


def test_sixty_executions_a_minute(tmp_path: Path) -> None:
    with (
        SiteServer(tmp_path / "data") as site,
        site.client("0.8.0") as old,
        site.admin("0.8.0") as admin,
    ):
        path = "/functions/unknown/executions"
        for used in range(1, 61):
            answer = old.post(path, json={})
            assert answer.status_code == 404
            assert answer.headers["x-ratelimit-limit"] == "60"
            assert answer.headers["x-ratelimit-remaining"] == str(60 - used)
            assert int(answer.headers["x-ratelimit-reset"]) % 60 == 0
        answer = old.post("/functions/-bad/executions", json={}, headers={"host": "another.test"})
        assert (answer.status_code, answer.headers["x-ratelimit-remaining"]) == (429, "0")
        by_key = admin.post(path, json={})
        assert (by_key.status_code, by_key.headers["x-ratelimit-limit"]) == (404, "60")
        assert "x-ratelimit-limit" not in old.get(path).headers
        with site.client() as newer:
            answer = newer.post(path, json={})
            assert (answer.status_code, "x-ratelimit-limit" in answer.headers) == (404, False)


def test_commands_before_1_4(site: SiteServer, admin: httpx.Client) -> None:
    with site.admin("1.3.0") as old:
        function = create_function(old, commands="ignored")
        assert function["commands"] == "pip install --no-cache-dir -r requirements.txt"
        path = f"/functions/{function['$id']}"
        assert (
            old.put(path, json={"name": "b", "commands": "x"}).json()["commands"]
            == function["commands"]
        )
        node = old.put(path, json={"name": "b", "runtime": "node-22"}).json()
        assert node["commands"] == "npm install"
        assert create_function(old, runtime="go-1.23")["commands"] == ""
    assert create_function(admin, commands="make", runtime=RUNTIME)["commands"] == "make"


def test_users_see_their_own(site: SiteServer, function_id: str) -> None:
    with site.client("0.8.0", x_appwrite_jwt=token(site, "eve")) as old:
        made = old.post(
            f"/functions/{function_id}/executions", content=json.dumps({"data": "x"}).encode()
        ).json()
        found = old.get(f"/functions/{function_id}/executions").json()
        assert found["sum"] == 1
        assert found["executions"][0]["$id"] == made["$id"]
        with site.client("0.8.0", x_appwrite_jwt=token(site, "bob")) as other:
            assert (
                other.get(f"/functions/{function_id}/executions/{made['$id']}").status_code == 404
            )
