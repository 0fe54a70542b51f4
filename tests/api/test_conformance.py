"""What Appwrite says of its Functions API, version by version, holds here.

`tests/data` has the operations and models of Appwrite's own OpenAPI descriptions (`app/config/specs`, 1.6 and 1.8),
each model with the properties that are always there, and the error types of its `app/config/errors.php`.
"""

import inspect
import json
import re
from collections.abc import Mapping
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

#: Those that can succeed without a repository; tests of git try the other.
ANSWERED = [case for case in EVERY if "functionsCreateVcsDeployment" not in str(case.id)]

#: What is there besides a version's model, and why: SDKs compute the progress of an upload from it.
EXTRA_PROPERTIES = {"deployment": {"chunksTotal", "chunksUploaded"}}
#: Parameters that Appwrite itself ignores from 1.8 on.
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
#: Types that belong to minifn alone: what it has and Appwrite's API has not.
OWN_ERRORS = {
    "general_request_too_large",
    "general_service_overloaded",
    "general_service_unavailable",
    "user_invalid_credentials",
}

TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


def check(value: Any, kind: Any, models: Mapping[str, Any], place: str) -> None:
    """Raise AssertionError unless `value` is of a kind: a type, a list of one kind, or a model by its name."""
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
    """Make a function with a deployment, a variable and an execution, and return their ids by path parameter."""
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
    """What to send so that an operation succeeds."""
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
def test_an_operation_answers_as_its_version_says(
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
        assert rows, "a list that is empty shows nothing of its model"


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
    """Whether two paths are the same but for the names of their parameters."""
    return re.sub(r"\{\w+\}", "{}", path) == re.sub(r"\{\w+\}", "{}", other)


def raised_types() -> dict[str, int]:
    """The code of every error type that can be answered."""
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


@pytest.mark.parametrize("version", ["", "1.9.5", "1.8.0", "1.6.0", "1.5.0"])
def test_refusals_of_every_version(site: SiteServer, version: str) -> None:
    with site.admin(version) as admin, site.client(version) as guest:
        ids = prepare(site, admin, building=False)
        function, nothing = f"/functions/{ids['functionId']}", "/functions/nothing"
        new = {"functionId": ids["functionId"], "name": "again", "runtime": RUNTIME}
        building = upload(admin, ids["functionId"], activate="false")["$id"]
        activate = {"activate": "true"}
        chunk = {"content-range": "bytes 9-5/20"}
        for expected, answer in (
            ((404, "general_route_not_found"), admin.get("/nothing")),
            (
                (404, "project_not_found"),
                admin.get("/functions", headers={"x-appwrite-project": "other"}),
            ),
            ((401, "general_unauthorized_scope"), guest.get("/functions")),
            (
                (401, "user_jwt_invalid"),
                guest.post(f"{function}/executions", headers={"x-appwrite-jwt": "a.b.c"}),
            ),
            ((400, "general_argument_invalid"), admin.post("/functions", json={"name": "x"})),
            ((400, "general_argument_invalid"), admin.get("/functions/-x")),
            ((409, "function_already_exists"), admin.post("/functions", json=new)),
            ((404, "function_not_found"), admin.get(nothing)),
            ((404, "function_not_found"), admin.delete(nothing)),
            ((404, "function_not_found"), admin.put(nothing, json={"name": "x"})),
            ((404, "function_not_found"), admin.get(f"{nothing}/deployments")),
            ((404, "function_not_found"), admin.post(f"{nothing}/executions", json={})),
            ((404, "deployment_not_found"), admin.get(f"{function}/deployments/nothing")),
            ((404, "deployment_not_found"), admin.delete(f"{function}/deployments/nothing")),
            ((400, "build_not_ready"), admin.patch(f"{function}/deployments/{building}", json={})),
            (
                (400, "build_already_completed"),
                admin.patch(f"{function}/deployments/{ids['deploymentId']}/status", json={}),
            ),
            (
                (400, "storage_file_empty"),
                admin.post(f"{function}/deployments", json={"activate": True}),
            ),
            (
                (400, "storage_file_type_unsupported"),
                admin.post(
                    f"{function}/deployments", files={"code": ("code.zip", b"x")}, data=activate
                ),
            ),
            (
                (400, "storage_invalid_content_range"),
                admin.post(
                    f"{function}/deployments",
                    files={"code": (ARCHIVE, b"x")},
                    data=activate,
                    headers=chunk,
                ),
            ),
            (
                (416, "storage_invalid_range"),
                admin.get(
                    f"{function}/deployments/{ids['deploymentId']}/download",
                    headers={"range": "bytes=5-1"},
                ),
            ),
            ((404, "execution_not_found"), admin.get(f"{function}/executions/nothing")),
            ((404, "variable_not_found"), admin.get(f"{function}/variables/nothing")),
            (
                (409, "variable_already_exists"),
                admin.post(f"{function}/variables", json={"key": "NAME", "value": "x"}),
            ),
            ((404, "function_template_not_found"), admin.get("/functions/templates/nothing")),
            ((404, "rule_not_found"), admin.get("/proxy/rules/nothing")),
        ):
            assert refusal(answer) == expected, answer.request.url
