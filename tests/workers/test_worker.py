"""Workers that break the protocol or do not start: each ends alone, with a clear reason."""

import asyncio
import time
from pathlib import Path

import pytest

from minifn.sandbox.command import Command
from minifn.workers.records import CALLS_LOG_BYTES, FLOOD_SECONDS, WorkerSpec
from tests.patience import patient
from tests.workers.harness import Caller, function
from tests.workers.rogue import ANSWER_ALL, NOTHING, first_answer, rogue


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("os.write(3, b'HTTP/1.1 200 OK' + bytes(100))", "the limit is"),
        ("send(b'not json')", "bad frame header"),
        ("send({'type': 'response', 'id': 1, 'statusCode': 'x'})", "bad frame header"),
        (
            "send({'type': 'response', 'id': 1, 'statusCode': 1000, 'headers': []})",
            "status code 1000",
        ),
        (
            "send({'type': 'response', 'id': 1, 'statusCode': 200, 'headers': {'a': 'b'}})",
            "bad response headers",
        ),
        (
            "send({'type': 'response', 'id': 2, 'statusCode': 200, 'headers': []}, b'poison')",
            "request 2, which was",
        ),
        ("send({'type': 'log', 'id': 99, 'stream': 'logs'}, b'x')", "request 99, which was"),
        ("send({'type': 'log', 'id': 0, 'stream': 'logs'}, b'x')", "request 0, which was"),
        ("send(READY)", "ready was said twice"),
        ("send({'type': 'request', 'id': 1})", "bad frame header"),
    ],
)
def test_a_worker_that_breaks_the_protocol_is_ended(
    frame: str, reason: str, tmp_path: Path
) -> None:
    answer = first_answer(tmp_path, ANSWER_ALL + f"    {frame}\n")
    assert (answer.status_code, answer.body, answer.failure) == (500, b"", "died")
    assert answer.errors.startswith("The worker broke the protocol: ")
    assert reason in answer.errors


def test_an_early_answer_never_reaches_the_next_caller(tmp_path: Path) -> None:
    async def run() -> None:
        script = ANSWER_ALL + "    answer(request)\n    answer(request, b'poison')\n"
        async with function(tmp_path, rogue(script)) as call:
            assert [(await call()).body for _ in range(20)] == [b"right"] * 20
            assert call.pool.workers == 1

    asyncio.run(run())


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("sys.stderr.write('no such library\\n'); sys.exit(3)", "exited with code 3"),
        ("os.kill(os.getpid(), 11)", "ended by signal 11 (SIGSEGV)"),
        ("send({'type': 'ready', 'protocol': 2})", "protocol 2 instead of 1"),
    ],
)
def test_a_worker_that_does_not_start_says_why(script: str, reason: str, tmp_path: Path) -> None:
    answer = first_answer(tmp_path, script)
    assert (answer.status_code, answer.failure, answer.delivered) == (500, "start", False)
    assert reason in answer.errors
    assert ("no such library" in answer.errors) == ("library" in script)


@pytest.mark.parametrize(
    "script",
    [
        "os.write(2, b'\\x1b[2J\\nminifn: stopped: all is lost\\n' * 1000); sys.exit(3)",
        "send({'type': 'ready', 'protocol': '\\x1b[2J\\nminifn: stopped: all is lost\\n' * 1000})",
        "send({'type': '\\x1b[2J\\nminifn: stopped: all is lost\\n' * 1000})",
    ],
)
def test_a_worker_that_does_not_start_adds_one_line_to_the_servers_log(
    script: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert first_answer(tmp_path, script).failure == "start"
    (line,) = [record.getMessage() for record in caplog.records if record.name == "minifn.workers"]
    assert line.startswith("rogue: The ")
    assert line.isprintable()
    assert len(line) < 400


def test_a_signal_without_a_name_ends_the_call_and_the_worker(tmp_path: Path) -> None:
    async def run() -> None:
        async with function(tmp_path, rogue(ANSWER_ALL + "    os.kill(os.getpid(), 40)\n")) as call:
            async with asyncio.timeout(5):
                answer = await call()
            assert (answer.failure, answer.errors) == (
                "died",
                "The function's process was ended by signal 40.\n",
            )
            assert call.pool.workers == 0

    asyncio.run(run())


def test_a_program_that_is_missing(tmp_path: Path) -> None:
    async def run() -> None:
        spec = WorkerSpec(key="x", command=Command(argv=("/no/such/program",), env={}))
        async with function(tmp_path, spec) as call:
            answer = await call()
            assert (answer.status_code, answer.failure) == (500, "start")
            assert "/no/such/program" in answer.errors
            assert call.pool.workers == 0

    asyncio.run(run())


def test_a_worker_that_is_never_ready_times_out(tmp_path: Path) -> None:
    began = time.monotonic()
    answer = first_answer(tmp_path, "time.sleep(60)", seconds=0.3)
    assert time.monotonic() - began < patient(3)
    assert (answer.status_code, answer.failure, answer.delivered) == (500, "timeout", False)
    assert answer.errors == "Execution timed out.\nNo worker was started in time.\n"


def test_the_end_of_the_time_is_said_once(tmp_path: Path) -> None:
    """A wrapper says it, but the server ends the call before the answer comes."""
    line = (
        'send({"type": "log", "id": request["id"], "stream": "errors"}, b"Execution timed out.\\n")'
    )
    answer = first_answer(tmp_path, f"{ANSWER_ALL}    {line}\n", seconds=patient(1))
    assert (answer.failure, answer.errors) == ("timeout", "Execution timed out.\n")


def test_a_silent_worker_is_ended_at_the_deadline_with_the_logs_so_far(tmp_path: Path) -> None:
    async def run() -> None:
        script = (
            ANSWER_ALL
            + "    send({'type': 'log', 'id': request['id'], 'stream': 'logs'}, b'so far\\n')\n"
        )
        async with function(tmp_path, rogue(script)) as call:
            began = time.monotonic()
            answer = await call(seconds=1)
            assert time.monotonic() - began < patient(3)
            assert (answer.failure, answer.logs, answer.errors) == (
                "timeout",
                "so far\n",
                "Execution timed out.\n",
            )
            assert answer.delivered
            await call.until(lambda: call.pool.workers == 0)

    asyncio.run(run())


def test_a_crash_is_reported_with_the_output_of_this_call_only(tmp_path: Path) -> None:
    async def run() -> None:
        script = ANSWER_ALL + (
            "    if request['path'] == '/crash':\n"
            "        os.write(2, b'segment gone\\n'); os._exit(9)\n"
            "    os.write(2, b'of another caller\\n'); time.sleep(0.05); answer(request)\n"
        )
        async with function(tmp_path, rogue(script)) as call:
            await call()
            crash = await call("/crash")
            assert (
                crash.errors
                == "The function's process exited with code 9 before it answered.\nsegment gone\n"
            )

    asyncio.run(run())


def test_a_flood_of_output_blocks_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        script = (
            ANSWER_ALL
            + "    os.write(1, bytes(60000)); os.write(2, bytes(60000)); answer(request)\n"
        )
        async with function(tmp_path, rogue(script)) as call:
            answers = [await call() for _ in range(20)]
            assert [answer.status_code for answer in answers] == [200] * 20

    asyncio.run(run())


def test_an_answer_just_before_the_end_counts(tmp_path: Path) -> None:
    answer = first_answer(
        tmp_path, ANSWER_ALL + "    answer(request, bytes(5_000_000)); os._exit(1)\n"
    )
    assert (answer.status_code, len(answer.body)) == (200, 5_000_000)


@pytest.mark.parametrize("stuck", [True, False])
def test_a_call_that_timed_out_takes_its_worker_out_of_service(stuck: bool, tmp_path: Path) -> None:
    async def run() -> None:
        script = ANSWER_ALL + (
            "    if request['path'] == '/late':\n"
            "        own = str(os.getpid()).encode()\n"
            f"        answer(request, own, failure='timeout', stuck={stuck})\n"
            "        continue\n"
            "    answer(request, str(os.getpid()).encode())\n"
        )
        async with function(tmp_path, rogue(script)) as call:
            late = await call("/late")
            assert late.failure == "timeout"
            assert (await call()).body != late.body
            await call.until(lambda: call.pool.workers == 1)

    asyncio.run(run())


def test_many_large_requests_at_once(tmp_path: Path) -> None:
    script = """
def read_whole(count):
    parts = []
    while count:
        parts.append(os.read(3, count))
        count -= len(parts[-1])
    return b"".join(parts)

send(READY)
while True:
    header_length, body_length = struct.unpack(">II", read_whole(8))
    request = json.loads(read_whole(header_length))
    answer(request, read_whole(body_length))
"""

    async def ask(call: Caller, number: int) -> bool:
        body = bytes([number]) * 3_000_000
        return (await call(body=body)).body == body

    async def run() -> None:
        async with function(tmp_path, rogue(script)) as call:
            assert all(await asyncio.gather(*(ask(call, number) for number in range(8))))

    asyncio.run(run())


@pytest.mark.parametrize(
    "flood",
    [
        "os.write(1, bytes(65536))",
        "send({'type': 'log', 'id': 1, 'stream': 'logs'}, b'x' * 65536)",
        "os.write(3, NOTHING * 1000)",
        "send({'type': 'log', 'id': 1, 'stream': 'logs', 'more': 'x' * 1000000})",
    ],
)
def test_a_worker_that_floods_the_server_between_calls_is_ended(flood: str, tmp_path: Path) -> None:
    async def run() -> None:
        script = f"{NOTHING}{ANSWER_ALL}    answer(request)\n    while True: {flood}\n"
        async with function(tmp_path, rogue(script)) as call:
            assert (await call()).body == b"right"
            await call.until(lambda: call.pool.workers == 0, 20)

    asyncio.run(run())


def test_concurrent_calls_share_the_limit_of_kept_logs(tmp_path: Path) -> None:
    each = 2 * 1024 * 1024
    calls = 2 * CALLS_LOG_BYTES // each
    log = f"send({{'type': 'log', 'id': request['id'], 'stream': 'logs'}}, b'x' * {each})\n"
    script = (
        f"send(READY)\nrequests = [read()[0] for _ in range({calls})]\n"
        f"for request in requests: {log}"
        "for request in requests: answer(request)\n"
        f"request, _ = read()\n{log}answer(request)\nread()\n"
    )

    async def run() -> None:
        async with function(tmp_path, rogue(script)) as call:
            answers = await asyncio.gather(*(call() for _ in range(calls)))
            assert {answer.status_code for answer in answers} == {200}
            cut = [answer.logs for answer in answers if len(answer.logs) < each]
            assert sum(len(answer.logs) for answer in answers) < CALLS_LOG_BYTES + 100 * calls
            assert len(cut) >= calls // 2 - 1
            assert all(
                logs.endswith("\nLog file has been truncated: too much is logged at once.\n")
                for logs in cut
            )
            assert (await call()).logs == "x" * each

    asyncio.run(run())


def test_a_call_of_endless_empty_logs_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A busy machine reads less in that time.
    monkeypatch.setattr("minifn.workers.output.FLOOD_SECONDS", patient(FLOOD_SECONDS))
    answer = first_answer(
        tmp_path, f"{NOTHING}{ANSWER_ALL}    while True: os.write(3, NOTHING * 1000)\n", seconds=60
    )
    assert answer.failure == "died"
    assert answer.errors.startswith(
        "The function's process wrote faster than the server can read.\n"
    )
