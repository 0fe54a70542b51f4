"""Rules of every answer: routes, errors, CORS, and the small public operations."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from minifn.api import OPERATIONS, create_app
from minifn.api.wire.params import fields_of
from tests.api.site import Site, SiteServer, create_function, refusal


def test_the_public_operations(guest: httpx.Client) -> None:
    with httpx.Client(base_url=guest.base_url, trust_env=False) as anonymous:
        ping = anonymous.get("/ping")
        assert (ping.status_code, ping.text) == (200, "Pong!")
        assert ping.headers["content-type"].startswith("text/plain")
        version = anonymous.get(
            "/health/version", headers={"x-appwrite-project": "console"}
        ).json()["version"]
        assert version.startswith("1.")
        assert anonymous.get("/health").json()["status"] == "pass"
    runtimes = guest.get("/functions/runtimes").json()
    assert runtimes["total"] == len(runtimes["runtimes"]) > 0
    python = next(item for item in runtimes["runtimes"] if item["key"] == "python")
    assert set(python) == {"$id", "key", "name", "version", "base", "image", "logo", "supports"}


def test_specifications(site: SiteServer, admin: httpx.Client) -> None:
    answer = admin.get("/functions/specifications", params={"type": "runtimes"}).json()
    assert (answer["total"], len(answer["specifications"])) == (9, 9)
    assert answer["specifications"][0] == {
        "memory": 512,
        "cpus": 0.5,
        "enabled": True,
        "slug": "s-0.5vcpu-512mb",
    }


def test_templates(guest: httpx.Client) -> None:
    listed = guest.get("/functions/templates").json()
    assert (listed["total"], listed["templates"][0]["id"]) == (1, "starter")
    runtimes = {item["name"] for item in listed["templates"][0]["runtimes"]}
    assert any(name.startswith("python-") for name in runtimes)
    assert guest.get("/functions/templates/starter").json() == listed["templates"][0]
    assert refusal(guest.get("/functions/templates/unknown")) == (
        404,
        "function_template_not_found",
    )
    for params, total in (
        ({"useCases[]": "starter", "runtimes[]": min(runtimes)}, 1),
        ({"useCases[]": "ai"}, 0),
        ({"runtimes[]": "swift-5.5"}, 0),
        ({"offset": "1"}, 1),
        ({"total": "false"}, 0),
    ):
        assert guest.get("/functions/templates", params=params).json()["total"] == total
    assert guest.get("/functions/templates", params={"offset": "1"}).json()["templates"] == []
    for wrong in (
        {"limit": "0"},
        {"useCases[]": "games"},
        {"runtimes[]": "cobol-60"},
        {"offset": "5001"},
    ):
        assert refusal(guest.get("/functions/templates", params=wrong)) == (
            400,
            "general_argument_invalid",
        )


def test_runtimes_before_1_6_have_no_key(site: SiteServer) -> None:
    with site.client("1.5.0") as client:
        assert "key" not in client.get("/functions/runtimes").json()["runtimes"][0]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nothing"),
        ("POST", "/functions/x"),
        ("PATCH", "/functions"),
        ("GET", "/functions/"),
        ("GET", ""),
    ],
)
def test_unknown_routes(admin: httpx.Client, method: str, path: str) -> None:
    answer = admin.request(method, path)
    assert refusal(answer) == (404, "general_route_not_found")
    assert answer.headers["cache-control"] == "no-cache, no-store, must-revalidate"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("method", "path", "service"),
    [
        ("GET", "/databases", "Databases"),
        ("POST", "/tablesdb/x/tables", "TablesDB"),
        ("POST", "/storage/buckets/b/files", "Storage"),
        ("POST", "/messaging/messages/email", "Messaging"),
        ("POST", "/account", "Account"),
        ("GET", "/avatars/initials", "Avatars"),
        ("GET", "/locale", "Locale"),
        ("POST", "/graphql", "GraphQL"),
        ("POST", "/teams", "Teams"),
        ("DELETE", "/users/x", "Users"),
        ("GET", "/sites", "Sites"),
    ],
)
def test_a_service_that_is_missing_is_named(
    admin: httpx.Client, method: str, path: str, service: str
) -> None:
    answer = admin.request(method, path)
    assert refusal(answer) == (404, "general_route_not_found")
    assert f" service {service}. " in answer.json()["message"]


def test_outside_the_api_errors_are_pages(site: SiteServer) -> None:
    for path in ("/nothing", "/v10", "/docs/nothing"):
        with httpx.Client(base_url=f"http://127.0.0.1:{site.port}", trust_env=False) as browser:
            page = browser.get(path)
            assert (page.status_code, page.headers["content-type"]) == (
                404,
                "text/html; charset=UTF-8",
            )
            assert "Error 404" in page.text
            answer = browser.get(path, headers={"accept": "application/json"})
            assert refusal(answer) == (404, "general_route_not_found")


def test_malformed_bodies(admin: httpx.Client) -> None:
    headers = {"content-type": "application/json"}
    answer = admin.post("/functions", content=b"{", headers=headers)
    assert refusal(answer) == (400, "general_argument_invalid")
    assert "JSON" in answer.json()["message"]
    assert refusal(admin.get("/functions?search=%ff")) == (400, "general_argument_invalid")
    long = admin.post("/functions", content=b" " * 21_000_000, headers=headers)
    assert refusal(long) == (400, "general_argument_invalid")


def test_answers_are_json_without_escapes(admin: httpx.Client) -> None:
    function_id = create_function(admin, name="Grüße ✓")["$id"]
    answer = admin.get(f"/functions/{function_id}")
    assert answer.headers["content-type"] == "application/json; charset=UTF-8"
    assert "Grüße ✓".encode() in answer.content


def test_a_preflight(guest: httpx.Client) -> None:
    origin = "http://localhost:5173"
    with httpx.Client(base_url=guest.base_url, trust_env=False) as browser:
        answer = browser.options("/functions/x/executions", headers={"origin": origin})
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == origin
    assert answer.headers["access-control-allow-credentials"] == "true"
    methods = answer.headers["access-control-allow-methods"].split(", ")
    assert set(methods) == {"GET", "POST", "PUT", "PATCH", "DELETE"}
    allowed = {
        name.strip().lower() for name in answer.headers["access-control-allow-headers"].split(",")
    }
    wanted = (
        "origin cookie content-type accept authorization x-appwrite-project x-appwrite-key"
        " x-appwrite-locale x-appwrite-mode x-appwrite-jwt x-appwrite-response-format"
        " x-appwrite-timeout x-appwrite-id x-appwrite-timestamp x-appwrite-session"
        " x-appwrite-dev-key x-sdk-version x-sdk-name x-sdk-language x-sdk-platform x-sdk-graphql"
        " content-range range cache-control x-forwarded-for x-fallback-cookies"
        " x-appwrite-impersonate-user-id x-appwrite-impersonate-user-email"
        " x-appwrite-impersonate-user-phone"
    )
    assert allowed >= set(wanted.split())


def test_options_without_an_origin(guest: httpx.Client) -> None:
    answer = guest.options("/anything/at/all")
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-methods"] == "GET, POST, PUT, PATCH, DELETE"
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("path", "status"), [("/ping", 200), ("/functions", 401), ("/nothing", 404)]
)
def test_answers_to_browsers(guest: httpx.Client, path: str, status: int) -> None:
    answer = guest.get(path, headers={"origin": "https://app.example.com"})
    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
    assert answer.headers["access-control-allow-credentials"] == "true"
    exposed = answer.headers["access-control-expose-headers"].lower()
    assert {"x-appwrite-session", "x-fallback-cookies"} <= set(exposed.split(", "))
    assert "access-control-allow-origin" not in guest.get(path).headers


@pytest.fixture
def broken(site: SiteServer) -> Iterator[SiteServer]:
    """The site while its function service fails unexpectedly."""

    async def fail(*_: object, **__: object) -> Any:
        raise RuntimeError("the password is hunter2")

    setattr(site.site.functions, "page", fail)  # noqa: B010
    yield site
    delattr(site.site.functions, "page")


def test_unexpected_errors_are_masked_and_logged(
    broken: SiteServer, admin: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    answer = admin.get("/functions")
    assert refusal(answer) == (500, "general_unknown")
    assert answer.json()["message"] == "Server Error"
    assert "GET /v1/functions failed" in caplog.text
    assert "hunter2" in caplog.text


def test_operations_are_declared_once() -> None:
    names = [operation.name for operation in OPERATIONS]
    assert len(names) == len(set(names))
    routes = [(operation.method, operation.path) for operation in OPERATIONS]
    assert len(routes) == len(set(routes))
    for operation in OPERATIONS:
        fields = {field.wire_name for field in fields_of(operation.params)}
        in_path = {part[1:-1] for part in operation.path.split("/") if part.startswith("{")}
        assert in_path - {"buildId"} <= fields, operation.name
        old = operation.before_1_3
        assert old is None or (old.method, old.path) == (operation.method, operation.path)


def test_the_app_starts_and_stops_what_it_serves(tmp_path: Any) -> None:
    site = Site(tmp_path / "data")
    app = create_app(site)

    async def live() -> int:
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test/v1") as client:
                return (await client.get("/health")).status_code

    assert asyncio.run(live()) == 200
