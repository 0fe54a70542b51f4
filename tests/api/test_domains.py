"""Functions on their own domains: what reaches them, what comes back, and who is refused."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.serving import Api, Server, pack

ECHO = b"""
import json

def main(context):
    req, res = context.req, context.res
    if req.path == "/teapot":
        return res.text("short", 418, {"x-kind": "stout", "set-cookie": "a=1"})
    if req.path == "/empty":
        return res.empty()
    if req.path == "/gone":
        return res.text("", 410, {"content-encoding": "gzip", "x-kept": "1"})
    if req.path == "/raise":
        raise RuntimeError("no")
    return res.json({
        "method": req.method, "path": req.path, "query": req.query_string, "host": req.host,
        "body": req.body_binary.hex(), "headers": req.headers,
    })
"""


def visit(server: Server, host: str, method: str = "GET", path: str = "/", **request: Any) -> httpx.Response:
    headers = [("host", f"{host}:{server.port}"), *request.pop("headers", [])]
    return httpx.request(method, f"{server.url}{path}", headers=headers, trust_env=False, timeout=30, **request)


@pytest.fixture(scope="module")
def echo(server: Server) -> Iterator[str]:
    with server.api as api:
        api.create("domain-echo", api.runtime("python"), execute=["any"], entrypoint="main.py")
        api.deploy("domain-echo", pack(extra={"main.py": ECHO}))
        yield "domain-echo.functions.localhost"


def test_every_method_path_query_and_byte_reaches_the_function(server: Server, echo: str) -> None:
    headers = [("x-mine", "1"), ("x-mine", "2"), ("cookie", "a=1"), ("cookie", "b=2")]
    answer = visit(server, echo, "PATCH", "/v1/functions?a=%20b&c", content=bytes(range(256)), headers=headers)
    assert answer.status_code == 200
    seen = answer.json()
    assert (seen["method"], seen["path"], seen["query"]) == ("PATCH", "/v1/functions", "a=%20b&c")
    assert bytes.fromhex(seen["body"]) == bytes(range(256))
    assert seen["host"] == echo
    assert seen["headers"]["x-mine"] == "1, 2"
    assert seen["headers"]["cookie"] == "a=1; b=2"
    assert seen["headers"]["x-appwrite-trigger"] == "http"
    assert seen["headers"]["x-appwrite-client-ip"] == "127.0.0.1"


def test_options_reaches_the_function_and_gets_no_headers_of_the_api(server: Server, echo: str) -> None:
    answer = visit(server, echo, "OPTIONS", headers=[("origin", "http://elsewhere.test")])
    assert answer.json()["method"] == "OPTIONS"
    assert "access-control-allow-origin" not in answer.headers


def test_the_caller_cannot_say_what_the_server_says(server: Server, echo: str) -> None:
    forged = [("x-appwrite-user-id", "root"), ("x-appwrite-event", "users.x.create"), ("x-appwrite-trigger", "event")]
    headers = visit(server, echo, headers=forged).json()["headers"]
    assert headers["x-appwrite-user-id"] == ""
    assert headers["x-appwrite-trigger"] == "http"
    assert headers.get("x-appwrite-event", "") == ""


def test_the_answer_goes_out_as_it_is_and_is_recorded(server: Server, echo: str, api: Api) -> None:
    answer = visit(server, echo, path="/teapot?x=1")
    assert (answer.status_code, answer.text) == (418, "short")
    assert (answer.headers["x-kind"], answer.headers["set-cookie"]) == ("stout", "a=1")
    path = f"/functions/domain-echo/executions/{answer.headers['x-appwrite-execution-id']}"
    execution = api.call("GET", path, 200)
    assert (execution["trigger"], execution["requestMethod"]) == ("http", "GET")
    assert (execution["requestPath"], execution["responseStatusCode"]) == ("/teapot?x=1", 418)
    assert execution["$permissions"] == []


def test_an_answer_without_a_body_stays_empty(server: Server, echo: str) -> None:
    answer = visit(server, echo, path="/empty")
    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-length" not in answer.headers


@pytest.mark.parametrize(("path", "status"), [("/raise", 500), ("/gone", 410)])
def test_an_error_without_a_body_becomes_a_page_or_json(server: Server, echo: str, path: str, status: int) -> None:
    page = visit(server, echo, path=path)
    assert (page.status_code, page.headers["content-type"]) == (status, "text/html; charset=UTF-8")
    assert f"Error {status}" in page.text
    assert page.headers["x-appwrite-execution-id"]
    said = visit(server, echo, path=path, headers=[("accept", "application/json")])
    assert (said.status_code, said.json()["code"]) == (status, status)


def test_head_has_no_body(server: Server, echo: str) -> None:
    answer = visit(server, echo, "HEAD")
    assert (answer.status_code, answer.content) == (200, b"")


def test_only_functions_open_to_guests_answer(server: Server, api: Api) -> None:
    api.create("domain-closed", api.runtime("python"), execute=["users"], entrypoint="main.py")
    host = "domain-closed.functions.localhost"
    assert "No active deployments" in visit(server, host).text
    api.deploy("domain-closed", pack(extra={"main.py": ECHO}))
    refused = visit(server, host, headers=[("x-appwrite-key", server.key)])
    assert refused.status_code == 401
    assert "Execution not permitted" in refused.text
    api.call("PUT", "/functions/domain-closed", 200, json={"name": "x", "execute": ["guests"], "enabled": False})
    assert visit(server, host).status_code == 404
    api.call("PUT", "/functions/domain-closed", 200, json={"name": "x", "execute": ["guests"]})
    assert visit(server, host).status_code == 200


def test_a_domain_nobody_has_is_a_page_or_json(server: Server) -> None:
    page = visit(server, "nobody.functions.localhost")
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=UTF-8")
    assert "Nothing is here yet" in page.text
    said = visit(server, "nobody.functions.localhost", headers=[("accept", "application/json")])
    assert json.loads(said.text)["type"] == "rule_not_found"


def test_a_rule_gives_a_function_a_domain(server: Server, echo: str, api: Api) -> None:
    rule = api.call("POST", "/proxy/rules/function", 201, json={"domain": "echo.test", "functionId": "domain-echo"})
    assert visit(server, "echo.test").json()["host"] == "echo.test"
    api.call("DELETE", f"/proxy/rules/{rule['$id']}", 204)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "api.example.test"])
def test_other_hosts_reach_the_api(server: Server, host: str) -> None:
    assert visit(server, host, path="/v1/health/version").json()["version"]
