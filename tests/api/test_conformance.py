"""The API conforms to Appwrite's Functions API, version by version.

`tests/data` has the operations and models of Appwrite's OpenAPI descriptions (`app/config/specs`,
1.6 and 1.8), each model with its required properties, and the error types of its
`app/config/errors.php`.
"""

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from minifn import errors
from minifn.api import OPERATIONS
from minifn.api.wire.params import fields_of
from minifn.errors import MinifnError
from minifn.ids import new_id
from minifn.models import Execution
from tests.api.site import ARCHIVE, RUNTIME, SiteServer, archive, deploy, refusal, upload

DATA = Path(__file__).parents[1] / "data"
SPECIFICATIONS = {
    version: json.loads((DATA / f"appwrite-functions-{version}.json").read_text())
    for version in ("1.6", "1.8")
}
ERRORS: dict[str, int] = json.loads((DATA / "appwrite-errors.json").read_text())
EVERY = [
    pytest.param(version, operation, id=f"{version}-{operation['id']}")
    for version, specification in SPECIFICATIONS.items()
    for operation in specification["operations"]
]

#: Operations that can succeed without a repository; tests of git cover the others.
ANSWERED = [case for case in EVERY if "functionsCreateVcsDeployment" not in str(case.id)]

#: Keys beyond a version's model: SDKs compute the progress of an upload from them.
EXTRA_PROPERTIES = {"deployment": {"chunksTotal", "chunksUploaded"}}
#: Parameters that Appwrite ignores since 1.8.
IGNORED_PARAMETERS = {
    "functionsCreate": {
        "templateRepository",
        "templateOwner",
        "templateRootDirectory",
        "templateVersion",
    },
    "functionsCreateBuild": {"buildId"},
    "functionsCreateDuplicateDeployment": {"buildId"},
}
#: The archive is a file, which no parameter holds.
FILES = {"functionsCreateDeployment": {"code"}}
#: Error types of minifn alone.
OWN_ERRORS = {
    "general_request_too_large",
    "general_service_overloaded",
    "general_service_unavailable",
    "general_storage_unavailable",
    "user_invalid_credentials",
}

TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


def check(value: Any, kind: Any, models: Mapping[str, Any], place: str) -> None:
    """Raise AssertionError unless `value` has a kind: a type, a list of a kind, or a model."""
    if isinstance(kind, list):
        assert isinstance(value, list), place
        for item in value:
            check(item, kind[0], models, f"{place}[]")
    elif kind in TYPES:
        assert isinstance(value, TYPES[kind]), (place, value)
        assert kind == "boolean" or not isinstance(value, bool), (place, value)
    else:
        properties = models[kind]
        assert set(properties) <= set(value), (place, set(properties) - set(value))
        allowed = {
            *properties,
            *EXTRA_PROPERTIES.get(kind, set()),
            *(["scheduledAt"] if kind == "execution" else []),
        }
        assert set(value) <= allowed, (place, set(value) - allowed)
        for name, inner in properties.items():
            check(value[name], inner, models, f"{place}.{name}")


def prepare(site: SiteServer, client: httpx.Client, *, building: bool) -> dict[str, str]:
    """Create a function, deployment, variable and execution; return ids by path parameter."""
    function_id = deploy(site, client, execute=["any"])
    function = client.get(f"/functions/{function_id}").json()
    deployment_id = function.get("deploymentId") or function["deployment"]
    if building:
        deployment_id = upload(client, function_id)["$id"]
    variable = client.post(
        f"/functions/{function_id}/variables", json={"key": "NAME", "value": "x"}
    ).json()
    execution = Execution(
        id=new_id(),
        function_id=function_id,
        status="completed",
        response_headers=(("content-type", "text/plain"),),
    )
    site.store_execution(execution)
    return {
        "functionId": function_id,
        "deploymentId": deployment_id,
        "variableId": variable["$id"],
        "executionId": execution.id,
    }


def body_of(operation_id: str, ids: Mapping[str, str]) -> dict[str, Any]:
    """Return a body with which an operation succeeds."""
    return {
        "functionsCreate": {"functionId": "unique()", "name": "new", "runtime": RUNTIME},
        "functionsUpdate": {"name": "changed"},
        "functionsCreateExecution": {"body": "hello"},
        "functionsCreateVariable": {"key": "OTHER", "value": "y"},
        "functionsUpdateVariable": {"key": "NAME", "value": "z"},
        "functionsUpdateFunctionDeployment": {"deploymentId": ids["deploymentId"]},
        "functionsCreateDuplicateDeployment": {"deploymentId": ids["deploymentId"]},
        "functionsCreateTemplateDeployment": {
            "repository": "templates",
            "owner": "appwrite",
            "rootDirectory": "python/starter",
            "version": "0.2.*",
        },
    }.get(operation_id, {})


@pytest.mark.parametrize(("version", "operation"), ANSWERED)
def test_an_operation_answers_as_in_its_version(
    site: SiteServer, version: str, operation: dict[str, Any]
) -> None:
    with site.admin(f"{version}.0") as client:
        canceling = operation["id"] in (
            "functionsUpdateDeploymentBuild",
            "functionsUpdateDeploymentStatus",
        )
        ids = prepare(site, client, building=canceling)
        path = operation["path"].format_map(ids)
        if operation["id"] == "functionsCreateDeployment":
            answer = client.post(
                path, files={"code": (ARCHIVE, archive())}, data={"activate": "false"}
            )
        elif operation["method"] == "GET":
            answer = client.get(path)
        else:
            answer = client.request(operation["method"], path, json=body_of(operation["id"], ids))
    assert answer.status_code == operation["status"], answer.text
    if operation["model"] is None:
        assert answer.headers["content-type"] != "application/json; charset=UTF-8"
        return
    models = SPECIFICATIONS[version]["models"]
    check(answer.json(), operation["model"], models, operation["model"])
    if operation["model"].endswith("List"):
        rows = next(value for value in answer.json().values() if isinstance(value, list))
        assert rows, "an empty list does not show its model"


@pytest.mark.parametrize(("version", "operation"), EVERY)
def test_an_operation_takes_every_parameter_of_its_version(
    version: str, operation: dict[str, Any]
) -> None:
    [mine] = [
        item
        for item in OPERATIONS
        if item.method == operation["method"] and same_path(item.path, operation["path"])
    ]
    known = {field.wire_name for field in fields_of(mine.params)}
    asked = {*operation["query"], *operation["body"], *re.findall(r"\{(\w+)\}", operation["path"])}
    asked -= FILES.get(operation["id"], set()) | IGNORED_PARAMETERS.get(operation["id"], set())
    assert asked <= known, asked - known


def same_path(path: str, other: str) -> bool:
    """Tell whether two paths are equal except for the names of their parameters."""
    return re.sub(r"\{\w+\}", "{}", path) == re.sub(r"\{\w+\}", "{}", other)


def raised_types() -> dict[str, int]:
    """Return the code of every error type that the API can answer with."""
    classes = [
        value
        for value in vars(errors).values()
        if inspect.isclass(value) and issubclass(value, MinifnError)
    ]
    return {kind.type: kind.code for kind in classes}


@pytest.mark.parametrize(("kind", "code"), sorted(raised_types().items()))
def test_error_types_have_the_codes_of_appwrite(kind: str, code: int) -> None:
    if kind in OWN_ERRORS:
        assert kind not in ERRORS
    else:
        assert ERRORS[kind] == code


#: A refused request's status, the type of its error, and its answer.
Refusal = tuple[int, str, httpx.Response]


@pytest.mark.parametrize("version", ["", "1.9.5", "1.8.0", "1.6.0", "1.5.0"])
def test_refusals_of_every_version(site: SiteServer, version: str) -> None:
    with site.admin(version) as admin, site.client(version) as guest:
        ids = prepare(site, admin, building=False)
        for status, kind, answer in (
            *refused_callers(admin, guest, f"/functions/{ids['functionId']}"),
            *refused_functions(admin, ids["functionId"]),
            *refused_deployments(admin, ids),
            *refused_uploads(admin, f"/functions/{ids['functionId']}/deployments"),
        ):
            assert refusal(answer) == (status, kind), answer.request.url


def refused_callers(admin: httpx.Client, guest: httpx.Client, function: str) -> Iterator[Refusal]:
    other = {"x-appwrite-project": "other"}
    yield 404, "general_route_not_found", admin.get("/nothing")
    yield 404, "project_not_found", admin.get("/functions", headers=other)
    yield 401, "general_unauthorized_scope", guest.get("/functions")
    broken = {"x-appwrite-jwt": "a.b.c"}
    yield 401, "user_jwt_invalid", guest.post(f"{function}/executions", headers=broken)


def refused_functions(admin: httpx.Client, function_id: str) -> Iterator[Refusal]:
    function, nothing = f"/functions/{function_id}", "/functions/nothing"
    new = {"functionId": function_id, "name": "again", "runtime": RUNTIME}
    yield 400, "general_argument_invalid", admin.post("/functions", json={"name": "x"})
    yield 400, "general_argument_invalid", admin.get("/functions/-x")
    yield 409, "function_already_exists", admin.post("/functions", json=new)
    yield 404, "function_not_found", admin.get(nothing)
    yield 404, "function_not_found", admin.delete(nothing)
    yield 404, "function_not_found", admin.put(nothing, json={"name": "x"})
    yield 404, "function_not_found", admin.get(f"{nothing}/deployments")
    yield 404, "function_not_found", admin.post(f"{nothing}/executions", json={})
    yield 404, "execution_not_found", admin.get(f"{function}/executions/nothing")
    yield 404, "variable_not_found", admin.get(f"{function}/variables/nothing")
    name = {"key": "NAME", "value": "x"}
    yield 409, "variable_already_exists", admin.post(f"{function}/variables", json=name)
    template = admin.get("/functions/templates/nothing")
    yield 404, "function_template_not_found", template
    yield 404, "rule_not_found", admin.get("/proxy/rules/nothing")


def refused_deployments(admin: httpx.Client, ids: dict[str, str]) -> Iterator[Refusal]:
    path = f"/functions/{ids['functionId']}/deployments"
    built = f"{path}/{ids['deploymentId']}"
    building = upload(admin, ids["functionId"], activate="false")["$id"]
    yield 404, "deployment_not_found", admin.get(f"{path}/nothing")
    yield 404, "deployment_not_found", admin.delete(f"{path}/nothing")
    yield 400, "build_not_ready", admin.patch(f"{path}/{building}", json={})
    yield 400, "build_already_completed", admin.patch(f"{built}/status", json={})
    backwards = {"range": "bytes=5-1"}
    yield 416, "storage_invalid_range", admin.get(f"{built}/download", headers=backwards)


def refused_uploads(admin: httpx.Client, path: str) -> Iterator[Refusal]:
    yield 400, "storage_file_empty", admin.post(path, json={"activate": True})
    data = {"activate": "true"}
    zipped = admin.post(path, files={"code": ("code.zip", b"x")}, data=data)
    yield 400, "storage_file_type_unsupported", zipped
    backwards = {"content-range": "bytes 9-5/20"}
    chunk = admin.post(path, files={"code": (ARCHIVE, b"x")}, headers=backwards, data=data)
    yield 400, "storage_invalid_content_range", chunk
