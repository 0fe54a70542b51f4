"""The family static: a folder of a build as a web site."""

import http.client
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from tests.serving import Api, Server, pack

SITE = "static-site"
BARE = "static-bare"
MIB = 1024 * 1024
LIMIT = 20 * MIB
LARGE = bytes(range(256)) * (25 * MIB // 256)
SECRET = "nothing of this is served"
INDEX = "<h1>first page</h1>"
MISSING = "<h1>nothing here</h1>"
#: A module that Python would import before its own, if anything of the build were on its path.
TRAP = "import os; os.abort()"

FILES = {
    "public/index.html": INDEX,
    "public/about.html": "about",
    "public/404.html": MISSING,
    "public/docs/index.html": "docs",
    "public/docs/page.html": "page",
    "public/empty/file.txt": "",
    "public/both/index.html": "folder",
    "public/both.html": "file",
    "public/no index/only one é.txt": "only",
    "public/app.js": "let a = 1;" * 50,
    "public/app.js.br": "as br",
    "public/app.js.gz": "as gzip",
    "public/.well-known/security.txt": "contact",
    "public/numbers.txt": "0123456789",
    "public/.env": SECRET,
    "public/.env.local": SECRET,
    "public/docs/.env": SECRET,
    "public/.git/config": SECRET,
    "public/json.py": TRAP,
    "secret.txt": SECRET,
    ".env": SECRET,
    **{f"{name}.py": TRAP for name in ("sitecustomize", "usercustomize", "json", "struct", "os")},
}
#: Links that a build command makes: path -> target.
LINKS = {
    "again.html": "about.html",
    "out.txt": "../secret.txt",
    "hidden.txt": ".env",
    "up": "..",
    "loop": "loop",
    "docs/back": "../..",
}


class Reply(NamedTuple):
    """An answer of the site."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Site:
    """The host of one function."""

    def __init__(self, server: Server, function_id: str) -> None:
        self._server = server
        self._host = f"{function_id}.functions.localhost:{server.port}"

    def __call__(self, path: str, method: str = "GET", **headers: str) -> Reply:
        """Send a request with this very path; `_` in names of headers stands for `-`."""
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=30)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            connection.putheader("host", self._host)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, found, answer.read())
        finally:
            connection.close()


@pytest.fixture(scope="module")
def sites(server: Server) -> dict[str, Site]:
    """A site with all that it can have, and one with a single file and variables."""
    with server.api as api:
        runtime = api.runtime("static")
        links = " && ".join(f"ln -s '{target}' 'public/{path}'" for path, target in LINKS.items())
        api.create(SITE, runtime, entrypoint="public/index.html", commands=links, execute=["any"])
        files = {name: text.encode() for name, text in FILES.items()}
        api.deploy(SITE, pack(extra={**files, "public/large.bin": LARGE}))
        api.create(BARE, runtime, entrypoint="dist", execute=["any"])
        variables = {
            "OPEN_RUNTIMES_STATIC_FALLBACK": "app.html",
            "OPEN_RUNTIMES_CACHE_HEADER": "CDN-Cache-Control",
            "PYTHONPATH": "/fn",
            "PYTHONSTARTUP": "/fn/json.py",
        }
        for key, value in variables.items():
            body = {"key": key, "value": value}
            api.call("POST", f"/functions/{BARE}/variables", 201, json=body)
        extra = {"dist/app.html": b"app", "dist/.env": SECRET.encode(), "json.py": TRAP.encode()}
        api.deploy(BARE, pack(extra=extra))
    return {name: Site(server, name) for name in (SITE, BARE)}


@pytest.fixture
def site(sites: dict[str, Site]) -> Site:
    """The site with everything."""
    return sites[SITE]


@pytest.fixture
def bare(sites: dict[str, Site]) -> Site:
    """The site with a fallback and no page for missing files."""
    return sites[BARE]


@pytest.mark.parametrize(
    ("path", "body", "content_type"),
    [
        ("/", INDEX, "text/html; charset=utf-8"),
        ("/index.html", INDEX, "text/html; charset=utf-8"),
        ("/?a=/../b", INDEX, "text/html; charset=utf-8"),
        ("/about", "about", "text/html; charset=utf-8"),
        ("/about.html", "about", "text/html; charset=utf-8"),
        ("/%61bout", "about", "text/html; charset=utf-8"),
        ("/again", "about", "text/html; charset=utf-8"),
        ("/docs/", "docs", "text/html; charset=utf-8"),
        ("//docs//page", "page", "text/html; charset=utf-8"),
        ("/empty/file.txt", "", "text/plain; charset=utf-8"),
        ("/no%20index/only%20one%20%C3%A9.txt", "only", "text/plain; charset=utf-8"),
        ("/.well-known/security.txt", "contact", "text/plain; charset=utf-8"),
        ("/app.js", "let a = 1;" * 50, "text/javascript; charset=utf-8"),
        ("/json.py", TRAP, "application/octet-stream; charset=utf-8"),
    ],
)
def test_paths_with_a_file(site: Site, path: str, body: str, content_type: str) -> None:
    reply = site(path)
    assert (reply.status, reply.body.decode()) == (200, body)
    assert reply.headers["content-type"] == content_type
    assert reply.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/docs", "./docs/"),
        ("/docs?a=b&c", "./docs/?a=b&c"),
        ("/both", "./both/"),
        ("//docs", "./docs/"),
        ("/d%6fcs", "./docs/"),
    ],
)
def test_a_folder_gets_its_slash(site: Site, path: str, location: str) -> None:
    reply = site(path)
    assert (reply.status, reply.headers["location"], reply.body) == (301, location, b"")


@pytest.mark.parametrize(
    "path", ["/nothing", "/about/", "/empty/", "/empty", "/no%20index", "/x/y"]
)
def test_paths_without_a_file(site: Site, path: str) -> None:
    reply = site(path)
    assert (reply.status, reply.body.decode()) == (404, MISSING)
    assert reply.headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize(
    "path",
    [
        "/.env",
        "/%2eenv",
        "/%2Eenv",
        "/.env/",
        "/.env.local",
        "/docs/.env",
        "/docs/%2e%65nv",
        "/.git/config",
        "/../secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e/secret.txt",
        "/%2e%2e%2fsecret.txt",
        "/docs/../../secret.txt",
        "/docs/%2e./../secret.txt",
        "/docs/..%5c..%5csecret.txt",
        "/out.txt",
        "/hidden.txt",
        "/up/secret.txt",
        "/up/.env",
        "/docs/back/secret.txt",
        "/loop",
        "/loop/x",
        "/about%00.html",
        "/.env%00.html",
        "/%",
        "/%zz",
        "/%2",
        "/./about",
        "/docs/./page",
        "/%c0%ae%c0%ae/secret.txt",
        "/%252e%252e/secret.txt",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/" + "a" * 5000,
        "/" + "a/" * 3000,
    ],
)
def test_nothing_hidden_or_outside_is_served(site: Site, bare: Site, path: str) -> None:
    reply = site(path)
    assert reply.status in (400, 404, 414), reply
    for one in (reply, bare(path)):
        assert SECRET.encode() not in one.body
        assert b"root:" not in one.body
    assert site("/").status == 200


def test_a_fallback_answers_what_is_not_hidden(bare: Site) -> None:
    reply = bare("/any/route")
    assert (reply.status, reply.body) == (200, b"app")
    assert reply.headers["cdn-cache-control"] == "public, max-age=36000"
    for path in ("/.env", "/%2e%2e/json.py"):
        assert (bare(path).status, bare(path).body) == (404, b"404: there is no such page.\n")


def test_a_build_cannot_run_code(bare: Site) -> None:
    # The module json.py of its code, and PYTHONPATH, would end the worker.
    assert bare("/").body == b"app"


def test_a_client_that_has_the_file_gets_304(site: Site) -> None:
    first = site("/about")
    tag, date = first.headers["etag"], first.headers["last-modified"]
    for headers in (
        {"if_none_match": tag},
        {"if_none_match": f'"other", W/{tag}'},
        {"if_none_match": "*"},
        {"if_modified_since": date},
        {"if_modified_since": "Fri, 01 Jan 2100 00:00:00 GMT"},
    ):
        reply = site("/about", **headers)
        assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", tag)
    for headers in (
        {"if_none_match": '"other"'},
        {"if_none_match": '"other"', "if_modified_since": date},
        {"if_modified_since": "Thu, 01 Jan 1970 00:00:00 GMT"},
        {"if_modified_since": "yesterday"},
    ):
        assert site("/about", **headers).body == b"about"


def test_a_new_deployment_changes_the_tag(server: Server, site: Site) -> None:
    with server.api as api:
        api.create("static-tags", api.runtime("static"), entrypoint="index.html", execute=["any"])
        code = [pack(extra={"index.html": text}) for text in (b"one", b"two")]
        site = Site(server, "static-tags")
        api.deploy("static-tags", code[0])
        first = site("/")
        api.deploy("static-tags", code[1])
        second = site("/", if_none_match=first.headers["etag"])
    assert (first.body, second.status, second.body) == (b"one", 200, b"two")


@pytest.mark.parametrize(
    ("wanted", "body", "part"),
    [
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=4-", b"456789", "bytes 4-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=-30", b"0123456789", "bytes 0-9/10"),
        ("bytes=8-99", b"89", "bytes 8-9/10"),
        ("Bytes = 9-9", b"9", "bytes 9-9/10"),
    ],
)
def test_ranges(site: Site, wanted: str, body: bytes, part: str) -> None:
    reply = site("/numbers.txt", range=wanted)
    assert (reply.status, reply.body, reply.headers["content-range"]) == (206, body, part)


@pytest.mark.parametrize("wanted", ["bytes=10-", "bytes=99-100", "bytes=-0"])
def test_ranges_beyond_the_file(site: Site, wanted: str) -> None:
    reply = site("/numbers.txt", range=wanted)
    assert (reply.status, reply.headers["content-range"]) == (416, "bytes */10")


@pytest.mark.parametrize(
    "wanted",
    ["bytes=0-1,3-4", "bytes=5-2", "bytes=a-b", "bytes=-", "bytes", "lines=0-1", "", "²-³"],
)
def test_what_is_no_range_is_ignored(site: Site, wanted: str) -> None:
    reply = site("/numbers.txt", range=wanted.encode().decode("latin-1"))
    assert (reply.status, reply.body) == (200, b"0123456789")


def test_a_range_of_a_changed_file_is_the_whole(site: Site) -> None:
    tag = site("/numbers.txt").headers["etag"]
    assert site("/numbers.txt", range="bytes=0-1", if_range=tag).status == 206
    assert site("/numbers.txt", range="bytes=0-1", if_range='"old"').status == 200


def test_compressed_files(site: Site) -> None:
    for accepts, body, coding in (
        ("gzip, deflate, br", b"as br", "br"),
        ("gzip", b"as gzip", "gzip"),
        ("br;q=0, *", b"as gzip", "gzip"),
        ("identity", b"let a = 1;" * 50, None),
        ("br;q=nonsense", b"let a = 1;" * 50, None),
    ):
        reply = site("/app.js", accept_encoding=accepts)
        assert (reply.body, reply.headers.get("content-encoding")) == (body, coding), accepts
        assert reply.headers["content-type"] == "text/javascript; charset=utf-8"
        assert reply.headers["vary"] == "accept-encoding"
    reply = site("/app.js", accept_encoding="br", range="bytes=0-2")
    assert (reply.status, reply.body) == (206, b"let")
    assert "vary" not in site("/about", accept_encoding="br").headers


def test_methods(site: Site) -> None:
    head = site("/numbers.txt", "HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "10")
    assert site("/large.bin", "HEAD").headers["content-length"] == str(len(LARGE))
    assert site("/nothing", "HEAD").status == 404
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        reply = site("/about", method, content_length="0")
        assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert site("/about", "OPTIONS").status == 204


def test_a_file_that_no_answer_can_hold_comes_in_parts(site: Site, api: Api) -> None:
    refused = site("/large.bin")
    assert (refused.status, b"26,214,400 bytes" in refused.body) == (500, True)
    execution = api.execute(SITE, path="/large.bin", method="GET")
    assert (execution["status"], execution["responseStatusCode"]) == ("failed", 500)
    assert execution["errors"].startswith("large.bin has 26,214,400 bytes")
    first = site("/large.bin", range="bytes=0-")
    assert first.status == 206
    assert first.headers["content-range"] == f"bytes 0-{LIMIT - 1}/{len(LARGE)}"
    second = site("/large.bin", range=f"bytes={LIMIT}-")
    assert first.body + second.body == LARGE
    with_warning = api.call("GET", f"/functions/{SITE}/deployments", 200)["deployments"][0]
    assert "large.bin has more than 20,971,520 bytes" in with_warning["buildLogs"]


def test_a_worker_does_not_read_files_into_memory(server: Server, site: Site) -> None:
    def peaks() -> list[int]:
        found = []
        for process in server.workers():
            try:
                if "static_site" not in " ".join(process.environ().values()).replace("-", "_"):
                    continue
                status = Path(f"/proc/{process.pid}/status").read_text()
            except (psutil.Error, OSError):
                continue
            found += [int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line]
        return found

    site("/large.bin", range="bytes=0-")
    assert peaks()
    assert max(peaks()) < 40 * 1024


def test_requests_are_executions(site: Site, api: Api) -> None:
    mark = f"/about?{time.monotonic_ns()}"
    site(mark)
    path = f"/functions/{SITE}/executions"
    query = json.dumps({"method": "equal", "attribute": "requestPath", "values": ["/about"]})
    deadline = time.monotonic() + 10
    while True:
        rows = api.call("GET", path, 200, params={"queries[0]": query})["executions"]
        if rows:
            break
        assert time.monotonic() < deadline, "the request is not recorded"
    assert (rows[0]["status"], rows[0]["responseStatusCode"]) == ("completed", 200)
    assert rows[0]["trigger"] == "http"


def test_a_build_without_the_folder_fails(api: Api) -> None:
    api.create("static-none", api.runtime("static"), entrypoint="dist/index.html")
    deployment = api.upload("static-none", pack(extra={"index.html": b"x"}))
    built = api.built("static-none", deployment["$id"])
    assert built["status"] == "failed"
    assert "There is no folder dist, which the entrypoint names." in built["buildLogs"]
