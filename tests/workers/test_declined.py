"""Requests that a worker hands back, and requests whose caller is gone."""

import asyncio
import dataclasses
from pathlib import Path

from tests.workers.harness import function
from tests.workers.rogue import ANSWER_ALL, first_answer, rogue

#: The first worker declines its second request and answers the first once the other was answered.
DECLINES = """
marker = os.path.join(os.environ["TMPDIR"], "..", "declined")
answered = marker + " and answered"
send(READY)
first, _ = read()
if os.path.exists(marker):
    answer(first)
    open(answered, "w").close()
else:
    second, _ = read()
    open(marker, "w").close()
    send({"type": "capacity", "concurrency": 1})
    send({"type": "decline", "id": second["id"]})
    while not os.path.exists(answered):
        time.sleep(0.01)
    answer(first)
read()
"""


def test_a_declined_request_goes_to_another_worker(tmp_path: Path) -> None:
    async def run() -> None:
        async with function(tmp_path, rogue(DECLINES)) as call:
            for answer in await asyncio.gather(call(), call()):
                assert (answer.status_code, answer.failure, answer.delivered) == (200, "", True)

    asyncio.run(run())


def test_a_worker_that_declines_everything_fails_the_request(tmp_path: Path) -> None:
    script = ANSWER_ALL + "    send({'type': 'decline', 'id': request['id']})\n"
    answer = first_answer(tmp_path, script)
    assert (answer.failure, answer.errors) == (
        "died",
        "The function's workers handed the request back too often.\n",
    )


def test_a_worker_whose_answered_call_goes_on_is_replaced(tmp_path: Path) -> None:
    """A function that forges its answer keeps its worker busy, and the server cannot know it."""
    script = "send(READY)\nanswer(read()[0])\n" + (
        "while True: send({'type': 'decline', 'id': read()[0]['id']})\n"
    )

    async def run() -> None:
        async with function(tmp_path, rogue(script), function_workers_max=1) as call:
            for _ in range(3):
                answer = await call()
                assert (answer.status_code, answer.failure) == (200, "")

    asyncio.run(run())


def test_a_cancelled_request_occupies_its_worker_until_it_is_answered(tmp_path: Path) -> None:
    async def run() -> None:
        script = ANSWER_ALL + (
            "    if request['type'] == 'request':\n"
            "        time.sleep(0.3 if request['path'] == '/slow' else 0); answer(request)\n"
        )
        spec = dataclasses.replace(rogue(script), concurrency=1)
        async with function(tmp_path, spec, function_workers_max=1) as call:
            await call()
            task = asyncio.create_task(call("/slow"))
            await call.until(lambda: call.pool.busy == 1)
            task.cancel()
            await asyncio.wait([task])
            assert call.pool.busy == 1
            assert (await call()).status_code == 200
            assert call.pool.busy == 0

    asyncio.run(run())
