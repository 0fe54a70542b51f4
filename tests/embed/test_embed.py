"""minifn inside another app: mounts, domains, the lifespan, reloaders and public names."""

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

import minifn
from minifn import Config, ConfigError, DataInUse, FunctionNotFound, Minifn, MinifnError, NotRunning
from minifn.models import Rule
from tests.patience import patient
from tests.processes import killed_at_end
from tests.serving import PROJECT, Api, free_port, pack, wait_until

KEY = "admin-key"
HEADERS = {"x-appwrite-project": PROJECT, "x-appwrite-key": KEY}
APP = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from minifn import Config, Minifn

minifn = Minifn(Config(data={data!r}, api_key={key!r}))


async def own(request):
    return PlainTextResponse("the app's own " + request.url.path)


with open({starts!r}, "a") as file:
    file.write("started\\n")
app = Starlette(routes=[{routes}], lifespan=minifn.lifespan)
"""
FUNCTION = b"""
import os
import urllib.request


def main(context):
    endpoint = os.environ["APPWRITE_FUNCTION_API_ENDPOINT"]
    with urllib.request.urlopen(endpoint + "/ping", timeout=10) as answer:
        pong = answer.read().decode()
    return context.res.json([endpoint, pong, context.req.path])
"""


class App:
    """An app in `folder` that embeds minifn, under uvicorn in a process of its own."""

    def __init__(self, folder: Path, routes: str, *arguments: str) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self.data = folder / "fn"
        self._starts = folder.parent / "starts"
        self.log = folder.parent / "app.log"
        self.state = folder.parent / "state"
        source = APP.format(data=str(self.data), key=KEY, routes=routes, starts=str(self._starts))
        (folder / "app.py").write_text(source)
        self._command = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port)]
        self._command += ["--app-dir", str(folder), *arguments]

    @contextlib.contextmanager
    def running(self, *more: str) -> Iterator[None]:
        """Serve until the block ends."""
        environ = {**os.environ, "XDG_STATE_HOME": str(self.state)}
        with (
            self.log.open("ab") as log,
            killed_at_end(
                subprocess.Popen([*self._command, *more], env=environ, stderr=log, stdout=log)
            ) as app,
        ):
            try:
                wait_until(lambda: app.poll() is not None or self._answers(), 30, "the app answers")
                assert app.poll() is None, self.log.read_text()
                yield
            finally:
                app.terminate()
                app.wait(patient(30))

    @property
    def starts(self) -> int:
        """How often the app was imported."""
        return len(self._starts.read_text().splitlines())

    def get(self, path: str, host: str = "") -> httpx.Response:
        """Ask the app for a path, at another host name."""
        headers = {"host": host} if host else {}
        return httpx.get(f"{self.url}{path}", headers=headers, trust_env=False, timeout=30)

    def _answers(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return self.get("/").status_code < 500
        return False


@pytest.fixture
def folder(data: Path) -> Path:
    """The folder of an app, where another user may pass."""
    (place := data.parent / "project").mkdir(mode=0o755)
    return place


@pytest.mark.parametrize(
    ("routes", "prefix", "arguments"),
    [
        ("*minifn.routes(), Route('/', own)", "", ()),
        ("*minifn.routes(prefix='/fn'), Route('/', own)", "/fn", ()),
        ("Route('/', own), Mount('/deep', routes=[Mount('/fn', minifn.app)])", "/deep/fn", ()),
        ("*minifn.routes('/fn'), Route('/', own)", "/fn", ("--root-path", "/proxied")),
    ],
)
def test_functions_are_told_where_the_app_is_served(
    folder: Path, routes: str, prefix: str, arguments: tuple[str, ...]
) -> None:
    """Port and prefix; and the domain of a function shows it the path below the mount."""
    app = App(folder, routes, *arguments)
    with app.running(), Api(f"{app.url}{prefix}/v1", KEY) as api:
        api.create("f", api.runtime("python"), entrypoint="main.py", execute=["any"])
        api.deploy("f", pack(extra={"main.py": FUNCTION}))
        told = f"{app.url}{prefix}/v1"
        execution = api.execute("f", path="/page")
        assert execution["responseStatusCode"] == 200, execution
        assert json.loads(execution["responseBody"]) == [
            told, "Pong!", "/page"
        ]  # fmt: skip
        way = prefix if "routes" not in routes.partition("minifn.")[2] else ""
        answer = app.get(f"{way}/a%2Fpage?q=1", "f.functions.localhost")
        assert answer.json()[2].replace("%2F", "/") == "/a/page"
        outside = f"{arguments[1] if arguments else ''}{prefix}"
        servers = api.call("GET", "/openapi.json", 200)["servers"]
        assert servers == [{"url": f"{outside}/v1"}]
        session = api.http.post("/account/sessions/anonymous")
        assert f"; path={outside or '/'};" in session.headers["set-cookie"]


def test_domains_come_before_the_apps_own_routes(folder: Path) -> None:
    """Domains of rules at once; other hosts, and other paths, are the app's."""
    app = App(folder, "*minifn.routes(), Route('/{rest:path}', own)")
    with app.running(), Api(f"{app.url}/v1", KEY) as api:
        api.create("f", api.runtime("python"), entrypoint="main.py", execute=["any"])
        api.deploy("f", pack(extra={"main.py": FUNCTION}))
        assert app.get("/page", "shop.example.com").text == "the app's own /page"
        rule = {"domain": "shop.example.com", "functionId": "f"}
        made = api.call("POST", "/proxy/rules/function", 201, json=rule)
        for host in ("shop.example.com", "SHOP.example.com:81", "F.Functions.localhost."):
            assert app.get("/page", host).json()[2] == "/page", host
        api.call("DELETE", f"/proxy/rules/{made['$id']}", 204)
        assert app.get("/page", "shop.example.com").text == "the app's own /page"
        assert app.get("/v10/page").text == "the app's own /v10/page"
        assert app.get("/v1/nothing").json()["type"] == "general_route_not_found"


@pytest.mark.slow
def test_a_reloader_sees_the_apps_changes_and_no_builds(folder: Path) -> None:
    app = App(folder, "*minifn.routes(), Route('/', own)")
    with app.running("--reload", "--reload-dir", str(folder)):
        with Api(f"{app.url}/v1", KEY) as api:
            api.create("f", api.runtime("python"), entrypoint="main.py", execute=["any"])
            many = {f"part{number}.py": b"" for number in range(50)}
            api.deploy("f", pack(extra={"main.py": FUNCTION, **many}))
            assert api.execute("f")["responseStatusCode"] == 200
        (app.folder / "app.py").touch()
        wait_until(lambda: app.starts == 2, 30, "the app is started anew")
        changed = re.findall(r"detected changes in (.*)\. Reloading", app.log.read_text())
        assert changed == [f"'{app.folder / 'app.py'}'"]
    assert "which a reloader watches: builds are kept in" in app.log.read_text()
    assert not list(app.data.rglob("*.py"))
    with app.running(), Api(f"{app.url}/v1", KEY) as api:
        # Where none watches, builds are in the data directory: what is not there is built again.
        deployment = api.call("GET", "/functions/f", 200)["deploymentId"]
        assert api.built("f", deployment)["status"] == "ready"
        assert api.execute("f")["responseStatusCode"] == 200
        assert list(app.data.glob(f"builds/{deployment}/main.py"))


def test_a_reloader_that_does_not_watch_the_directory_changes_nothing(folder: Path) -> None:
    (folder / "fn").mkdir()
    app = App(folder, "*minifn.routes(), Route('/', own)")
    watch = ("--reload", "--reload-dir", str(folder), "--reload-exclude", str(folder / "fn"))
    with app.running(*watch):
        assert (app.data / "builds").is_dir()
    assert "which a reloader watches" not in app.log.read_text()


@contextlib.asynccontextmanager
async def opened(app: Starlette) -> Any:
    """An HTTP client of an app whose lifespan runs."""
    async with app.router.lifespan_context(app), client_of(app) as client:
        yield client


def client_of(app: Starlette) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app)
    return httpx.AsyncClient(transport=transport, base_url="http://app:8123", headers=HEADERS)


@pytest.fixture
def embedded(tmp_path: Path) -> Minifn:
    """A Minifn that does not run yet."""
    return Minifn(Config(data=tmp_path / "data", api_key=KEY))


def test_an_app_that_does_not_start_minifn_is_told_so(embedded: Minifn) -> None:
    """By requests, by calls and by every part, before the start and after the end."""
    app = Starlette(routes=[Mount("/", embedded.app)])

    async def check() -> None:
        async with client_of(app) as client:
            answer = await client.get("/v1/functions")
            assert answer.status_code == 503
            assert answer.json()["type"] == NotRunning.type
            assert "lifespan=minifn.lifespan" in answer.json()["message"]
            page = await client.get("/page", headers={"host": "f.functions.localhost"})
            assert page.status_code == 503
            assert page.headers["content-type"].startswith("text/html")
            assert "lifespan=minifn.lifespan" in page.text
        for call in (embedded.execute("f"), embedded.emit("orders.1.paid", {})):
            with pytest.raises(NotRunning, match="lifespan"):
                await call

    async def main() -> None:
        await check()
        async with embedded:
            pass
        await check()

    for name in ("functions", "executions", "keys", "lost"):
        with pytest.raises(NotRunning):
            getattr(embedded, name)
    assert not hasattr(embedded, "nothing_of_the_kind")
    asyncio.run(main())


def test_a_websocket_is_closed_while_minifn_does_not_run(embedded: Minifn) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/v1/realtime", "query_string": b"", "headers": []}
    asyncio.run(embedded.app(scope, receive, send))
    assert [(message["type"], message["code"]) for message in sent] == [("websocket.close", 1013)]


def test_an_app_is_started_twice(embedded: Minifn) -> None:
    """As tests of apps do: the API of the second start uses nothing of the first."""
    app = Starlette(routes=embedded.routes(prefix="/fn"), lifespan=embedded.lifespan)

    async def visit() -> None:
        async with opened(app) as client:
            _, secret = await embedded.keys.create("reader", ("functions.read",))
            for key in (KEY, secret):
                answer = await client.get("/fn/v1/functions", headers={"x-appwrite-key": key})
                assert answer.status_code == 200, answer.text
            signed_in = await client.post(
                "/fn/v1/account/sessions/email",
                json={"email": "a@example.com", "password": KEY},
                headers={"x-appwrite-project": "console", "x-appwrite-key": ""},
            )
            assert signed_in.status_code == 201, signed_in.text
            await embedded.keys.create("another", ())
            ended = await client.delete(
                "/fn/v1/account/sessions/current",
                headers={"x-appwrite-project": "console", "x-appwrite-key": ""},
            )
            assert ended.status_code == 204, ended.text

    for _ in range(2):
        asyncio.run(visit())


def test_a_directory_in_use_says_so(embedded: Minifn) -> None:
    async def main() -> None:
        async with embedded:
            with pytest.raises(DataInUse, match=re.escape(str(embedded.data.root))):
                await Minifn(embedded.config).__aenter__()
            with pytest.raises(DataInUse, match="another Minifn of this process"):
                await embedded.__aenter__()
            assert embedded.running

    asyncio.run(main())


def test_the_names_of_the_package_are_there() -> None:
    """Each comes from its home, and a function that is not there is one of them."""
    for name in minifn.__all__:
        assert getattr(minifn, name) is not None
    assert issubclass(FunctionNotFound, MinifnError)
    with pytest.raises(AttributeError):
        _ = minifn.Nothing


def test_execute_raises_for_an_unknown_function(embedded: Minifn) -> None:
    async def main() -> None:
        async with embedded:
            with pytest.raises(FunctionNotFound):
                await embedded.execute("nothing")

    asyncio.run(main())


@pytest.mark.parametrize("prefix", ["fn", "/fn/", "/"])
def test_a_prefix_begins_with_a_slash_and_ends_with_none(embedded: Minifn, prefix: str) -> None:
    with pytest.raises(ValueError, match="/fn"):
        embedded.routes(prefix=prefix)


def test_the_setting_of_the_endpoint_wins_over_requests(tmp_path: Path) -> None:
    """Without it, the first request decides; the host that its sender named does not count."""

    async def told(**settings: Any) -> list[str]:
        embedded = Minifn(Config(data=tmp_path / "data", api_key=KEY, **settings))
        app = Starlette(routes=embedded.routes(prefix="/fn"), lifespan=embedded.lifespan)
        found = [embedded.endpoint.url]
        async with opened(app) as client:
            await client.get("/", headers={"host": "f.functions.localhost"})
            await client.get("/fn/v1/ping", headers={"host": "evil.example.com"})
            found.append(embedded.endpoint.url)
        return found

    assert asyncio.run(told(port=81)) == ["http://127.0.0.1:81/fn/v1", "http://app:8123/fn/v1"]
    named = "https://app.example.com/x/v1"
    assert asyncio.run(told(endpoint=named)) == [named, named]


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8000/v1",
        "http://127.0.0.1:8000",
        "ftp://a/v1",
        "http://a/v1?b",
        "http://u@a/v1",
        "http://[/v1",
        "http://a:0/v1",
    ],
)
def test_an_endpoint_is_the_url_of_an_api(url: str) -> None:
    with pytest.raises(ConfigError, match="MINIFN_ENDPOINT"):
        Config(endpoint=url)


def test_rules_of_the_api_lead_to_it_at_their_own_root(embedded: Minifn) -> None:
    app = Starlette(routes=embedded.routes(prefix="/fn"), lifespan=embedded.lifespan)

    async def main() -> None:
        async with opened(app) as client:
            made: Rule = await embedded.domains.create_api("api.example.com")
            named = {"host": made.domain}
            assert (await client.get("/v1/ping", headers=named)).text == "Pong!"
            assert (await client.get("/v1/ping")).status_code == 404

    asyncio.run(main())
