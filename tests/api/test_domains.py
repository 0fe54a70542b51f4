"""Functions on their own domains: requests, answers and refusals."""

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from minifn.config import Config, ConfigError
from minifn.limits import BODY_LIMIT_BYTES
from tests.cli.test_cli import minifn
from tests.serving import Api, Server, pack

DOMAIN = "functions.localhost"
ECHO = b"""

ANSWERS = {
    "/teapot": lambda res: res.text("short", 418, {
        "x-kind": "stout", "set-cookie": "a=1", "date": "today",
    }),
    "/empty": lambda res: res.empty(),
    "/cookie": lambda res: res.text("x", 200, {
        "set-cookie": "Domain=1; Path=/; DOMAIN =functions.localhost;domain=x",
    }),
    "/gone": lambda res: res.text("", 410, {"content-encoding": "gzip", "x-kept": "1"}),
    "/binary": lambda res: res.binary(bytes(range(256))),
    "/hop": lambda res: res.text("x", 200, {
        "connection": "upgrade", "transfer-encoding": "gzip", "upgrade": "x",
        "content-length": "99",
        "x-open-runtimes-secret": "1", "x-kept": "1",
    }),
    "/unicode": lambda res: res.text("x", 200, {"x-latin": "\\u00e9", "x-beyond": "\\u2713"}),
    "/switch": lambda res: res.text("never", 101),
    "/beyond": lambda res: res.text("odd", 799),
    "/raise": lambda res: 1 / 0,
}

def main(context):
    req, res = context.req, context.res
    context.log("<before> " + req.path)
    if req.path in ANSWERS:
        return ANSWERS[req.path](res)
    if req.path == "/length":
        return res.text(str(len(req.body_binary)))
    return res.json({
        "method": req.method, "path": req.path, "query": req.query_string,
        "host": req.host, "port": req.port,
        "body": req.body_binary.hex(), "headers": req.headers,
    })
"""


def visit(
    server: Server, host: str, method: str = "GET", path: str = "/", **request: Any
) -> httpx.Response:
    headers = [("host", f"{host}:{server.port}"), *request.pop("headers", [])]
    return httpx.request(
        method, f"{server.url}{path}", headers=headers, trust_env=False, timeout=30, **request
    )


def kind(answer: httpx.Response) -> tuple[int, str]:
    """The status and type of an error in JSON."""
    assert answer.json()["code"] == answer.status_code
    return answer.status_code, answer.json()["type"]


@pytest.fixture(scope="module")
def echo(server: Server) -> Iterator[str]:
    with server.api as api:
        api.create("domain-echo", api.runtime("python"), execute=["any"], entrypoint="main.py")
        api.deploy("domain-echo", pack(extra={"main.py": ECHO}))
        yield f"domain-echo.{DOMAIN}"


def test_every_method_path_query_and_byte_reaches_the_function(server: Server, echo: str) -> None:
    headers = [("x-mine", "1"), ("x-mine", "2"), ("cookie", "a=1"), ("cookie", "b=2")]
    answer = visit(
        server,
        echo,
        "PATCH",
        "/v1/functions%2F?a=%20b&c",
        content=bytes(range(256)),
        headers=headers,
    )
    assert answer.status_code == 200
    seen = answer.json()
    # Python decodes path and query, as upstream.
    assert (seen["method"], seen["path"], seen["query"]) == ("PATCH", "/v1/functions/", "a= b&c")
    assert bytes.fromhex(seen["body"]) == bytes(range(256))
    assert (seen["host"], seen["port"]) == (echo, server.port)
    assert seen["headers"]["x-mine"] == "1, 2"
    assert seen["headers"]["cookie"] == "a=1; b=2"
    assert seen["headers"]["x-appwrite-trigger"] == "http"
    assert seen["headers"]["x-appwrite-client-ip"] == "127.0.0.1"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
def test_methods(server: Server, echo: str, method: str) -> None:
    answer = visit(server, echo, method, headers=[("origin", "http://elsewhere.test")])
    assert answer.json()["method"] == method
    assert "access-control-allow-origin" not in answer.headers


def test_headers_of_the_connection_are_not_forwarded(server: Server, echo: str) -> None:
    given = [
        ("connection", "keep-alive"),
        ("te", "trailers"),
        ("proxy-authorization", "x"),
        ("upgrade", "h2c"),
    ]
    seen = visit(server, echo, headers=given).json()["headers"]
    assert not {name for name, _ in given} & set(seen)
    answer = visit(server, echo, path="/hop")
    assert answer.text == "x"
    assert (answer.headers["content-length"], answer.headers["x-kept"]) == ("1", "1")
    assert not {"connection", "transfer-encoding", "upgrade", "x-open-runtimes-secret"} & set(
        answer.headers
    )


def test_the_caller_cannot_set_headers_of_the_server(server: Server, echo: str) -> None:
    names = ("user-id", "user-jwt", "event", "trigger", "key", "client-ip", "execution-id")
    given = [*(f"x-appwrite-{name}" for name in names), "x-open-runtimes-secret"]
    headers = visit(server, echo, headers=[(name, "forged") for name in given]).json()["headers"]
    assert "forged" not in headers.values()
    assert "x-appwrite-event" not in headers


def test_the_answer_is_unchanged_and_recorded(server: Server, echo: str, api: Api) -> None:
    answer = visit(server, echo, path="/teapot?x=1")
    assert (answer.status_code, answer.text) == (418, "short")
    assert (answer.headers["x-kind"], answer.headers["set-cookie"]) == ("stout", "a=1")
    (date,) = answer.headers.get_list("date")
    assert date.endswith("GMT")
    path = f"/functions/domain-echo/executions/{answer.headers['x-appwrite-execution-id']}"
    execution = api.call("GET", path, 200)
    assert (execution["trigger"], execution["requestMethod"]) == ("http", "GET")
    assert (execution["requestPath"], execution["responseStatusCode"]) == ("/teapot?x=1", 418)
    assert execution["$permissions"] == []


def test_bytes_and_headers_beyond_ascii(server: Server, echo: str) -> None:
    assert visit(server, echo, path="/binary").content == bytes(range(256))
    raw = dict(visit(server, echo, path="/unicode").headers.raw)
    assert (raw[b"x-latin"], raw[b"x-beyond"]) == ("\u00e9".encode("latin-1"), "\u2713".encode())


def test_a_cookie_of_one_function_is_not_sent_to_others(
    server: Server, echo: str, api: Api
) -> None:
    assert visit(server, echo, path="/cookie").headers["set-cookie"] == "Domain=1; Path=/"
    # The owner of a domain decides which hosts share its cookies.
    given = {"domain": "cookies.test", "functionId": "domain-echo"}
    api.call("POST", "/proxy/rules/function", 201, json=given)
    assert (
        "functions.localhost" in visit(server, "cookies.test", path="/cookie").headers["set-cookie"]
    )


def test_an_answer_without_a_body_stays_empty(server: Server, echo: str) -> None:
    answer = visit(server, echo, path="/empty")
    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-length" not in answer.headers


@pytest.mark.parametrize(("path", "status"), [("/raise", 500), ("/gone", 410)])
def test_an_error_without_a_body_becomes_a_page_or_json(
    server: Server, echo: str, path: str, status: int
) -> None:
    page = visit(server, echo, path=path)
    assert (page.status_code, page.headers["content-type"]) == (status, "text/html; charset=UTF-8")
    assert f"Error {status}" in page.text
    assert page.headers["x-appwrite-execution-id"]
    assert page.headers.get("x-kept", "1") == "1"
    said = visit(server, echo, path=path, headers=[("accept", "application/json")])
    assert kind(said) == (status, "general_unknown")


def signed_in(server: Server, host: str) -> str:
    """The cookie of the operator's session at a host."""
    given = {"email": "a@b.test", "password": server.key}
    answer = visit(
        server, "localhost", "POST", "/v1/account/sessions/email", json=given,
        headers=[("x-appwrite-project", "console")],
    )  # fmt: skip
    assert answer.status_code == 201
    return answer.headers["set-cookie"].partition(";")[0]


def test_an_error_page_has_the_execution_and_for_the_operator_its_output(
    server: Server, echo: str, api: Api
) -> None:
    def page(*headers: tuple[str, str]) -> str:
        answer = visit(server, echo, path="/raise", headers=headers)
        assert answer.status_code == 500
        assert answer.headers["x-appwrite-execution-id"] in answer.text
        shown = "ZeroDivisionError" in answer.text
        assert shown == ("&lt;before&gt; /raise" in answer.text)
        assert shown == (answer.headers.get("cache-control") == "no-store")
        return answer.text

    assert "ZeroDivisionError" not in page()
    assert "ZeroDivisionError" in page(("x-appwrite-key", server.key))
    assert "ZeroDivisionError" in page(("cookie", signed_in(server, echo)))
    for origin in ("http://elsewhere.test", f"http://other.{DOMAIN}:{server.port}"):
        foreign = page(("cookie", signed_in(server, echo)), ("origin", origin))
        assert "ZeroDivisionError" not in foreign
    for scope, reads in (("functions.read", False), ("executions.read", True)):
        given = {"keyId": "unique()", "name": "x", "scopes": [scope]}
        key = api.call("POST", "/project/keys", 201, json=given)["secret"]
        assert ("ZeroDivisionError" in page(("x-appwrite-key", key))) is reads
    assert "ZeroDivisionError" not in page(("x-appwrite-key", "wrong"))
    for function, reads in (("other", False), ("domain-*", True)):
        options = ("--name", "x", "--scope", "executions.read", "--function", function)
        made = minifn("keys", "create", *options, "--data", str(server.data))
        assert ("ZeroDivisionError" in page(("x-appwrite-key", made.stdout.strip()))) is reads


@pytest.mark.parametrize(("path", "text"), [("/switch", "never"), ("/beyond", "odd")])
def test_a_status_that_ends_no_answer_is_an_error(
    server: Server, echo: str, path: str, text: str
) -> None:
    answer = visit(server, echo, path=path)
    assert (answer.status_code, answer.text) == (500, text)


def test_only_functions_open_to_guests_answer(server: Server, api: Api) -> None:
    as_json = [("accept", "application/json"), ("x-appwrite-key", server.key)]
    host = f"domain-closed.{DOMAIN}"
    assert kind(visit(server, host, headers=as_json)) == (404, "rule_not_found")
    api.create("domain-closed", api.runtime("python"), execute=["users"], entrypoint="main.py")
    assert "No active deployments" in (page := visit(server, host).text)
    assert "View deployments" in page
    assert kind(visit(server, host, headers=as_json)) == (404, "deployment_not_found")
    api.deploy("domain-closed", pack(extra={"main.py": ECHO}))
    assert "Execution not permitted" in (page := visit(server, host).text)
    assert "View settings" in page
    assert kind(visit(server, host, headers=as_json)) == (
        401,
        "function_execute_permission_missing",
    )
    api.call(
        "PUT",
        "/functions/domain-closed",
        200,
        json={"name": "x", "execute": ["guests"], "enabled": False},
    )
    assert kind(visit(server, host, headers=as_json)) == (404, "function_not_found")
    api.call("PUT", "/functions/domain-closed", 200, json={"name": "x", "execute": ["guests"]})
    assert visit(server, host).status_code == 200
    api.call("DELETE", "/functions/domain-closed", 204)
    assert kind(visit(server, host, headers=as_json)) == (404, "rule_not_found")


@pytest.mark.parametrize("host", ["nobody", "", "a.b.c", "%00", "<script>"])
def test_an_unknown_domain_is_a_page_or_json(server: Server, host: str) -> None:
    page = visit(server, f"{host}.{DOMAIN}")
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=UTF-8")
    assert "Nothing is here yet" in page.text
    assert "Start with this domain" in page.text
    assert "<script" not in page.text
    said = visit(server, f"{host}.{DOMAIN}", headers=[("accept", "application/json")])
    assert kind(said) == (404, "rule_not_found")
    browser = visit(
        server, f"{host}.{DOMAIN}", headers=[("accept", "text/html, application/json;q=0.9")]
    )
    assert browser.headers["content-type"].startswith("text/html")


def test_a_rule_counts_at_once_and_so_does_its_end(server: Server, echo: str, api: Api) -> None:
    rule = api.call(
        "POST",
        "/proxy/rules/function",
        201,
        json={"domain": "echo.test", "functionId": "domain-echo"},
    )
    assert visit(server, "ECHO.test").json()["host"] == "ECHO.test"
    api.call("DELETE", f"/proxy/rules/{rule['$id']}", 204)
    assert kind(visit(server, "echo.test", headers=[("accept", "application/json")])) == (
        404,
        "general_route_not_found",
    )


def test_a_rule_below_the_functions_domain_comes_before_ids(
    server: Server, echo: str, api: Api
) -> None:
    given = {"domain": f"alias.{DOMAIN}", "functionId": "domain-echo"}
    api.call("POST", "/proxy/rules/function", 201, json=given)
    assert visit(server, f"alias.{DOMAIN}").json()["host"] == f"alias.{DOMAIN}"


def test_a_domain_ends_with_its_function(server: Server, api: Api) -> None:
    api.create("domain-gone", api.runtime("python"), execute=["any"], entrypoint="main.py")
    api.call(
        "POST",
        "/proxy/rules/function",
        201,
        json={"domain": "gone.test", "functionId": "domain-gone"},
    )
    assert "No active deployments" in visit(server, "gone.test").text
    api.call("DELETE", "/functions/domain-gone", 204)
    assert kind(visit(server, "gone.test", headers=[("accept", "application/json")])) == (
        404,
        "general_route_not_found",
    )


def test_an_id_in_upper_case_has_a_domain_too(server: Server, api: Api) -> None:
    api.create("Domain_Upper.x", api.runtime("python"), execute=["any"], entrypoint="main.py")
    assert "No active deployments" in visit(server, f"domain_upper.x.{DOMAIN}").text
    same = {"functionId": "domain_upper.x", "name": "x", "runtime": api.runtime("python")}
    assert "Host names know no case" in api.call("POST", "/functions", 409, json=same)["message"]


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "[::1]", "api.example.test", DOMAIN, f"x{DOMAIN}"]
)
def test_other_hosts_reach_the_api(server: Server, host: str) -> None:
    assert visit(server, host, path="/v1/health/version").json()["version"]


def test_bodies_up_to_the_limit(server: Server, echo: str) -> None:
    full = bytes(BODY_LIMIT_BYTES)
    assert visit(server, echo, "POST", "/length", content=full).text == str(BODY_LIMIT_BYTES)
    announced = visit(server, echo, "POST", "/length", content=full + b"x")
    assert announced.status_code == 413
    chunks = (bytes(1024 * 1024) for _ in range(21))
    streamed = visit(
        server, echo, "POST", "/length", content=chunks, headers=[("accept", "application/json")]
    )
    assert kind(streamed) == (413, "general_request_too_large")


def test_websockets_are_refused_with_an_error(server: Server, echo: str) -> None:
    key = base64.b64encode(bytes(16)).decode()
    handshake = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
    ]
    handshake += [("sec-websocket-key", key), ("accept", "application/json")]
    answer = visit(server, echo, headers=handshake)
    assert kind(answer) == (405, "general_not_implemented")
    assert "WebSockets do not reach functions" in answer.json()["message"]
    # Visitors write nothing into the server's log.
    assert "handshake" not in server.log.read_text()


@pytest.mark.parametrize("domain", ["functions.localhost:8000", "", "a b", "http://x", ".x"])
def test_the_setting_is_a_domain(domain: str) -> None:
    with pytest.raises(ConfigError, match="MINIFN_FUNCTIONS_DOMAIN"):
        Config(functions_domain=domain)


def test_the_setting_may_be_upper_case_and_one_label() -> None:
    assert Config(functions_domain="LocalHost").functions_domain == "localhost"
