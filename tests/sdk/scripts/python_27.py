"""What a user of appwrite 27.0.0 (typed models, parallel uploads) does with functions, from creating to deleting."""

import json
import os
import time
from pathlib import Path

from appwrite.client import Client
from appwrite.exception import AppwriteException
from appwrite.id import ID as Ids
from appwrite.input_file import InputFile
from appwrite.models.deployment import Deployment
from appwrite.models.execution import Execution
from appwrite.models.function import Function
from appwrite.models.variable import Variable
from appwrite.query import Query
from appwrite.services.functions import Functions

functions = Functions(
    Client().set_endpoint(os.environ["ENDPOINT"]).set_project(os.environ["PROJECT"]).set_key(os.environ["KEY"])
)
ID = "sdk-python-27"
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
        if str(getattr(found.status, "value", found.status)) in statuses:
            return found
        assert str(getattr(found.status, "value", found.status)) != "failed", found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def deploy(path, on_progress=None):
    uploaded = functions.create_deployment(ID, InputFile.from_path(path), True, on_progress=on_progress)
    assert isinstance(uploaded, Deployment)
    return until(lambda: functions.get_deployment(ID, uploaded.id), "ready")


refused(404, "function_not_found", functions.get, ID)
refused(400, "general_argument_invalid", functions.create, "-bad", "Bad", os.environ["RUNTIME"])
created = functions.create(
    ID,
    "SDK",
    os.environ["RUNTIME"],
    execute=["any"],
    timeout=20,
    entrypoint=os.environ["ENTRYPOINT"],
    build_specification="s-1vcpu-1gb",
    runtime_specification="s-1vcpu-512mb",
)
assert isinstance(created, Function)
assert (created.id, created.name, created.execute, created.timeout) == (ID, "SDK", ["any"], 20)
assert (created.buildspecification, created.runtimespecification) == ("s-1vcpu-1gb", "s-1vcpu-512mb")
assert created.deploymentid == ""
refused(409, "function_already_exists", functions.create, ID, "SDK", os.environ["RUNTIME"])
refused(404, "deployment_not_found", functions.create_execution, ID)
assert any(runtime.id == os.environ["RUNTIME"] for runtime in functions.list_runtimes().runtimes)
assert functions.list_specifications().total >= 2
print("created")

variable = functions.create_variable(ID, Ids.unique(), "GREETING", "hello", secret=False)
assert isinstance(variable, Variable)
assert variable.secret is False
refused(409, "variable_already_exists", functions.create_variable, ID, Ids.unique(), "GREETING", "again")
assert functions.update_variable(ID, variable.id, value="hello there").key == "GREETING"
assert functions.get_variable(ID, variable.id).value == "hello there"
secret = functions.create_variable(ID, Ids.unique(), "TOKEN", "hidden")
assert secret.secret is True
assert functions.get_variable(ID, secret.id).value == ""
assert functions.list_variables(ID).total == 2
print("variables")

small = deploy(os.environ["CODE_SMALL"])
assert small.sourcesize == SMALL.stat().st_size
assert small.totalsize == small.sourcesize + small.buildsize
assert functions.get(ID).deploymentid == small.id
assert functions.get(ID).latestdeploymentstatus == "ready"
assert functions.get_deployment_download(ID, small.id) == SMALL.read_bytes()
print("deployed")

execution = functions.create_execution(
    ID, body=json.dumps({"n": 1}), path="/a/b?x=1", method="PUT", headers={"content-type": "application/json"}
)
assert isinstance(execution, Execution)
assert str(getattr(execution.status, "value", execution.status)) == "completed"
assert execution.responsestatuscode == 200
answer = json.loads(execution.responsebody)
assert answer["body"] == {"n": 1}
assert answer["query"] == {"x": "1"}
assert answer["greeting"] == "hello there"
assert {header.name: header.value for header in execution.responseheaders}["x-answered-by"]
assert execution.logs.strip() == "a line for the logs"
assert execution.errors.strip() == "a line for the errors"
assert execution.deploymentid == small.id

queued = functions.create_execution(ID, body="later", xasync=True, path="/queued")
finished = until(lambda: functions.get_execution(ID, queued.id), "completed")
assert finished.logs.strip() == "a line for the logs"
listed = functions.list_executions(ID, [Query.order_desc("$createdAt"), Query.limit(1)])
assert listed.total == 2
assert [row.id for row in listed.executions] == [queued.id]
assert functions.list_executions(ID, total=False).total == 0
functions.delete_execution(ID, queued.id)
refused(404, "execution_not_found", functions.get_execution, ID, queued.id)
print("executed")

for name in ("CODE_LARGE", "CODE_CHUNK"):
    large = deploy(os.environ[name], on_progress=lambda step: print("progress", step))
    assert large.sourcesize == Path(os.environ[name]).stat().st_size, large
    assert json.loads(functions.create_execution(ID).responsebody)["padding"] > 4_000_000
print("uploaded in chunks")

duplicate = functions.create_duplicate_deployment(ID, small.id)
assert isinstance(duplicate, Deployment)
assert duplicate.id not in (small.id, large.id)
rebuilt = until(lambda: functions.get_deployment(ID, duplicate.id), "ready")
assert rebuilt.sourcesize == small.sourcesize
refused(400, "build_already_completed", functions.update_deployment_status, ID, rebuilt.id)
assert functions.update_function_deployment(ID, small.id).deploymentid == small.id
assert json.loads(functions.create_execution(ID).responsebody)["padding"] == 0
assert functions.list_deployments(ID).total == 4
functions.delete_deployment(ID, rebuilt.id)
refused(404, "deployment_not_found", functions.get_deployment, ID, rebuilt.id)
print("rebuilt")

updated = functions.update(ID, "Renamed", enabled=False)
assert isinstance(updated, Function)
assert (updated.name, updated.enabled, updated.runtime) == ("Renamed", False, os.environ["RUNTIME"])
assert updated.entrypoint == os.environ["ENTRYPOINT"]
functions.delete_variable(ID, variable.id)
assert ID in [row.id for row in functions.list(search="Renamed").functions]
functions.delete(ID)
refused(404, "function_not_found", functions.get, ID)
print("deleted")
