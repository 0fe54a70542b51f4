"""All operations of the `appwrite` package on functions, in any version."""

import datetime
import json
import os
from pathlib import Path

import queries
import rules_and_keys
from appwrite.input_file import InputFile
from appwrite.query import Query
from appwrite.services.account import Account
from appwrite.services.functions import Functions
from client import Service, connect, plain, refused, response_format, until

FORMAT = response_format()
#: Half of the methods and fields of deployments have other names before 1.7.
OLD = FORMAT < (1, 7)
RUNTIME, ENTRYPOINT = os.environ["RUNTIME"], os.environ["ENTRYPOINT"]
SMALL, LARGE, CHUNK = (
    Path(os.environ[name]) for name in ("CODE_SMALL", "CODE_LARGE", "CODE_CHUNK")
)
ID = os.environ["FUNCTION"]
SIZE, ACTIVE = ("size", "deployment") if OLD else ("sourceSize", "deploymentId")

functions = Service(Functions(connect(key=os.environ["KEY"])))


def shape(answer, present, absent):
    """Check an answer's keys in this version's format; clients of newer versions get all."""
    assert set(present.split()) <= set(answer), set(present.split()) - set(answer)
    if FORMAT < (1, 10):
        assert not set(absent.split()) & set(answer), set(absent.split()) & set(answer)


def names_of_versions(old, new):
    """Return the keys of this version, and those of other versions."""
    return (old, new) if OLD else (new, old)


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


def create():
    refused(404, "function_not_found", functions.get, ID)
    refused(400, "general_argument_invalid", functions.create, "-bad", "Bad", RUNTIME)
    refused(400, "general_argument_invalid", functions.create, ID, "Bad", RUNTIME, timeout=100_000)
    refused(
        400, "general_argument_invalid", functions.create, ID, "Bad", RUNTIME, execute=["nobody"]
    )
    refused(400, "general_argument_invalid", functions.create, ID, "Bad", RUNTIME, schedule="never")
    refused(
        400, "general_argument_invalid", functions.create, ID, "Bad", RUNTIME, scopes=["everything"]
    )
    settings = {
        "execute": ["any"],
        "events": ["users.*.create"],
        "schedule": "0 0 1 1 *",
        "timeout": 20,
        "enabled": True,
        "logging": True,
        "commands": "",
        "scopes": ["users.read"],
    }
    specifications = {"specification": "s-1vcpu-1gb"}
    if FORMAT >= (1, 9):
        specifications = {
            "buildSpecification": "s-2vcpu-2gb",
            "runtimeSpecification": "s-1vcpu-1gb",
        }
    created = functions.create(
        ID,
        "SDK",
        RUNTIME,
        **settings,
        specification="s-1vcpu-1gb",
        build_specification="s-2vcpu-2gb",
        runtime_specification="s-1vcpu-1gb",
        deployment_retention=7,
    )
    for name, value in {
        **settings,
        **specifications,
        "$id": ID,
        "name": "SDK",
        "runtime": RUNTIME,
        ACTIVE: "",
    }.items():
        assert created[name] == value, (name, created[name])
    shape(
        created,
        *names_of_versions("deployment", "deploymentId latestDeploymentId latestDeploymentStatus"),
    )
    if FORMAT >= (1, 9):
        shape(created, "providerBranches providerPaths deploymentRetention", "specification")
        assert created["deploymentRetention"] == 7
    else:
        shape(
            created, "specification", "buildSpecification runtimeSpecification deploymentRetention"
        )
    refused(409, "function_already_exists", functions.create, ID, "SDK", RUNTIME)
    refused(404, "deployment_not_found", functions.create_execution, ID)
    refused(404, "function_entrypoint_missing", deploy, SMALL)
    runtimes = functions.list_runtimes()["runtimes"]
    assert RUNTIME in [runtime["$id"] for runtime in runtimes]
    shape(runtimes[0], "$id key name version base image logo supports", "")
    specifications = functions.list_specifications(type="builds")
    assert specifications["total"] == len(specifications["specifications"]) >= 2
    shape(specifications["specifications"][0], "memory cpus enabled slug", "")
    newest()
    updated = functions.update(ID, "SDK", entrypoint=ENTRYPOINT, execute=["any"], timeout=20)
    assert (updated["runtime"], updated["entrypoint"], updated["events"]) == (
        RUNTIME,
        ENTRYPOINT,
        [],
    )


def newest():
    """Check additions of 2.0 and the settings that its updates keep."""
    if FORMAT < (2, 0):
        return
    settings = {"interval": 30, "description": "says hello", "email_enabled": False}
    updated = functions.update(ID, "SDK", **settings)
    assert (updated["interval"], updated["description"], updated["emailEnabled"]) == (
        30,
        "says hello",
        False,
    )
    assert updated["runtimeSpecification"] == "s-1vcpu-1gb"
    kept = functions.update(ID, "SDK")
    assert (kept["interval"], kept["description"]) == (30, "says hello")
    both = {"schedule": "0 * * * *", "interval": 5}
    refused(400, "general_argument_invalid", functions.update, ID, "SDK", **both)
    assert functions.update(ID, "SDK", interval=0)["interval"] == 0
    assert functions.list_runtimes(total=False)["total"] == 0


def variables():
    new = {} if OLD else {"variable_id": f"{ID}-greeting", "secret": False}
    variable = functions.create_variable(ID, key="GREETING", value="hello", **new)
    shape(variable, *names_of_versions("", "secret"))
    if FORMAT >= (2, 0):
        described = functions.update_variable(ID, variable["$id"], description="the greeting")
        assert described["description"] == "the greeting"
    refused(
        400,
        "general_argument_invalid",
        functions.create_variable,
        ID,
        **{**new, "key": "1-BAD", "value": ""},
    )
    refused(
        409,
        "variable_already_exists",
        functions.create_variable,
        ID,
        **{**new, "key": "GREETING", "value": "x"},
    )
    assert (
        functions.update_variable(ID, variable["$id"], key="GREETING", value="hello there")["key"]
        == "GREETING"
    )
    assert functions.get_variable(ID, variable["$id"])["value"] == "hello there"
    refused(404, "variable_not_found", functions.get_variable, ID, "nothing")
    assert functions.get(ID)["vars"][0]["key"] == "GREETING"
    second = functions.create_variable(ID, key="TOKEN", value="hidden", variable_id=f"{ID}-token")
    if OLD:
        assert second["value"] == "hidden"
    else:
        assert (second["$id"], second["value"], second["secret"]) == (f"{ID}-token", "", True)
        unset = {"key": "TOKEN", "secret": False}
        refused(
            400,
            "variable_cannot_unset_secret",
            functions.update_variable,
            ID,
            second["$id"],
            **unset,
        )
        assert [
            row["key"]
            for row in functions.list_variables(ID, [Query.equal("key", "TOKEN")])["variables"]
        ] == ["TOKEN"]
    listed = functions.list_variables(ID)
    assert (listed["total"], [row["key"] for row in listed["variables"]]) == (
        2,
        ["GREETING", "TOKEN"],
    )
    functions.delete_variable(ID, second["$id"])


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


def execution_of(small):
    execution = functions.create_execution(
        ID,
        body=json.dumps({"n": 1}),
        path="/a/b?x=1",
        method="PUT",
        headers={"content-type": "application/json"},
    )
    assert execution["status"] == "completed", execution
    assert (execution["responseStatusCode"], execution["requestMethod"], execution["trigger"]) == (
        200,
        "PUT",
        "http",
    )
    answer = json.loads(execution["responseBody"])
    assert (answer["method"], answer["path"], answer["query"]) == ("PUT", "/a/b", {"x": "1"})
    assert (answer["body"], answer["greeting"], answer["trigger"]) == (
        {"n": 1},
        "hello there",
        "http",
    )
    assert {header["name"]: header["value"] for header in execution["responseHeaders"]}[
        "x-answered-by"
    ]
    assert execution["logs"].strip() == "a line for the logs"
    assert execution["errors"].strip() == "a line for the errors"
    assert execution["duration"] > 0
    shape(execution, "functionId scheduledAt", "")
    shape(execution, *names_of_versions("", "deploymentId"))
    if not OLD:
        assert execution["deploymentId"] == small["$id"]
    return execution


def executions(small):
    first = execution_of(small)
    queued = functions.create_execution(ID, body="later", xasync=True, path="/queued", method="GET")
    assert (queued["status"], queued["responseBody"]) == ("waiting", "")
    finished = until(lambda: functions.get_execution(ID, queued["$id"]), "completed")
    assert (finished["requestPath"], finished["logs"].strip()) == ("/queued", "a line for the logs")

    at = datetime.datetime.now(datetime.UTC).replace(second=0, microsecond=0) + datetime.timedelta(
        days=1
    )
    refused(400, "general_bad_request", functions.create_execution, ID, scheduled_at=at.isoformat())
    planned = functions.create_execution(
        ID, xasync=True, scheduled_at=at.isoformat(timespec="milliseconds")
    )
    assert (planned["status"], planned["trigger"]) == ("scheduled", "schedule")
    assert planned["scheduledAt"] == at.isoformat(timespec="milliseconds")
    functions.delete_execution(ID, planned["$id"])

    refused(400, "general_argument_invalid", functions.create_execution, ID, method="FETCH")
    refused(
        400,
        "general_argument_invalid",
        functions.create_execution,
        ID,
        headers={"x-appwrite-key": "mine"},
    )
    for asked, found in (
        ([Query.equal("status", "completed"), Query.order_desc("$createdAt")], [queued, first]),
        ([Query.starts_with("requestPath", "/a")], [first]),
        ([Query.equal("requestMethod", ["GET", "HEAD"])], [queued]),
        (
            [
                Query.equal("trigger", "http"),
                Query.equal("responseStatusCode", 200),
                Query.limit(1),
            ],
            [first],
        ),
        ([Query.greater_than("duration", 0.0), Query.cursor_after(first["$id"])], [queued]),
        ([Query.less_than("$createdAt", first["$createdAt"])], []),
    ):
        rows = functions.list_executions(ID, asked)["executions"]
        assert [row["$id"] for row in rows] == [row["$id"] for row in found], asked
    assert functions.list_executions(ID)["total"] == 2
    if not OLD:
        assert functions.list_executions(ID, total=False)["total"] == 0
    functions.delete_execution(ID, queued["$id"])
    refused(404, "execution_not_found", functions.get_execution, ID, queued["$id"])


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

    slow = functions.create_deployment(
        ID, InputFile.from_path(str(SMALL)), False, commands="sleep 60"
    )
    refused(400, "build_not_ready", activate, slow["$id"])
    canceled = cancel(slow["$id"])
    assert canceled["status"] == "canceled"
    if OLD:
        shape(
            canceled,
            "$id deploymentId status stdout stderr startTime endTime duration size",
            "buildLogs",
        )
    assert functions.get_deployment(ID, slow["$id"])["status"] == "canceled"
    broken = functions.create_deployment(
        ID, InputFile.from_bytes(b"no archive", "code.tar.gz"), False
    )
    failed = until(lambda: functions.get_deployment(ID, broken["$id"]), "failed")
    assert failed["buildLogs"]

    for asked, found in (
        ([Query.greater_than(SIZE, 11_000_000)], 1),
        ([Query.equal("type", ["manual", "cli"]), Query.limit(2)], 2),
        ([Query.equal("type", "vcs")], 0),
        ([Query.equal("$id", [slow["$id"], broken["$id"]]), Query.equal("activate", False)], 2),
        ([], 6),
    ):
        assert len(functions.list_deployments(ID, asked)["deployments"]) == found, asked
    if FORMAT < (1, 9):
        refused(
            400,
            "general_argument_invalid",
            functions.list_deployments,
            ID,
            [Query.select(["status"])],
        )
    else:
        # The models of 1.9 need every key of a deployment.
        asked = ["*"] if FORMAT < (1, 10) else ["status", SIZE]
        row = functions.list_deployments(ID, [Query.select(asked), Query.limit(1)])["deployments"][
            0
        ]
        assert row[SIZE] == small[SIZE]
        assert bool(row["type"]) == (asked == ["*"]), row
    functions.delete_deployment(ID, rebuilt["$id"])
    refused(404, "deployment_not_found", functions.get_deployment, ID, rebuilt["$id"])


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


def callers():
    """Call as users by session and JWT, as guests, and with unknown keys."""
    guest = Service(Functions(connect()))
    refused(401, "general_unauthorized_scope", guest.list)
    refused(401, "general_unauthorized_scope", Service(Functions(connect(key="unknown"))).get, ID)
    refused(401, "user_jwt_invalid", Service(Functions(connect(jwt="a.b.c"))).create_execution, ID)
    assert guest.create_execution(ID)["logs"] == ""

    session = plain(Account(connect(key=os.environ["KEY"])).create_anonymous_session())
    own = connect(session=session["secret"])
    account = Service(Account(own))
    assert account.get()["$id"] == session["userId"]
    user = Service(Functions(own))
    execution = user.create_execution(ID, path="/mine")
    assert execution["$permissions"] == [f'read("user:{session["userId"]}")']
    assert (execution["logs"], execution["errors"]) == ("", "")
    assert [row["$id"] for row in user.list_executions(ID)["executions"]] == [execution["$id"]]
    refused(401, "general_unauthorized_scope", user.get, ID)
    if account.has("create_jwt"):
        other = Service(Functions(connect(jwt=account.create_jwt()["jwt"])))
        assert other.get_execution(ID, execution["$id"])["requestPath"] == "/mine"
    account.delete_session("current")


def delete():
    updated = functions.update(ID, "Renamed", entrypoint=ENTRYPOINT, enabled=False)
    assert (updated["name"], updated["enabled"], updated["runtime"]) == ("Renamed", False, RUNTIME)
    assert ID in [row["$id"] for row in functions.list(search="Renamed")["functions"]]
    refused(404, "function_not_found", Service(Functions(connect())).create_execution, ID)
    functions.delete(ID)
    refused(404, "function_not_found", functions.get, ID)
    refused(404, "function_not_found", functions.delete, ID)


create()
variables()
small = deployments()
executions(small)
large = uploads_in_chunks()
later_deployments(small, large)
if not OLD:
    repositories()
callers()
if FORMAT >= (1, 9):
    rules_and_keys.check(ID)
queries.check(functions, f"{ID}-q")
delete()
functions.check_all_called()
print("all called")
