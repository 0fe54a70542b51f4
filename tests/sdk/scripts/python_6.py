"""What a user of appwrite 6.1.0 (API 1.6, plain dicts) does with functions, from creating one to deleting it."""

import json
import os
import time
from pathlib import Path

from appwrite.client import Client
from appwrite.exception import AppwriteException
from appwrite.input_file import InputFile
from appwrite.query import Query
from appwrite.services.functions import Functions

functions = Functions(
    Client().set_endpoint(os.environ["ENDPOINT"]).set_project(os.environ["PROJECT"]).set_key(os.environ["KEY"])
)
ID = "sdk-python-6"
SMALL = Path(os.environ["CODE_SMALL"])


def refused(code, type, call, *arguments, **named):
    error = None
    try:
        call(*arguments, **named)
    except AppwriteException as raised:
        error = raised
    assert error is not None, f"expected {code} {type}"
    assert (error.code, error.type) == (code, type), error.message
    assert error.message


def until(call, *statuses):
    deadline = time.monotonic() + 60
    while True:
        found = call()
        if found["status"] in statuses:
            return found
        assert found["status"] != "failed", found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def deploy(path, activate=True, on_progress=None):
    uploaded = functions.create_deployment(ID, InputFile.from_path(path), activate, on_progress=on_progress)
    return until(lambda: functions.get_deployment(ID, uploaded["$id"]), "ready")


refused(404, "function_not_found", functions.get, ID)
refused(400, "general_argument_invalid", functions.create, "-bad", "Bad", os.environ["RUNTIME"])
created = functions.create(
    ID, "SDK", os.environ["RUNTIME"], execute=["any"], timeout=20, entrypoint=os.environ["ENTRYPOINT"]
)
assert created["$id"] == ID
assert created["execute"] == ["any"]
assert created["timeout"] == 20
assert created["enabled"] is True
assert created["deployment"] == ""
refused(409, "function_already_exists", functions.create, ID, "SDK", os.environ["RUNTIME"])
refused(404, "deployment_not_found", functions.create_execution, ID)
assert any(runtime["$id"] == os.environ["RUNTIME"] for runtime in functions.list_runtimes()["runtimes"])
assert functions.list_specifications()["total"] >= 2
print("created")

variable = functions.create_variable(ID, "GREETING", "hello")
refused(409, "variable_already_exists", functions.create_variable, ID, "GREETING", "again")
functions.update_variable(ID, variable["$id"], "GREETING", "hello there")
assert functions.get_variable(ID, variable["$id"])["value"] == "hello there"
assert functions.list_variables(ID)["total"] == 1
assert functions.get(ID)["vars"][0]["key"] == "GREETING"
print("variables")

small = deploy(os.environ["CODE_SMALL"])
assert small["size"] == SMALL.stat().st_size
assert small["buildTime"] >= 1
assert small["buildSize"] > 0
assert functions.get(ID)["deployment"] == small["$id"]
assert functions.get_deployment_download(ID, small["$id"]) == SMALL.read_bytes()
print("deployed")

execution = functions.create_execution(
    ID, body=json.dumps({"n": 1}), path="/a/b?x=1", method="PUT", headers={"content-type": "application/json"}
)
assert execution["status"] == "completed", execution
assert execution["responseStatusCode"] == 200
answer = json.loads(execution["responseBody"])
assert answer["method"] == "PUT"
assert answer["path"] == "/a/b"
assert answer["query"] == {"x": "1"}
assert answer["body"] == {"n": 1}
assert answer["greeting"] == "hello there"
assert answer["trigger"] == "http"
assert {header["name"]: header["value"] for header in execution["responseHeaders"]}["x-answered-by"]
assert execution["logs"].strip() == "a line for the logs"
assert execution["errors"].strip() == "a line for the errors"
assert execution["duration"] > 0

queued = functions.create_execution(ID, body="later", xasync=True, path="/queued", method="POST")
assert queued["status"] == "waiting"
assert queued["responseBody"] == ""
finished = until(lambda: functions.get_execution(ID, queued["$id"]), "completed")
assert finished["requestPath"] == "/queued"
assert finished["logs"].strip() == "a line for the logs"
listed = functions.list_executions(
    ID, [Query.equal("status", "completed"), Query.order_desc("$createdAt"), Query.limit(1)]
)
assert listed["total"] == 2
assert [row["$id"] for row in listed["executions"]] == [queued["$id"]]
assert functions.list_executions(ID, [Query.cursor_after(queued["$id"])])["total"] == 2
functions.delete_execution(ID, queued["$id"])
refused(404, "execution_not_found", functions.get_execution, ID, queued["$id"])
print("executed")

for name in ("CODE_LARGE", "CODE_CHUNK"):
    progress = []
    large = deploy(os.environ[name], on_progress=progress.append)
    size = Path(os.environ[name]).stat().st_size
    assert large["size"] == size, large
    assert [step["progress"] for step in progress][-1] == 100
    assert progress[-1]["chunksTotal"] == progress[-1]["chunksUploaded"] == -(-size // (5 * 1024 * 1024)), progress
    answer = json.loads(functions.create_execution(ID)["responseBody"])
    assert answer["padding"] > 4_000_000, answer
print("uploaded in chunks")

functions.create_build(ID, small["$id"])
newest = functions.list_deployments(ID, [Query.order_desc("$createdAt"), Query.limit(1)])["deployments"][0]
assert newest["$id"] not in (small["$id"], large["$id"])
rebuilt = until(lambda: functions.get_deployment(ID, newest["$id"]), "ready")
assert rebuilt["size"] == small["size"]
refused(400, "build_already_completed", functions.update_deployment_build, ID, rebuilt["$id"])
assert functions.update_deployment(ID, small["$id"])["deployment"] == small["$id"]
assert json.loads(functions.create_execution(ID)["responseBody"])["padding"] == 0
assert functions.list_deployments(ID)["total"] == 4
functions.delete_deployment(ID, rebuilt["$id"])
refused(404, "deployment_not_found", functions.get_deployment, ID, rebuilt["$id"])
print("rebuilt")

updated = functions.update(ID, "Renamed", entrypoint=os.environ["ENTRYPOINT"], enabled=False)
assert updated["name"] == "Renamed"
assert updated["enabled"] is False
assert updated["runtime"] == os.environ["RUNTIME"]
functions.delete_variable(ID, variable["$id"])
assert ID in [row["$id"] for row in functions.list(search="Renamed")["functions"]]
functions.delete(ID)
refused(404, "function_not_found", functions.get, ID)
refused(404, "function_not_found", functions.delete, ID)
print("deleted")
