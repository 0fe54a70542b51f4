"""Executions of a function, by keys, users and guests."""

import datetime
import json
import os

from appwrite.query import Query
from appwrite.services.account import Account
from appwrite.services.functions import Functions
from client import Service, connect, plain, refused, until
from target import (
    ID,
    OLD,
    functions,
    names_of_versions,
    shape,
)


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
