"""Rows about responses: helpers, headers, defaults, and results that are none."""

import json

from tests.runtimes.contract.table import TEXT, Answer, Call, Case, failed, shown
from tests.workers.harness import Caller

JSON = ("content-type", "application/json; charset=utf-8")
MIB = 1024 * 1024
UNICODE = "héllo 你好 🎉"


def row(name: str, path: str, answer: Answer, **request: object) -> Case:
    """Return a case of one call."""
    return Case(name=name, calls=(Call(path, answer, request),))


async def refused(call: Caller, query: str) -> None:
    """Check that an answer with too many or too long headers fails its call alone."""
    answer = await call("/many-headers", query=query, seconds=30)
    assert (answer.status_code, answer.failure) == (500, ""), shown(answer)
    assert "the limit is" in answer.errors, shown(answer)


async def headers_beyond_a_frame(call: Caller) -> None:
    for query in ("130000,0", "520000,0"):
        await refused(call, query)
    assert (await call("/text")).status_code == 200


async def header_limits(call: Caller) -> None:
    for query in ("100,1000", "1000,0"):
        assert (await call("/many-headers", query=query)).status_code == 200
    # Some languages accept more than others, up to the size of a frame.
    assert (await call("/many-headers", query="1,524000")).failure == ""
    for query in ("1001,0", "1,2000000"):
        await refused(call, query)
    # The worker of the first call is still the only one.
    assert json.loads((await call("/state")).body)["calls"] == 1


ROWS = (
    row("text", "/text", Answer(body="héllo".encode(), headers=(TEXT,))),
    row(
        "text with status and headers",
        "/text-201",
        Answer(status=201, body=b"made", headers=(TEXT, ("x-kept", "yes"))),
    ),
    row(
        "json over a given type",
        "/json",
        Answer(
            status=201, value={"text": "é", "list": ["a", None, True], "empty": []}, headers=(JSON,)
        ),
    ),
    row("binary", "/binary", Answer(body=bytes(range(256)), headers=(TEXT,))),
    row("empty", "/empty", Answer(status=204, body=b"")),
    row("send", "/send", Answer(status=203, body=b"sent")),
    row(
        "redirect",
        "/redirect",
        Answer(status=301, body=b"", sends=(("location", "https://example.com/a?b=c"),)),
    ),
    row(
        "redirect with status and headers",
        "/redirect-302",
        Answer(status=302, body=b"", sends=(("location", "/there"), ("x-why", "moved"))),
    ),
    row(
        "a type gets a charset and lower case",
        "/html",
        Answer(body=b"<p>", headers=(("content-type", "text/html; charset=utf-8"),)),
    ),
    row(
        "a type with a charset is kept",
        "/charset",
        Answer(headers=(("content-type", "text/html; charset=ISO-8859-1"),)),
    ),
    row(
        "a multipart type is kept",
        "/multipart",
        Answer(headers=(("content-type", "multipart/form-data; boundary=AbC"),)),
    ),
    row(
        "headers of the platform are dropped",
        "/hidden",
        Answer(headers=(TEXT, ("x-seen", "2"))),
    ),
    row(
        "cookies", "/cookies", Answer(headers=(TEXT, ("set-cookie", "a=1"), ("set-cookie", "b=2")))
    ),
    row("a number as header", "/number", Answer(headers=(TEXT, ("x-number", "5")))),
    row(
        "a header cannot add lines",
        "/injection",
        Answer(headers=(TEXT, ("x-good", "1"))),
    ),
    row("an answer by hand", "/handmade", Answer(status=202, body=b"made")),
    row("an answer without known keys", "/other-keys", Answer(body=b"")),
    row("a status as text", "/status-text", Answer(status=201, body=b"x")),
    row("not modified has no body", "/not-modified", Answer(status=304, body=b"")),
    row("only the returned answer counts", "/twice", Answer(body=b"second")),
    row(
        "unicode in body, answer and logs",
        "/unicode",
        Answer(body=f"{UNICODE} ñ".encode(), logs=f"{UNICODE} ñ\n", errors=f"{UNICODE} ñ\n"),
        body=UNICODE.encode(),
    ),
    row(
        "missing return",
        "/nothing",
        failed(
            errors="Return statement missing."
            " return context.res.empty() if no response is expected.\n"
        ),
    ),
    row("text returned", "/returns-text", failed(says=("return",))),
    row("a number returned", "/returns-number", failed(says=("return",))),
    row("a status that HTTP does not have", "/status-99", failed(says=("99",))),
    row("the largest answer", "/large", Answer(body=bytes(20 * MIB))),
    Case(
        name="too large an answer",
        calls=(
            Call("/too-large", failed(says=("20971521",))),
            Call("/text", Answer(body="héllo".encode())),
        ),
    ),
    Case(name="headers have limits", story=header_limits, shared=False),
    Case(name="headers beyond a frame", story=headers_beyond_a_frame, shared=False, slow=True),
)
