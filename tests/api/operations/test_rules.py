"""Domain rules: their owners, lists, and the domain made of each function's id."""

import json
from typing import Any

import httpx
import pytest

from tests.api.site import SiteServer, create_function, refusal


def query(method: str, attribute: str = "", *values: Any) -> str:
    return json.dumps({"method": method, "attribute": attribute, "values": list(values)})


def listed(client: httpx.Client, *queries: str, **params: str) -> tuple[int, list[str]]:
    """The total and the domains of a list."""
    answer = client.get("/proxy/rules", params={"queries[]": list(queries), **params})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    return found["total"], [rule["domain"] for rule in found["rules"]]


def give(client: httpx.Client, domain: str, function_id: str) -> Any:
    answer = client.post(
        "/proxy/rules/function", json={"domain": domain, "functionId": function_id}
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_rule_is_created_shown_and_deleted(admin: httpx.Client) -> None:
    function_id = create_function(admin)["$id"]
    rule = give(admin, "Made.Example.com", function_id)
    assert (rule["domain"], rule["resourceId"], rule["status"]) == (
        "made.example.com",
        function_id,
        "verified",
    )
    assert admin.get(f"/proxy/rules/{rule['$id']}").json() == rule
    assert admin.delete(f"/proxy/rules/{rule['$id']}").status_code == 204
    assert refusal(admin.get(f"/proxy/rules/{rule['$id']}")) == (404, "rule_not_found")
    assert refusal(admin.delete(f"/proxy/rules/{rule['$id']}")) == (404, "rule_not_found")


def test_every_function_has_a_domain_from_the_start(admin: httpx.Client) -> None:
    function_id = create_function(admin, functionId="Own_Domain")["$id"]
    domain = "own_domain.functions.localhost"
    # Queries of the CLIs of 1.6 and 1.8 for a function's domain.
    old = (query("equal", "resourceType", "function"), query("equal", "resourceId", function_id))
    new = (
        query("equal", "deploymentResourceType", "function"),
        query("equal", "deploymentResourceId", function_id),
        query("equal", "trigger", "manual"),
    )
    for queries in (old, new):
        assert listed(admin, query("limit", "", 1), *queries) == (1, [domain])
    rule = admin.get(f"/proxy/rules/{function_id}").json()
    assert (rule["domain"], rule["deploymentResourceId"]) == (domain, function_id)
    assert refusal(admin.delete(f"/proxy/rules/{function_id}")) == (400, "general_bad_request")
    admin.delete(f"/functions/{function_id}")
    assert refusal(admin.get(f"/proxy/rules/{function_id}")) == (404, "rule_not_found")


def test_a_rule_for_a_functions_own_domain_changes_nothing(admin: httpx.Client) -> None:
    first, second = (create_function(admin)["$id"] for _ in range(2))
    assert give(admin, f"{first}.functions.localhost", first)["$id"] == first
    taken = {"domain": f"{first}.functions.localhost", "functionId": second}
    assert refusal(admin.post("/proxy/rules/function", json=taken)) == (409, "rule_already_exists")
    assert listed(admin, query("equal", "resourceId", first))[0] == 1


def test_lists_have_own_domains_first_and_pages(admin: httpx.Client) -> None:
    function_id = create_function(admin)["$id"]
    rules = [give(admin, f"{name}.example.com", function_id) for name in ("alpha", "beta", "gamma")]
    mine = query("equal", "resourceId", function_id)
    domains = [f"{function_id}.functions.localhost", *(rule["domain"] for rule in rules)]
    assert listed(admin, mine) == (4, domains)
    assert listed(admin, mine, query("limit", "", 2)) == (4, domains[:2])
    assert listed(admin, mine, query("cursorAfter", "", function_id)) == (4, domains[1:])
    assert listed(admin, mine, query("cursorBefore", "", rules[0]["$id"])) == (4, domains[:1])
    assert listed(admin, mine, query("orderDesc")) == (4, domains[::-1])
    assert listed(admin, query("equal", "domain", "beta.example.com")) == (1, domains[2:3])
    assert listed(admin, mine, search="gamma") == (1, domains[3:])
    assert listed(admin, mine, total="false") == (0, domains)


@pytest.mark.parametrize(
    "domain",
    [
        "localhost",
        "functions.localhost",
        "127.0.0.1",
        "10.0.0.1",
        "-a.com",
        "a b.com",
        "a.com:80",
        "com",
        "",
    ],
)
def test_domains_that_are_refused(admin: httpx.Client, domain: str) -> None:
    function_id = create_function(admin)["$id"]
    new = {"domain": domain, "functionId": function_id}
    old = {"domain": domain, "resourceType": "function", "resourceId": function_id}
    assert refusal(admin.post("/proxy/rules/function", json=new)) == (
        400,
        "general_argument_invalid",
    )
    assert refusal(admin.post("/proxy/rules", json=old)) == (400, "general_argument_invalid")


def test_domains_below_the_functions_domain_by_version(admin: httpx.Client) -> None:
    function_id = create_function(admin)["$id"]
    old = {
        "domain": "below.functions.localhost",
        "resourceType": "function",
        "resourceId": function_id,
    }
    assert refusal(admin.post("/proxy/rules", json=old)) == (400, "general_argument_invalid")
    assert (
        give(admin, "below.functions.localhost", function_id)["domain"]
        == "below.functions.localhost"
    )


def test_the_host_of_the_api_is_refused(admin: httpx.Client) -> None:
    new = {"domain": "api.example.com", "functionId": create_function(admin)["$id"]}
    answer = admin.post("/proxy/rules/function", json=new, headers={"host": "API.example.com:443"})
    assert refusal(answer) == (400, "general_argument_invalid")


def test_a_domain_has_one_rule_and_an_existing_function(admin: httpx.Client) -> None:
    function_id = create_function(admin)["$id"]
    old = {"domain": "once.example.com", "resourceType": "function", "resourceId": function_id}
    assert admin.post("/proxy/rules", json=old).status_code == 201
    assert refusal(admin.post("/proxy/rules", json=old)) == (409, "rule_already_exists")
    unknown = {**old, "domain": "unknown.example.com", "resourceId": "unknown"}
    assert refusal(admin.post("/proxy/rules", json=unknown)) == (404, "rule_resource_not_found")


def test_each_version_has_its_own_names(admin: httpx.Client, site: SiteServer) -> None:
    function_id = create_function(admin)["$id"]
    with site.admin("1.6.0") as old, site.admin("1.8.0") as new:
        assert old.get(f"/proxy/rules/{function_id}").json()["resourceId"] == function_id
        assert "deploymentResourceId" not in old.get(f"/proxy/rules/{function_id}").json()
        assert new.get(f"/proxy/rules/{function_id}").json()["deploymentResourceId"] == function_id
        assert "resourceId" not in new.get(f"/proxy/rules/{function_id}").json()


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/proxy/rules", "rules.read"),
        ("GET", "/proxy/rules/x", "rules.read"),
        ("POST", "/proxy/rules", "rules.write"),
        ("POST", "/proxy/rules/function", "rules.write"),
        ("DELETE", "/proxy/rules/x", "rules.write"),
    ],
)
def test_rules_need_their_scopes(site: SiteServer, method: str, path: str, scope: str) -> None:
    with site.client(x_appwrite_key=site.key("functions.write")) as other:
        assert refusal(other.request(method, path)) == (401, "general_unauthorized_scope")
    with site.client(x_appwrite_key=site.key(scope)) as allowed:
        assert allowed.request(method, path).status_code != 401


def test_a_redirect_answers_at_its_domain(site: SiteServer, admin: httpx.Client) -> None:
    function_id = create_function(admin)["$id"]
    for status in (301, "302", 307, "308"):
        domain = f"moved-{status}.example.com"
        body = {"domain": domain, "url": "https://new.example.com/x?y=1", "statusCode": status}
        made = admin.post(
            "/proxy/rules/redirect",
            json={**body, "resourceId": function_id, "resourceType": "function"},
        )
        assert made.status_code == 201, made.text
        rule = made.json()
        assert (rule["type"], rule["redirectStatusCode"], rule["status"]) == (
            "redirect",
            int(status),
            "verified",
        )
        assert rule["deploymentResourceId"] == function_id
        for method, path in (("GET", "/"), ("POST", "/v1/functions?a=b")):
            answer = httpx.request(
                method,
                f"http://127.0.0.1:{site.port}{path}",
                headers={"host": f"{domain}:80"},
                trust_env=False,
            )
            assert (answer.status_code, answer.headers["location"]) == (
                int(status),
                "https://new.example.com/x?y=1",
            )
    admin.delete(f"/functions/{function_id}")
    assert listed(admin, query("equal", "type", "redirect")) == (0, [])


@pytest.mark.parametrize(
    "change",
    [
        {"url": "ftp://example.com"},
        {"url": "https://"},
        {"url": "https://a b"},
        {"url": "/here"},
        {"url": "https://a\r\nb"},
        {"url": "javascript:alert(1)"},
        {"url": "https://x/" + "y" * 2048},
        {"statusCode": 303},
        {"statusCode": "x"},
        {"statusCode": 301.0},
        {"statusCode": True},
        {"resourceType": "bucket"},
        {"domain": "localhost"},
        {"domain": "127.0.0.1"},
    ],
    ids=str,
)
def test_rules_of_a_redirect(admin: httpx.Client, change: dict[str, Any]) -> None:
    function_id = create_function(admin)["$id"]
    body = {"domain": "refused.example.com", "url": "https://new.example.com", "statusCode": 301}
    asked = {**body, "resourceId": function_id, "resourceType": "function", **change}
    assert refusal(admin.post("/proxy/rules/redirect", json=asked)) == (
        400,
        "general_argument_invalid",
    )


def test_a_redirect_belongs_to_a_function(admin: httpx.Client) -> None:
    body = {
        "domain": "lost.example.com",
        "url": "https://new.example.com",
        "statusCode": 301,
        "resourceId": "nothing",
    }
    for kind in ("function", "site"):
        refused = admin.post("/proxy/rules/redirect", json={**body, "resourceType": kind})
        assert refusal(refused) == (404, "rule_resource_not_found")


def test_the_api_answers_at_its_domains(site: SiteServer, admin: httpx.Client) -> None:
    for domain in ("api.example.com", "api.functions.localhost"):
        rule = admin.post("/proxy/rules/api", json={"domain": domain}).json()
        assert (rule["type"], rule["domain"], rule["deploymentResourceType"]) == (
            "api",
            domain,
            None,
        )
        address = f"http://127.0.0.1:{site.port}/v1/ping"
        assert httpx.get(address, headers={"host": domain}, trust_env=False).text == "Pong!"
        assert refusal(admin.post("/proxy/rules/api", json={"domain": domain})) == (
            409,
            "rule_already_exists",
        )
        for path in ("status", "verification"):
            assert admin.patch(f"/proxy/rules/{rule['$id']}/{path}").json() == rule
        admin.delete(f"/proxy/rules/{rule['$id']}")
    assert refusal(admin.patch("/proxy/rules/nothing/status")) == (404, "rule_not_found")
    function_id = create_function(admin)["$id"]
    taken = admin.post("/proxy/rules/api", json={"domain": f"{function_id}.functions.localhost"})
    assert refusal(taken) == (409, "rule_already_exists")
