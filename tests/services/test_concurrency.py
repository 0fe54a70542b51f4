"""Many requests at once to a real server: answers, log lines and records are not mixed up."""

import asyncio

import httpx
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
    executions = asyncio.run(run_many(server, function_id))
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


async def run_many(server: Server, function_id: str) -> dict[str, dict[str, str]]:
    """Run the function REQUESTS times, CALLERS at a time; return body -> execution."""
    # The client's own queue takes long to search.
    callers = asyncio.Semaphore(CALLERS)
    limits = httpx.Limits(max_connections=CALLERS)
    headers = {"x-appwrite-project": PROJECT, "x-appwrite-key": server.key}
    async with httpx.AsyncClient(
        base_url=server.endpoint, headers=headers, limits=limits, timeout=60, trust_env=False
    ) as client:

        async def run(body: str) -> tuple[str, dict[str, str]]:
            async with callers:
                path = f"/functions/{function_id}/executions"
                answer = await client.post(path, json={"body": body})
            assert answer.status_code == 201, answer.text
            return body, answer.json()

        return dict(await asyncio.gather(*(run(f"request-{number}") for number in range(REQUESTS))))
