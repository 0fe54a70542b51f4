"""A function's return value becomes the answer, in every language."""

import asyncio
import json
from pathlib import Path

from minifn.workers.records import FunctionResponse
from tests.workers.harness import FUNCTIONS, Language, function

TEXT = ("content-type", "text/plain; charset=utf-8")


def answers(language: Language, run_dir: Path, *paths: str) -> list[FunctionResponse]:
    """Return the case's answers to some paths."""

    async def ask() -> list[FunctionResponse]:
        async with function(run_dir, language.spec(FUNCTIONS / "contract_answers", "main")) as call:
            return [await call(path) for path in paths]

    return asyncio.run(ask())


def test_helpers(language: Language, tmp_path: Path) -> None:
    text, made, structured, binary, empty, sent = answers(
        language, tmp_path, "/text", "/text-201", "/json", "/binary", "/empty", "/send"
    )
    assert (text.status_code, text.body, text.headers) == (200, "héllo".encode(), (TEXT,))
    assert (made.status_code, made.headers) == (201, (TEXT, ("x-kept", "yes")))
    assert (structured.status_code, json.loads(structured.body)) == (
        201,
        {"text": "é", "list": [1, None, True]},
    )
    assert b" " not in structured.body
    assert structured.headers == (("content-type", "application/json; charset=utf-8"),)
    assert (binary.status_code, binary.body, binary.headers) == (200, bytes(range(256)), (TEXT,))
    assert (empty.status_code, empty.body) == (204, b"")
    assert (sent.status_code, sent.body) == (203, b"sent")
    assert all(
        one.failure == one.errors == one.logs == ""
        for one in (text, made, structured, binary, empty, sent)
    )


def test_redirects(language: Language, tmp_path: Path) -> None:
    plain, chosen = answers(language, tmp_path, "/redirect", "/redirect-302")
    assert (plain.status_code, plain.body) == (301, b"")
    assert ("location", "https://example.com/a?b=c") in plain.headers
    assert chosen.status_code == 302
    assert {("location", "/there"), ("x-why", "moved")} < set(chosen.headers)


def test_content_types(language: Language, tmp_path: Path) -> None:
    html, charset, multipart = answers(language, tmp_path, "/html", "/charset", "/multipart")
    assert html.headers == (("content-type", "text/html; charset=utf-8"),)
    assert charset.headers == (("content-type", "text/html; charset=ISO-8859-1"),)
    assert multipart.headers == (("content-type", "multipart/form-data; boundary=AbC"),)


def test_headers(language: Language, tmp_path: Path) -> None:
    hidden, cookies, number, injection = answers(
        language, tmp_path, "/hidden", "/cookies", "/number", "/injection"
    )
    assert hidden.headers == (TEXT, ("x-seen", "2"))
    assert cookies.headers == (TEXT, ("set-cookie", "a=1"), ("set-cookie", "b=2"))
    assert number.headers == (TEXT, ("x-number", "5"))
    assert "x-evil" not in str(injection.headers)


def test_handmade_answers(language: Language, tmp_path: Path) -> None:
    made, other, status, unmodified, twice = answers(
        language, tmp_path, "/handmade", "/other-keys", "/status-text", "/not-modified", "/twice"
    )
    assert (made.status_code, made.body) == (202, b"made")
    assert (other.status_code, other.body) == (200, b"")
    assert (status.status_code, status.body) == (201, b"x")
    assert (unmodified.status_code, unmodified.body) == (304, b"")
    assert twice.body == b"second"


def test_invalid_answers_fail_with_a_reason(language: Language, tmp_path: Path) -> None:
    nothing, *others = answers(
        language,
        tmp_path,
        "/nothing",
        "/returns-text",
        "/returns-number",
        "/status-99",
        "/too-large",
    )
    assert nothing.errors == (
        "Return statement missing. return context.res.empty() if no response is expected.\n"
    )
    for answer in (nothing, *others):
        assert (answer.status_code, answer.body, answer.headers) == (500, b"", (TEXT,))
        assert answer.errors.strip()
        assert answer.failure == ""


def test_largest_answer(language: Language, tmp_path: Path) -> None:
    large, after = answers(language, tmp_path, "/large", "/text")
    assert (large.status_code, len(large.body)) == (200, 20 * 1024 * 1024)
    assert after.status_code == 200


MANY_HEADERS = {
    ".py": """def main(context):
    count, value = map(int, context.req.query_string.split(","))
    return context.res.text("x", 200, {"a": ['"' * value] * count})
""",
    ".js": """module.exports = ({ req, res }) => {
  const [count, value] = req.queryString.split(",").map(Number);
  return res.text("x", 200, { a: Array(count).fill('"'.repeat(value)) });
};
""",
}


def test_oversized_headers_fail_only_their_call(language: Language, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / f"main{language.suffix}").write_text(MANY_HEADERS[language.suffix])

    async def run() -> None:
        spec = language.spec(code, "main")
        async with function(tmp_path / "run", spec, function_workers_max=1) as call:
            assert (await call(query="100,1000")).status_code == 200
            # Node.js accepts more than Python, up to the size of a frame.
            assert (await call(query="1,524000")).failure == ""
            assert (await call(query="1000,0")).status_code == 200
            for query in ("1001,0", "130000,0", "520000,0", "1,2000000"):
                answer = await call(query=query)
                assert (answer.status_code, answer.failure) == (500, ""), query
                assert "the limit is" in answer.errors
            assert call.pool.workers == 1

    asyncio.run(run())
