"""Executions over HTTP: the function's request, the caller's answer, and permissions."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from minifn.ids import new_id
from minifn.instants import format_instant, now_ms
from minifn.models import Execution
from minifn.tokens import Team, UserClaims
from tests.api.site import SiteServer, create_function, deploy, refusal
from tests.serving import wait_until

pytestmark = pytest.mark.both_ways


@pytest.fixture(scope="module")
def function_id(site: SiteServer) -> Iterator[str]:
    """A deployed function that any caller may execute."""
    with site.admin() as client:
        yield deploy(site, client, execute=["any"])


def jwt(site: SiteServer, user_id: str, **claims: Any) -> str:
    return site.site.tokens.mint_user(
        UserClaims(user_id=user_id, exp=int(time.time()) + 60, **claims)
    )


def run(client: httpx.Client, function_id: str, expect: int = 201, **body: Any) -> Any:
    answer = client.post(f"/functions/{function_id}/executions", json=body)
    assert answer.status_code == expect, answer.text
    return answer.json()


def test_a_synchronous_execution(site: SiteServer, admin: httpx.Client, function_id: str) -> None:
    answer = run(
        admin,
        function_id,
        body="hällo",
        path="/a/b?c=d",
        method="PUT",
        headers={"X-Own": "1", "content-type": "text/x"},
    )
    assert (answer["status"], answer["responseStatusCode"], answer["trigger"]) == (
        "completed",
        200,
        "http",
    )
    assert (answer["requestMethod"], answer["requestPath"]) == ("PUT", "/a/b?c=d")
    assert answer["logs"] == "logged"
    assert answer["scheduledAt"] is None
    assert answer["functionId"] == answer["resourceId"] == function_id
    given = json.loads(answer["responseBody"])
    assert (given["method"], given["path"], given["query"]) == ("PUT", "/a/b", "c=d")
    assert given["body"].encode("latin-1").decode() == "hällo"
    assert given["headers"]["x-own"] == "1"
    assert given["headers"]["x-appwrite-trigger"] == "http"
    assert given["headers"]["x-appwrite-user-id"] == ""
    headers = {item["name"]: item["value"] for item in answer["responseHeaders"]}
    assert headers == {
        "content-type": "application/json", "x-own": "1", "x-appwrite-execution-id": answer["$id"],
    }  # fmt: skip

    stored = admin.get(f"/functions/{function_id}/executions/{answer['$id']}").json()
    assert stored["responseBody"] == ""
    assert {item["name"] for item in stored["responseHeaders"]} == {"content-type"}
    assert {item["name"] for item in stored["requestHeaders"]} == {
        "content-type",
        "x-appwrite-client-ip",
    }
    assert stored["logs"] == "logged"


def test_defaults_of_an_empty_call(admin: httpx.Client, function_id: str) -> None:
    for body in ({}, {"async": False}, None):
        answer = admin.post(f"/functions/{function_id}/executions", json=body)
        given = json.loads(answer.json()["responseBody"])
        assert (given["method"], given["path"], given["body"]) == ("POST", "/", "")


@pytest.mark.parametrize(
    "params",
    [
        {"body": {"a": 1}},
        {"body": "x" * 10_485_761},
        {"path": ""},
        {"path": "/" * 2049},
        {"method": "get"},
        {"method": "TRACE"},
        {"async": "yes"},
        {"headers": ["a"]},
        {"headers": {"x-appwrite-key": "x"}},
        {"headers": {"X-Appwrite-User-Id": "x"}},
        {"headers": {"-a": "x"}},
        {"scheduledAt": "soon"},
    ],
)
def test_params_that_are_refused(
    admin: httpx.Client, function_id: str, params: dict[str, Any]
) -> None:
    answer = admin.post(f"/functions/{function_id}/executions", json=params)
    assert refusal(answer) == (400, "general_argument_invalid")


def test_a_failure_is_data(admin: httpx.Client, function_id: str) -> None:
    answer = run(admin, function_id, path="/fail")
    assert (answer["status"], answer["responseStatusCode"]) == ("failed", 500)
    assert answer["errors"].startswith("it broke")


def test_functions_that_cannot_run(
    site: SiteServer, admin: httpx.Client, guest: httpx.Client
) -> None:
    bare = create_function(admin, execute=[])["$id"]
    path = f"/functions/{bare}/executions"
    assert refusal(admin.post("/functions/unknown/executions", json={})) == (
        404,
        "function_not_found",
    )
    assert refusal(admin.post(path, json={})) == (404, "deployment_not_found")
    assert refusal(guest.post(path, json={})) == (404, "deployment_not_found")
    private = deploy(site, admin, execute=[])
    assert refusal(guest.post(f"/functions/{private}/executions", json={})) == (
        401,
        "user_unauthorized",
    )


def test_disabled_functions_are_for_keys(
    site: SiteServer, admin: httpx.Client, guest: httpx.Client
) -> None:
    disabled = deploy(site, admin, execute=["any"], enabled=False)
    path = f"/functions/{disabled}/executions"
    assert refusal(guest.post(path, json={})) == (404, "function_not_found")
    run(admin, disabled)
    with site.client(x_appwrite_jwt=jwt(site, "u1")) as user:
        assert refusal(user.get(path)) == (404, "function_not_found")
    assert admin.get(path).json()["total"] == 1


@pytest.mark.parametrize(
    ("execute", "claims", "allowed"),
    [
        (["users"], {}, True),
        (["guests"], {}, False),
        (["any"], {}, True),
        (["user:ada"], {}, True),
        (["user:bob"], {}, False),
        (["users/verified"], {}, False),
        (["users/verified"], {"verified": True}, True),
        (["user:ada/unverified"], {}, True),
        (["label:vip"], {"labels": ("vip",)}, True),
        (["label:vip"], {}, False),
        (["team:t"], {"teams": (Team("t", "m", ("owner",)),)}, True),
        (["team:t/owner"], {"teams": (Team("t", "m", ("owner",)),)}, True),
        (["team:t/admin"], {"teams": (Team("t", "m", ("owner",)),)}, False),
        (["member:m"], {"teams": (Team("t", "m"),)}, True),
        ([], {}, False),
    ],
)
def test_execute_roles_of_users(
    site: SiteServer, execute: list[str], claims: dict[str, Any], allowed: bool
) -> None:
    with site.admin() as admin, site.client(x_appwrite_jwt=jwt(site, "ada", **claims)) as user:
        answer = user.post(f"/functions/{deploy(site, admin, execute=execute)}/executions", json={})
    if allowed:
        assert answer.status_code == 201, answer.text
        assert json.loads(answer.json()["responseBody"])["headers"]["x-appwrite-user-id"] == "ada"
    else:
        assert refusal(answer) == (401, "user_unauthorized")


def test_users_see_their_own_without_logs(
    site: SiteServer, admin: httpx.Client, guest: httpx.Client
) -> None:
    shared = deploy(site, admin, execute=["any"])
    path = f"/functions/{shared}/executions"
    with (
        site.client(x_appwrite_jwt=jwt(site, "ada")) as ada,
        site.client(x_appwrite_jwt=jwt(site, "bob")) as bob,
    ):
        mine = run(ada, shared)
        assert (mine["logs"], mine["errors"], mine["$permissions"]) == (
            "",
            "",
            ['read("user:ada")'],
        )
        assert run(guest, shared)["$permissions"] == []
        run(bob, shared)
        listed = ada.get(path).json()
        assert (listed["total"], [item["$id"] for item in listed["executions"]]) == (
            1,
            [mine["$id"]],
        )
        assert ada.get(f"{path}/{mine['$id']}").json()["logs"] == ""
        assert refusal(bob.get(f"{path}/{mine['$id']}")) == (404, "execution_not_found")
        assert refusal(ada.delete(f"{path}/{mine['$id']}")) == (404, "function_not_found")
    assert admin.get(path).json()["total"] == 3
    assert refusal(guest.get(path)) == (401, "general_unauthorized_scope")


def test_a_session_gives_the_function_a_jwt(
    site: SiteServer, guest: httpx.Client, function_id: str
) -> None:
    session = guest.post("/account/sessions/anonymous", json={})
    with site.client(x_appwrite_session=session.headers["x-appwrite-session"]) as user:
        headers = json.loads(run(user, function_id)["responseBody"])["headers"]
    claims = site.site.tokens.verify_user(headers["x-appwrite-user-jwt"])
    assert (claims.user_id, claims.session_id) == (session.json()["userId"], session.json()["$id"])


def test_an_asynchronous_execution(admin: httpx.Client, function_id: str) -> None:
    queued = run(admin, function_id, 202, **{"async": True}, path="/later")
    assert (queued["status"], queued["responseBody"], queued["responseStatusCode"]) == (
        "waiting",
        "",
        0,
    )
    path = f"/functions/{function_id}/executions/{queued['$id']}"

    def finished() -> Any:
        execution = admin.get(path).json()
        return execution if execution["status"] == "completed" else None

    done = wait_until(finished, 10, "the queued execution has run")
    assert (done["requestPath"], done["responseStatusCode"]) == ("/later", 200)


@pytest.mark.parametrize("version", ["1.6.0", "1.8.0", ""])
def test_a_scheduled_execution(site: SiteServer, function_id: str, version: str) -> None:
    minute = (now_ms() // 60_000 + 10) * 60_000
    with site.admin(version) as client:
        path = f"/functions/{function_id}/executions"
        at = format_instant(minute)
        scheduled = run(client, function_id, 202, **{"async": True}, scheduledAt=at)
        assert (scheduled["status"], scheduled["trigger"], scheduled["scheduledAt"]) == (
            "scheduled",
            "schedule",
            at,
        )
        kind = "general_argument_invalid" if version == "1.6.0" else "general_bad_request"
        for wrong in (
            minute + 1000,
            minute + 1,
            now_ms() // 60_000 * 60_000,
            minute - 3_600_000,
            0,
        ):
            answer = client.post(path, json={"async": True, "scheduledAt": format_instant(wrong)})
            assert refusal(answer) == (400, kind)
        assert refusal(client.post(path, json={"scheduledAt": at})) == (400, "general_bad_request")
        assert client.delete(f"{path}/{scheduled['$id']}").status_code == 204
        assert refusal(client.get(f"{path}/{scheduled['$id']}")) == (404, "execution_not_found")


def test_clients_of_1_6_search_executions(
    site: SiteServer, admin: httpx.Client, function_id: str
) -> None:
    first, second = (run(admin, function_id)["$id"] for _ in range(2))

    def found(search: str, version: str) -> set[str]:
        with site.admin(version) as client:
            listed = client.get(
                f"/functions/{function_id}/executions", params={"search": search}
            ).json()
        return {item["$id"] for item in listed["executions"]}

    assert found(first, "1.6.0") == {first}
    assert {first, second} <= found(function_id, "1.6.0")
    assert not found("nothing", "1.6.0")
    assert {first, second} <= found("nothing", "1.8.0")


def test_delete(site: SiteServer, admin: httpx.Client, function_id: str) -> None:
    path = f"/functions/{function_id}/executions"
    done = run(admin, function_id)["$id"]
    assert admin.delete(f"{path}/{done}").status_code == 204
    assert refusal(admin.delete(f"{path}/{done}")) == (404, "execution_not_found")
    running = Execution(id=new_id(), function_id=function_id, status="processing")
    site.store_execution(running)
    assert refusal(admin.delete(f"{path}/{running.id}")) == (400, "execution_in_progress")


def test_executions_of_another_function_do_not_exist(admin: httpx.Client, function_id: str) -> None:
    other = create_function(admin)["$id"]
    mine = run(admin, function_id)["$id"]
    for method in ("GET", "DELETE"):
        answer = admin.request(method, f"/functions/{other}/executions/{mine}")
        assert refusal(answer) == (404, "execution_not_found")


def test_filters(site: SiteServer, admin: httpx.Client) -> None:
    filtered = deploy(site, admin, execute=["any"])
    run(admin, filtered)
    failed = run(admin, filtered, path="/fail")["$id"]

    def ids(*texts: str) -> list[str]:
        params = {f"queries[{index}]": text for index, text in enumerate(texts)}
        answer = admin.get(f"/functions/{filtered}/executions", params=params)
        return [item["$id"] for item in answer.json()["executions"]]

    assert ids('{"method":"equal","attribute":"status","values":["failed"]}') == [failed]
    assert ids('{"method":"greaterThan","attribute":"responseStatusCode","values":[499]}') == [
        failed
    ]
    assert ids('{"method":"orderDesc"}', '{"method":"limit","values":[1]}') == [failed]


def test_multipart_in_and_out(admin: httpx.Client, function_id: str) -> None:
    path = f"/functions/{function_id}/executions"
    answer = admin.post(
        path,
        files={
            "body": (None, b"\xff\x00"),
            "path": (None, "/x"),
            "headers": (None, '{"a":"b"}'),
            "async": (None, "false"),
        },
        headers={"accept": "multipart/form-data"},
    )
    assert answer.status_code == 201, answer.text
    kind = answer.headers["content-type"]
    assert kind.startswith("multipart/form-data; boundary=-----------------------------")
    received = answer.content.split(b"--" + kind.partition("boundary=")[2].encode())
    fields = {}
    for part in received[1:-1]:
        head, _, value = part.removeprefix(b"\r\n").removesuffix(b"\r\n").partition(b"\r\n\r\n")
        fields[head.partition(b'name="')[2].partition(b'"')[0].decode()] = value
    given = json.loads(fields["responseBody"])
    assert (given["body"], given["path"], given["headers"]["a"]) == ("\xff\x00", "/x", "b")
    assert fields["responseStatusCode"] == b"200"
    assert fields["scheduledAt"] == b""
    assert json.loads(fields["responseHeaders"])[0]["name"] == "content-type"
    later = admin.post(path, json={"async": True}, headers={"accept": "multipart/form-data"})
    assert (later.status_code, later.headers["content-type"][:19]) == (202, "multipart/form-data")


def test_bytes_that_are_not_text_need_multipart(admin: httpx.Client, function_id: str) -> None:
    path = f"/functions/{function_id}/executions"
    for accept in ("*/*", "application/json", "application/json, multipart/form-data"):
        refused = admin.post(path, json={"path": "/binary"}, headers={"accept": accept})
        assert refusal(refused) == (400, "general_unknown")
        assert refused.json()["message"].startswith("Failed to parse response")
    taken = admin.post(
        path, json={"path": "/binary"}, headers={"accept": "multipart/form-data, application/json"}
    )
    assert taken.status_code == 201
    assert b"\xff\xfe" in taken.content


def test_the_cap_of_synchronous_executions(site: SiteServer, admin: httpx.Client) -> None:
    slow = deploy(site, admin, timeout=900)
    path = f"/functions/{slow}/executions"
    assert refusal(admin.post(path, json={"path": "/slow"})) == (
        408,
        "function_synchronous_timeout",
    )
    stored = admin.get(path).json()["executions"][0]
    assert (stored["status"], stored["responseStatusCode"]) == ("failed", 500)
    assert stored["errors"].endswith("\nError Code: 408")


def test_shapes_of_executions(site: SiteServer, function_id: str) -> None:
    with site.admin("1.6.0") as old, site.admin("1.3.0") as older:
        assert "deploymentId" not in run(old, function_id)
        answer = run(older, function_id, data="from before")
        assert json.loads(answer["response"])["body"] == "from before"
        assert (answer["statusCode"], answer["stdout"]) == (200, "logged")


@pytest.mark.parametrize(
    ("given", "host", "port"),
    [
        ("[::1]:8000", "[::1]", 8000),
        ("[2001:db8::1]", "[2001:db8::1]", 80),
        ("[::1]:x", "[::1]", 80),
        ("name:81", "name", 81),
        ("name", "name", 80),
        ("name:99999999", "name", 80),
        ("[broken", "[broken", 80),
    ],
)
def test_a_function_sees_the_host_of_the_request(
    site: SiteServer, admin: httpx.Client, given: str, host: str, port: int
) -> None:
    function_id = deploy(site, admin, execute=["any"])
    admin.post(f"/functions/{function_id}/executions", json={"headers": {"host": given}})
    called = site.site.pool.requests[-1]
    assert (called.host, called.port) == (host, port)
