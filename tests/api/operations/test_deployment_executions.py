"""Calls of one deployment, whether or not it is the active one."""

import sqlite3
from contextlib import closing

import pytest

from tests.packing import packed_files
from tests.serving import Api, Server

CODE = """
import os

def main(context):
    seen = [context.req.method, context.req.path, context.req.body_text, os.environ["COLOUR"]]
    return context.res.json(seen, {status})
"""


def code(status: int) -> bytes:
    return packed_files({"main.py": CODE.replace("{status}", str(status))})


def path(deployment_id: str) -> str:
    return f"/minifn/deployments/{deployment_id}/executions"


@pytest.fixture(scope="module")
def deployments(server: Server) -> tuple[str, str]:
    """The active deployment of a function, and a newer one that is not."""
    with server.api as api:
        api.create("chosen", api.runtime("python"), entrypoint="main.py")
        api.call("POST", "/functions/chosen/variables", 201, json={"key": "COLOUR", "value": "red"})
        active = api.deploy("chosen", code(200))["$id"]
        return active, api.deploy("chosen", code(201), activate="false")["$id"]


def test_each_deployment_answers_with_the_present_variables(
    deployments: tuple[str, str], api: Api
) -> None:
    request = {"method": "PUT", "path": "/a?b=1", "body": "x"}
    for deployment_id, status in zip(deployments, (200, 201), strict=True):
        ended = api.call("POST", path(deployment_id), 201, json=request)
        assert ended["responseBody"] == '["PUT","/a","x","red"]'
        assert (ended["responseStatusCode"], ended["deploymentId"]) == (status, deployment_id)
        stored = api.call("GET", f"/functions/chosen/executions/{ended['$id']}", 200)
        assert (stored["deploymentId"], stored["trigger"]) == (deployment_id, "http")
    assert api.execute("chosen")["responseStatusCode"] == 200


def test_deployments_that_cannot_run_are_refused(
    deployments: tuple[str, str], api: Api, server: Server
) -> None:
    def refused(deployment_id: str, status: int) -> str:
        return str(api.call("POST", path(deployment_id), status, json={})["type"])

    assert refused("gone", 404) == "deployment_not_found"
    broken = api.upload("chosen", packed_files({"main.py": "def"}), activate="false")["$id"]
    api.built("chosen", broken)
    assert refused(broken, 400) == "build_not_ready"
    # Retention leaves this mark beside the newest builds.
    with closing(sqlite3.connect(server.data / "minifn.db")) as database, database:
        database.execute("UPDATE deployments SET build_removed = 1 WHERE id = ?", deployments[1:])
    assert refused(deployments[1], 400) == "build_not_ready"


def test_only_a_key_of_the_function_may_choose(
    deployments: tuple[str, str], api: Api, server: Server
) -> None:
    with Api(server.endpoint) as guest:
        assert guest.call("POST", path(deployments[0]), 401, json={})["type"].startswith("general_")
