"""Behaviour of JavaScript: two kinds of modules, values in logs, and overlapping requests."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from minifn.languages import RuntimeTable
from minifn.workers.records import FunctionResponse
from tests.runtimes.conftest import newest
from tests.workers.harness import FUNCTIONS, Caller, Language, function

CASE = FUNCTIONS / "contract_node"
NOTICE = "Native logs detected. Use context.log() or context.error() for better experience."


@pytest.fixture(scope="module", params=["node", "bun", "deno"])
def javascript(request: pytest.FixtureRequest, runtime_table: RuntimeTable) -> Language:
    """Each language that runs JavaScript; skips where it is missing."""
    runtime = newest(runtime_table, request.param)
    return Language(key=request.param, suffix=".js", runtime=runtime, table=runtime_table)


def answers(
    language: Language, run_dir: Path, *paths: str, body: bytes = b""
) -> list[FunctionResponse]:
    """Return the case's answers to some paths, called in turn."""

    async def ask() -> list[FunctionResponse]:
        async with function(run_dir, language.spec(CASE, "main")) as call:
            return [await call(path, body=body) for path in paths]

    return asyncio.run(ask())


@pytest.mark.parametrize("entry", ["esm.mjs", "default.cjs", "nested.cjs"])
def test_modules_of_every_kind(javascript: Language, entry: str, tmp_path: Path) -> None:
    async def ask() -> FunctionResponse:
        name, _, suffix = entry.partition(".")
        language = replace(javascript, suffix=f".{suffix}")
        async with function(tmp_path, language.spec(CASE / "modules", name)) as call:
            return await call()

    answer = asyncio.run(ask())
    assert (answer.status_code, answer.body.decode(), answer.errors) == (
        200,
        entry.partition(".")[0],
        "",
    )


def test_package_type_makes_modules_of_js_files(javascript: Language, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "package.json").write_text('{"type": "module"}')
    (code / "other.js").write_text("export const name = 'other';\n")
    (code / "main.js").write_text(
        "import { name } from './other.js';\nexport default ({ res }) => res.text(name);\n"
    )

    async def ask() -> FunctionResponse:
        async with function(tmp_path / "run", javascript.spec(code, "main")) as call:
            return await call()

    assert asyncio.run(ask()).body == b"other"


def test_an_es_module_that_cannot_be_imported(javascript: Language, tmp_path: Path) -> None:
    async def ask() -> FunctionResponse:
        language = replace(javascript, suffix=".mjs")
        async with function(tmp_path, language.spec(CASE / "modules", "broken")) as call:
            return await call()

    answer = asyncio.run(ask())
    assert (answer.status_code, answer.body) == (503, b"")
    assert answer.errors.startswith("Failed to load module: ")
    assert "absent.mjs" in answer.errors


@pytest.mark.parametrize(
    ("entry", "other"),
    [
        ('import { absent } from "./other.mjs";\n', "export const there = 1;\n"),
        ('import "./other.mjs";\n', "export const broken = ;\n"),
        ('import "./other.mjs";\n', 'throw new Error("no configuration");\n'),
        ('import "./other.mjs";\nawait 1;\n', 'await 1;\nthrow new Error("later");\n'),
        ('import "no-such-package";\n', ""),
    ],
)
def test_an_es_module_that_failed_says_so_in_the_same_words(
    javascript: Language, entry: str, other: str, tmp_path: Path
) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "main.mjs").write_text(entry + "export default ({ res }) => res.empty();\n")
    (code / "other.mjs").write_text(other)

    async def ask() -> list[FunctionResponse]:
        language = replace(javascript, suffix=".mjs")
        async with function(tmp_path / "run", language.spec(code, "main")) as call:
            return [await call() for _ in range(3)]

    first, *later = asyncio.run(ask())
    assert first.status_code == 503
    assert first.errors.startswith(("Syntax error in main.mjs: ", "Failed to load module: "))
    assert "?" not in first.errors
    assert [answer.errors for answer in later] == [first.errors] * 2


SHARED_HEADERS = """
const FROZEN = Object.freeze({ "x-app": "1", "Content-Type": "text/html", Location: "/old" });
const PAIRS = Object.freeze([["set-cookie", "a=1"], ["set-cookie", "b=2"]]);
const shared = { "x-app": "1" };
module.exports = ({ req, res }) => ({
  "/frozen": () => res.json({}, 200, FROZEN),
  "/redirect": () => res.redirect("/new", 302, FROZEN),
  "/pairs": () => res.json({}, 200, PAIRS),
  "/null": () => res.json({}, 200, null),
  "/json": () => res.json({}, 200, shared),
  "/moved": () => res.redirect("/new", 301, shared),
  "/text": () => res.text("plain", 200, shared),
})[req.path]();
"""


def test_headers_that_a_module_keeps_stay_as_they_are(javascript: Language, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "main.js").write_text(SHARED_HEADERS)
    json_type, text_type = (
        ("content-type", f"{kind}; charset=utf-8") for kind in ("application/json", "text/plain")
    )

    async def ask() -> None:
        async with function(tmp_path / "run", javascript.spec(code, "main")) as call:
            assert set((await call("/frozen")).headers) == {
                json_type,
                ("x-app", "1"),
                ("location", "/old"),
            }
            redirect = await call("/redirect")
            assert ("location", "/new") in redirect.headers
            assert ("location", "/old") not in redirect.headers
            assert (await call("/pairs")).headers == (
                json_type,
                ("set-cookie", "a=1"),
                ("set-cookie", "b=2"),
            )
            assert (await call("/null")).headers == (json_type,)
            assert (await call("/json")).headers == (json_type, ("x-app", "1"))
            assert (await call("/moved")).status_code == 301
            assert (await call("/text")).headers == (text_type, ("x-app", "1"))

    asyncio.run(ask())


def test_values_in_logs(javascript: Language, tmp_path: Path) -> None:
    (answer,) = answers(javascript, tmp_path, "/values")
    assert answer.logs.split("\n")[:-1] == json.loads(answer.body)


def test_errors_show_their_stack_without_the_wrapper(javascript: Language, tmp_path: Path) -> None:
    logged, rejected, caused = answers(javascript, tmp_path, "/error", "/reject", "/cause")
    first, *frames = logged.errors.splitlines()
    assert first == "Error: logged"
    assert frames[-1].endswith(" after")
    assert "contract_node/main.js" in frames[0]
    assert "server.cjs" not in logged.errors + rejected.errors
    assert rejected.errors.startswith("TypeError: rejected\n")
    assert [line for line in caused.errors.splitlines() if "Error" in line] == [
        "Error: outer",
        "Caused by: Error: inner",
    ]


def test_anything_may_be_thrown(javascript: Language, tmp_path: Path) -> None:
    thrown = answers(javascript, tmp_path, "/throw-text", "/throw-null", "/throw-object")
    assert [answer.errors for answer in thrown] == ["just text\n", "null\n", '{"code":7}\n']
    assert {(answer.status_code, answer.body) for answer in thrown} == {(500, b"")}


def test_every_console_function_goes_to_the_logs(javascript: Language, tmp_path: Path) -> None:
    (answer,) = answers(javascript, tmp_path, "/native")
    assert answer.logs.splitlines() == [NOTICE, "%s log", '{"a":1}', "[1]", "warn", "error"]
    assert answer.errors == ""


def test_output_of_overlapping_calls_is_kept_apart(javascript: Language, tmp_path: Path) -> None:
    async def overlap(call: Caller, number: int) -> None:
        answer = await call("/overlap", query=f"ms={number % 7}", body=str(number).encode())
        assert answer.body == str(number).encode()
        assert answer.logs.splitlines() == [
            NOTICE,
            f"native {number}",
            f"again {number}",
            f"log {number}",
        ]

    async def run() -> None:
        spec = javascript.spec(CASE, "main", concurrency=1000)
        async with function(tmp_path, spec, function_workers_max=1) as call:
            await asyncio.gather(*(overlap(call, number) for number in range(1000)))
            assert call.pool.workers == 1

    asyncio.run(run())


@pytest.mark.parametrize(
    ("path", "says", "logs"),
    [
        ("/unhandled", "nobody listens", ""),
        ("/timer", "in a timer", "before\n"),
        ("/exit", "exited with code 0", "before\n"),
    ],
)
def test_an_end_of_the_process_fails_the_call(
    javascript: Language, path: str, says: str, logs: str, tmp_path: Path
) -> None:
    first, ended, after = answers(javascript, tmp_path, "/pid", path, "/pid")
    assert (ended.status_code, ended.body, ended.failure, ended.logs) == (500, b"", "died", logs)
    assert says in ended.errors
    assert after.status_code == 200
    assert after.body != first.body


def test_children_do_not_get_the_socket(javascript: Language, tmp_path: Path) -> None:
    (listing,) = answers(javascript, tmp_path, "/descriptors-text")
    # Descriptor 3 belongs to the listing of the directory.
    assert listing.body.split() == [b"0", b"1", b"2", b"3"]


def test_bodies_of_other_types(javascript: Language, tmp_path: Path) -> None:
    number, made, buffer, wrong = answers(
        javascript, tmp_path, "/body-number", "/body-object", "/array-buffer", "/descriptors"
    )
    assert (number.body, made.body, buffer.body) == (b"50", b'{"a":1}', b"\x01\x00\x02\x00")
    assert wrong.status_code == 500
    assert "context.res.text() takes a string" in wrong.errors


def test_headers_may_be_a_headers_object_but_must_be_valid(
    javascript: Language, tmp_path: Path
) -> None:
    good, bad = answers(javascript, tmp_path, "/headers-object", "/wrong-header")
    assert ("x-one", "1") in good.headers
    assert (bad.status_code, bad.errors) == (
        500,
        'The response\'s header name "bad name" is invalid.\n',
    )


def test_requests_and_responses_may_be_destructured(javascript: Language, tmp_path: Path) -> None:
    apart, spread, thenable = answers(
        javascript, tmp_path, "/destructured", "/spread", "/late-answer", body=b'{"a":1}'
    )
    assert json.loads(apart.body) == {"bodyJson": {"a": 1}, "bodyText": '{"a":1}'}
    assert {"body", "bodyText", "bodyJson", "bodyBinary", "bodyRaw", "url"} <= set(
        json.loads(spread.body)
    )
    assert thenable.body == b"thenable"


def test_children_of_a_timed_out_call_end_with_its_worker(
    javascript: Language, tmp_path: Path
) -> None:
    async def run() -> None:
        async with function(tmp_path, javascript.spec(CASE, "main")) as call:
            first = (await call("/pid")).body
            running = asyncio.create_task(call("/overlap", query="ms=300", body=b"x"))
            await call.until(lambda: call.pool.busy == 1)
            assert (await call("/linger", seconds=0.1)).failure == "timeout"
            assert (await call("/pid")).body != first
            assert (await running).body == b"x"
            await call.until(lambda: call.pool.workers == 1)

    asyncio.run(run())


def test_a_stopped_worker_finishes_its_calls(javascript: Language, tmp_path: Path) -> None:
    async def run() -> None:
        spec = javascript.spec(CASE, "main")
        async with function(tmp_path, spec) as call:
            await call("/pid")
            running = asyncio.create_task(call("/overlap", query="ms=300", body=b"x"))
            await call.until(lambda: call.pool.busy == 1)
            call.pool.drop(spec.key)
            assert (await running).body == b"x"
            await call.until(lambda: call.pool.workers == 0)

    asyncio.run(run())
