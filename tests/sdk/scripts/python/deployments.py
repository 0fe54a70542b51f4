"""Deployments of a function: uploads, builds, activation, templates and repositories."""

import json
import os

from appwrite.input_file import InputFile
from appwrite.query import Query
from client import refused, until
from target import (
    ACTIVE,
    CHUNK,
    FORMAT,
    ID,
    LARGE,
    OLD,
    SIZE,
    SMALL,
    functions,
    names_of_versions,
    shape,
)


def deploy(path, activate=True, on_progress=None, **settings):
    uploaded = functions.create_deployment(
        ID, InputFile.from_path(str(path)), activate, on_progress=on_progress, **settings
    )
    return until(lambda: functions.get_deployment(ID, uploaded["$id"]), "ready")


def activate(deployment_id):
    return (functions.update_deployment if OLD else functions.update_function_deployment)(
        ID, deployment_id
    )


def cancel(deployment_id):
    return (functions.update_deployment_build if OLD else functions.update_deployment_status)(
        ID, deployment_id
    )


def rebuild(deployment_id):
    """Build again and return the new deployment, which clients before 1.7 search for."""
    if not OLD:
        return functions.create_duplicate_deployment(ID, deployment_id)
    assert not functions.create_build(ID, deployment_id)
    return functions.list_deployments(ID, [Query.order_desc("$createdAt"), Query.limit(1)])[
        "deployments"
    ][0]


def deployments():
    wrong = InputFile.from_bytes(b"text", "code.zip")
    refused(400, "storage_file_type_unsupported", functions.create_deployment, ID, wrong, True)
    small = deploy(SMALL)
    shape(
        small,
        *names_of_versions("size buildTime", "sourceSize buildDuration totalSize screenshotDark"),
    )
    assert small[SIZE] == SMALL.stat().st_size
    assert small["buildTime" if OLD else "buildDuration"] >= 1
    assert small["buildSize"] > 0
    assert small["type"] == "manual"
    function = functions.get(ID)
    assert (function[ACTIVE], function["live"]) == (small["$id"], True)
    if not OLD:
        assert (function["latestDeploymentId"], function["latestDeploymentStatus"]) == (
            small["$id"],
            "ready",
        )
    assert functions.get_deployment_download(ID, small["$id"]) == SMALL.read_bytes()
    if not OLD:
        assert functions.get_deployment_download(ID, small["$id"], type="output")[:2] == b"\x1f\x8b"
    return small


def uploads_in_chunks():
    for path in (LARGE, CHUNK):
        steps = []
        large = deploy(path, on_progress=steps.append)
        size = path.stat().st_size
        assert large[SIZE] == size
        chunks = -(-size // (5 * 1024 * 1024))
        # Newer clients upload one chunk or less without chunks.
        assert steps or path == CHUNK
        if steps:
            assert max(step["progress"] for step in steps) == 100, steps
            assert steps[-1]["chunksTotal"] == chunks, steps
            assert max(step["chunksUploaded"] for step in steps) == chunks, steps
        assert json.loads(functions.create_execution(ID)["responseBody"])["padding"] > 4_000_000
    return large


def later_deployments(small, large):
    newest = rebuild(small["$id"])
    assert newest["$id"] not in (small["$id"], large["$id"])
    rebuilt = until(lambda: functions.get_deployment(ID, newest["$id"]), "ready")
    assert rebuilt[SIZE] == small[SIZE]
    refused(400, "build_already_completed", cancel, rebuilt["$id"])
    assert activate(small["$id"])[ACTIVE] == small["$id"]
    assert json.loads(functions.create_execution(ID)["responseBody"])["padding"] == 0
    refused(404, "deployment_not_found", activate, "nothing")
    lists(small, canceled_build(), failed_build())
    functions.delete_deployment(ID, rebuilt["$id"])
    refused(404, "deployment_not_found", functions.get_deployment, ID, rebuilt["$id"])


def canceled_build():
    code = InputFile.from_path(str(SMALL))
    slow = functions.create_deployment(ID, code, False, commands="sleep 60")
    refused(400, "build_not_ready", activate, slow["$id"])
    canceled = cancel(slow["$id"])
    assert canceled["status"] == "canceled"
    if OLD:
        keys = "$id deploymentId status stdout stderr startTime endTime duration size"
        shape(canceled, keys, "buildLogs")
    assert functions.get_deployment(ID, slow["$id"])["status"] == "canceled"
    return slow


def failed_build():
    code = InputFile.from_bytes(b"no archive", "code.tar.gz")
    broken = functions.create_deployment(ID, code, False)
    failed = until(lambda: functions.get_deployment(ID, broken["$id"]), "failed")
    assert failed["buildLogs"]
    return broken


def lists(small, slow, broken):
    for asked, found in (
        ([Query.greater_than(SIZE, 11_000_000)], 1),
        ([Query.equal("type", ["manual", "cli"]), Query.limit(2)], 2),
        ([Query.equal("type", "vcs")], 0),
        ([Query.equal("$id", [slow["$id"], broken["$id"]]), Query.equal("activate", False)], 2),
        ([], 6),
    ):
        assert len(functions.list_deployments(ID, asked)["deployments"]) == found, asked
    if FORMAT < (1, 9):
        selection = [Query.select(["status"])]
        refused(400, "general_argument_invalid", functions.list_deployments, ID, selection)
        return
    # The models of 1.9 need every key of a deployment.
    asked = ["*"] if FORMAT < (1, 10) else ["status", SIZE]
    (row,) = functions.list_deployments(ID, [Query.select(asked), Query.limit(1)])["deployments"]
    assert row[SIZE] == small[SIZE]
    assert bool(row["type"]) == (asked == ["*"]), row


def repositories():
    """Deploy a bundled template; an unconnected function has no repository."""
    starter = {
        "owner": "appwrite",
        "repository": "templates",
        "root_directory": os.environ["STARTER"],
    }
    version = {"type": "tag", "reference": "0.2.*", "activate": False}
    made = functions.create_template_deployment(ID, **starter, **version)
    assert (made["type"], made["providerRepositoryName"], made["activate"]) == (
        "vcs",
        "templates",
        False,
    ), made
    functions.delete_deployment(ID, made["$id"])
    unknown = {**starter, "repository": "nothing", **version}
    refused(
        404, "provider_repository_not_found", functions.create_template_deployment, ID, **unknown
    )
    refused(
        404,
        "installation_not_found",
        functions.create_vcs_deployment,
        ID,
        type="branch",
        reference="main",
    )
