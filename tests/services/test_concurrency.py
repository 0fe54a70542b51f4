"""Many requests at once to a real server: answers, log lines and records are not mixed up."""

import contextlib
import functools
import http.client
import itertools
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.serving import FUNCTIONS, PROJECT, Api, Server, pack

REQUESTS = 300
CALLERS = 64


@pytest.mark.parametrize("entrypoint", ["main.py", "main_async.py", "main.js"])
def test_answers_and_logs_are_not_mixed_up(
    entrypoint: str, server: Server, api: Api, node: str
) -> None:
    function_id = "mirror-" + entrypoint.replace(".", "-").replace("_", "-")
    api.create(
        function_id,
        api.runtime("node" if entrypoint.endswith("js") else "python"),
        entrypoint=entrypoint,
    )
    api.deploy(function_id, pack(FUNCTIONS / "mirror"))
    executions = run_many(server, function_id)
    for body, execution in executions.items():
        assert execution["responseBody"] == body, execution
        assert f"log of {body}" in execution["logs"].splitlines()
        mine = [line for line in execution["logs"].splitlines() if " of request-" in line]
        assert all(line.endswith(f" of {body}") for line in mine), execution["logs"]
        assert execution["errors"].splitlines() == [f"error of {body}"]
    stored = {
        row["$id"]: row for row in api.pages(f"/functions/{function_id}/executions", "executions")
    }
    assert len(stored) == REQUESTS
    for execution in executions.values():
        kept = stored[execution["$id"]]
        assert (kept["logs"], kept["status"]) == (execution["logs"], "completed")


def run_many(server: Server, function_id: str) -> dict[str, dict[str, str]]:
    """Run the function REQUESTS times, by CALLERS at a time; return body -> execution."""
    with ThreadPoolExecutor(CALLERS) as callers:
        parts = callers.map(functools.partial(run_some, server, function_id), range(CALLERS))
        return dict(itertools.chain.from_iterable(parts))


def run_some(server: Server, function_id: str, first: int) -> list[tuple[str, dict[str, str]]]:
    """Run every CALLERS-th request from `first` on, one after the other on one connection."""
    headers = {
        "content-type": "application/json",
        "x-appwrite-project": PROJECT,
        "x-appwrite-key": server.key,
    }
    done = []
    # httpx takes ten times the processor time for a request.
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    with contextlib.closing(connection):
        for number in range(first, REQUESTS, CALLERS):
            body = f"request-{number}"
            path = f"/v1/functions/{function_id}/executions"
            connection.request("POST", path, json.dumps({"body": body}), headers)
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == 201, text
            done.append((body, json.loads(text)))
    return done
