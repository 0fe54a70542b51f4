"""The request as a function sees it, in every language."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from minifn.workers.records import FunctionResponse
from tests.workers.harness import FUNCTIONS, Language, function

LARGE = 17 * 1024 * 1024


def ask(
    language: Language, run_dir: Path, env: dict[str, str] | None = None, **fields: Any
) -> FunctionResponse:
    """Return the case's answer to one request."""

    async def call_once() -> FunctionResponse:
        async with function(
            run_dir, language.spec(FUNCTIONS / "contract_request", "main", env)
        ) as call:
            return await call(**fields)

    return asyncio.run(call_once())


def seen(
    language: Language, run_dir: Path, env: dict[str, str] | None = None, **fields: Any
) -> dict[str, Any]:
    """Return one request as the function saw it."""
    answer = ask(language, run_dir, env, **fields)
    assert answer.status_code == 200, answer
    found: dict[str, Any] = json.loads(answer.body)
    return found


def test_a_request_arrives_whole(language: Language, tmp_path: Path) -> None:
    request = seen(
        language,
        tmp_path,
        method="PATCH",
        scheme="https",
        host="example.com",
        port=8443,
        path="/a%20b/c",
        query="a=b&c==d&e=f=g=&h&i=j&&k&a=%41",
        headers=(
            ("x-one", "1"),
            ("x-open-runtimes-secret", "hidden"),
            ("content-type", "text/plain"),
        ),
        body="grüße".encode(),
    )
    # As upstream: Python has path and query decoded, Node.js raw.
    path, last = ("/a b/c", "A") if language.key == "python" else ("/a%20b/c", "%41")
    assert request == {
        "method": "PATCH",
        "scheme": "https",
        "host": "example.com",
        "port": 8443,
        "path": path,
        "queryString": f"a=b&c==d&e=f=g=&h&i=j&&k&a={last}",
        "query": {"a": last, "c": "=d", "e": "f=g=", "h": "", "i": "j", "k": ""},
        "url": f"https://example.com:8443{path}?a=b&c==d&e=f=g=&h&i=j&&k&a={last}",
        "headers": {"x-one": "1", "content-type": "text/plain"},
        "body": "grüße",
        "bodyText": "grüße",
        "bodyRaw": "grüße",
        "bodyBytes": 7,
    }


def test_default_ports_are_not_in_the_url(language: Language, tmp_path: Path) -> None:
    assert seen(language, tmp_path / "a", host="h", port=80, path="/")["url"] == "http://h/"
    assert (
        seen(language, tmp_path / "b", host="h", port=443, path="/", scheme="https")["url"]
        == "https://h/"
    )


def test_json_bodies_are_parsed(language: Language, tmp_path: Path) -> None:
    parsed = seen(
        language,
        tmp_path / "a",
        body=b'{"a":[1]}',
        headers=(("content-type", "Application/JSON; charset=utf-8"),),
    )
    assert (parsed["body"], parsed["bodyText"]) == ({"a": [1]}, '{"a":[1]}')
    assert (
        seen(language, tmp_path / "b", headers=(("content-type", "application/json"),))["body"]
        == {}
    )
    form = (("content-type", "application/x-www-form-urlencoded"),)
    assert seen(language, tmp_path / "c", body=b"a=1", headers=form)["body"] == "a=1"


def test_body_json_ignores_the_content_type(language: Language, tmp_path: Path) -> None:
    parsed = ask(language, tmp_path / "a", path="/body-json", body=b"[1,2]")
    assert json.loads(parsed.body) == {"parsed": [1, 2]}
    empty = ask(language, tmp_path / "b", path="/body-json")
    assert (empty.status_code, empty.body) == (500, b"")
    assert "JSON" in empty.errors


def test_large_and_binary_bodies(language: Language, tmp_path: Path) -> None:
    body = os.urandom(LARGE)
    answer = ask(language, tmp_path, path="/binary", body=body)
    assert (answer.status_code, answer.body == body) == (200, True)


def test_enforced_headers_win(language: Language, tmp_path: Path) -> None:
    env = {"OPEN_RUNTIMES_HEADERS": json.dumps({"X-Key": 5, "x-new": "n"})}
    request = seen(language, tmp_path / "a", env, headers=(("x-key", "1"), ("x-other", "2")))
    assert request["headers"] == {"x-key": "5", "x-new": "n", "x-other": "2"}
    ignored = seen(
        language, tmp_path / "b", {"OPEN_RUNTIMES_HEADERS": "not json"}, headers=(("x-key", "1"),)
    )
    assert ignored["headers"] == {"x-key": "1"}


def test_the_environment_is_that_of_the_command(language: Language, tmp_path: Path) -> None:
    answer = ask(language, tmp_path, {"GREETING": "hi"}, path="/environment")
    environment = json.loads(answer.body)
    assert environment["GREETING"] == "hi"
    assert not {"MINIFN_SOCKET", "MINIFN_CODE"} & set(environment)
    # Only marks of the spawner and the platform may be added.
    allowed = {
        "GREETING",
        "PATH",
        "LANG",
        "LC_CTYPE",
        "HOME",
        "TMPDIR",
        "OPEN_RUNTIMES_ENTRYPOINT",
        "MINIFN_TREE",
    }
    assert set(environment) - allowed <= {name for name in environment if name.startswith("NODE")}
