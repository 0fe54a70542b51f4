"""Rows about the request that a handler sees, its environment and its files."""

import json
import os
from typing import Any

from tests.runtimes.contract.answers import row
from tests.runtimes.contract.table import Answer, Case, failed

LARGE = os.urandom(17 * 1024 * 1024)
JSON_TYPE = {"content-type": "Application/JSON; charset=utf-8"}
FORM_TYPE = {"content-type": "application/x-www-form-urlencoded"}
QUERY = "a=b&c==d&e=f=g=&h&i=j&&k&a=%41+"


def mirrored(**changed: Any) -> Answer:
    """Return the answer of `/mirror` to a request without anything, with some members changed."""
    value = {
        "method": "POST",
        "scheme": "http",
        "host": "localhost",
        "port": 80,
        "path": "/mirror",
        "queryString": "",
        "query": {},
        "url": "http://localhost/mirror",
        "headers": {},
        "bodyText": "",
        "body": "",
        **changed,
    }
    return Answer(value=value)


#: The answer to the request line below, in a language that shows path and query as they came.
LINE = mirrored(
    method="PATCH",
    scheme="https",
    host="example.com",
    port=8443,
    path="/a%20b/c",
    queryString=QUERY,
    query={"a": "%41+", "c": "=d", "e": "f=g=", "h": "", "i": "j", "k": ""},
    url=f"https://example.com:8443/a%20b/c?{QUERY}",
)

ROWS = (
    row(
        "request line",
        "/a%20b/c",
        LINE,
        method="PATCH",
        scheme="https",
        host="example.com",
        port=8443,
        query=QUERY,
    ),
    row(
        "a default port is not in the url",
        "/mirror",
        mirrored(scheme="https", host="h", port=443, url="https://h/mirror"),
        scheme="https",
        host="h",
        port=443,
    ),
    *(
        row(
            f"method {method}",
            "/mirror",
            mirrored(method=method),
            method=method,
        )
        for method in ("GET", "PUT", "DELETE", "OPTIONS")
    ),
    row(
        "request headers",
        "/mirror",
        mirrored(headers={"x-one": "1", "x-text": "grüße", "content-type": "text/plain"}),
        headers={"x-one": "1", "x-text": "grüße", "content-type": "text/plain"},
    ),
    Case(
        name="enforced headers win",
        variables={"OPEN_RUNTIMES_HEADERS": json.dumps({"X-Key": 5, "x-new": "n"})},
        calls=row(
            "",
            "/mirror",
            mirrored(headers={"x-key": "5", "x-new": "n", "x-other": "2"}),
            headers={"x-key": "1", "x-other": "2"},
        ).calls,
    ),
    Case(
        name="enforced headers that are not JSON are ignored",
        variables={"OPEN_RUNTIMES_HEADERS": "not json"},
        calls=row("", "/mirror", mirrored(headers={"x-key": "1"}), headers={"x-key": "1"}).calls,
    ),
    row(
        "text body",
        "/mirror",
        mirrored(body="grüße 🎉", bodyText="grüße 🎉"),
        body="grüße 🎉".encode(),
    ),
    row(
        "json body",
        "/mirror",
        mirrored(
            body={"a": ["b", True]},
            bodyText='{"a":["b",true]}',
            headers=JSON_TYPE,
        ),
        body=b'{"a":["b",true]}',
        headers=JSON_TYPE,
    ),
    row(
        "empty json body",
        "/mirror",
        mirrored(body={}, headers=JSON_TYPE),
        headers=JSON_TYPE,
    ),
    row(
        "form body",
        "/mirror",
        mirrored(body="a=1&b=%20", bodyText="a=1&b=%20", headers=FORM_TYPE),
        body=b"a=1&b=%20",
        headers=FORM_TYPE,
    ),
    row(
        "json of any type",
        "/body-json",
        Answer(value={"parsed": {"a": "b"}}),
        body=b'{"a":"b"}',
        headers=FORM_TYPE,
    ),
    row("wrong json", "/body-json", failed(says=("JSON",)), body=b"{"),
    row("no json", "/body-json", failed(says=("JSON",))),
    row("no bytes", "/body-binary", Answer(body=b"")),
    row("every byte", "/body-binary", Answer(body=bytes(range(256))), body=bytes(range(256))),
    row("17 MB", "/body-binary", Answer(body=LARGE), body=LARGE),
    row("text that is not UTF-8", "/body-text", Answer(body="a�b".encode()), body=b"a\xffb"),
    row("sibling files", "/beside", Answer(body=b"beside")),
    row("files of the upload", "/file", Answer(body="gruß\n".encode())),
)
