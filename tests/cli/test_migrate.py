"""`minifn migrate`: between two servers of minifn, and with Appwrite's contract of 1.6 and 2.5."""

import gzip
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from minifn.cli.remote import PAGE_ROWS
from tests.cli import appwrite_stub
from tests.cli.appwrite_stub import Stub
from tests.cli.conftest import Here
from tests.cli.pseudo_terminal import PseudoTerminal
from tests.serving import PROJECT, Api, Server, pack

MAIN = b"def main(context):\n    return context.res.text('hello')\n"
HELLO = pack(extra={"main.py": MAIN})
LARGE_BYTES = 11_000_000


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The second server of minifn."""
    with Server(tmp_path_factory.mktemp("other") / "data") as running:
        yield running


@pytest.fixture
def there(other: Server) -> Iterator[Api]:
    with other.api as api:
        yield api


@pytest.fixture(params=["1.6", "2.5"])
def stub(request: pytest.FixtureRequest) -> Iterator[Stub]:
    """An Appwrite of each version; the test fails when a request is not of its contract."""
    for one in appwrite_stub.serving(Stub(request.param)):
        yield one
        assert one.wrong == []


def migrate(here: Here, *arguments: str, status: int = 0) -> Result:
    done = here.run("migrate", *arguments, status=status)
    for key in (appwrite_stub.KEY, here.server.key):
        assert key not in done.output
    return done


def with_stub(here: Here, way: str, stub: Stub, *arguments: str, status: int = 0) -> Result:
    named = ("--other-project", appwrite_stub.PROJECT, "--other-key", appwrite_stub.KEY)
    return migrate(here, way, f"{stub.url}/v1", *named, *arguments, status=status)


def with_other(here: Here, way: str, other: Server, *arguments: str, status: int = 0) -> Result:
    named = ("--other-project", PROJECT, "--other-key", other.key)
    return migrate(here, way, other.endpoint, *named, *arguments, status=status)


def outcome(done: Result) -> dict[str, Any]:
    """The object that `--json` prints for one function."""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def variables(api: Api, function_id: str) -> dict[str, tuple[str, bool]]:
    rows = api.pages(f"/functions/{function_id}/variables", "variables")
    return {row["key"]: (row["value"], row["secret"]) for row in rows}


def all_deployments(api: Api, function_id: str) -> list[Any]:
    return list(api.pages(f"/functions/{function_id}/deployments", "deployments"))


def test_a_function_of_appwrite_runs_here(here: Here, stub: Stub, api: Api) -> None:
    name = f"from-{stub.version}"
    unknown = {} if stub.version == "1.6" else {"startCommand": "sh start.sh"}
    stub.add(
        name, HELLO, runtime=api.runtime("python"), entrypoint="main.py", schedule="0 3 * * *",
        execute=["any"], scopes=["users.read"], timeout=20, **unknown,
    )  # fmt: skip
    stub.variable(name, "GREETING", "hello")
    stub.rule(f"{name}.example.com", name)
    if stub.version == "1.6":
        stub.rule("0123456789abcdef0123.appwrite.network", name)
    else:
        stub.rule("branch.appwrite.network", name, trigger="deployment")
    done = with_stub(here, "--from", stub, name)
    assert done.stdout.splitlines()[1].split() == [
        name,
        "moved",
        "new",
        *["1", "new"] * 3,
    ]
    assert f"domain {name}.example.com: its DNS record must lead to the target" in done.stderr
    assert f"{name}: the schedule runs at both sides" in done.stderr
    assert ("startCommand sh start.sh: not known here" in done.stderr) == bool(unknown)
    function = api.call("GET", f"/functions/{name}", 200)
    assert (function["schedule"], function["execute"], function["timeout"]) == (
        "0 3 * * *", ["any"], 20,
    )  # fmt: skip
    assert variables(api, name) == {"GREETING": ("hello", False)}
    assert api.execute(name)["status"] == "completed"
    rules = [one for one in api.pages("/proxy/rules", "rules") if one["resourceId"] == name]
    assert {one["domain"] for one in rules} > {f"{name}.example.com"}
    assert len(rules) == 2
    again = with_stub(here, "--from", stub, name)
    assert "nothing was changed: the target has all that can be moved" in again.stderr
    assert api.call("GET", f"/functions/{name}", 200)["$updatedAt"] == function["$updatedAt"]
    assert len(all_deployments(api, name)) == 1
    assert stub.writes == []


def test_a_function_moves_to_appwrite(here: Here, stub: Stub, api: Api) -> None:
    name = f"to-{stub.version}"
    api.create(name, api.runtime("python"), entrypoint="main.py", interval=5, events=["a.*.create"])
    api.deploy(name, pack(extra={"main.py": MAIN, "large": os.urandom(LARGE_BYTES)}))
    for key, value, secret in (("PLAIN", "1", False), ("TOKEN", "hush-hush", True)):
        body = {"key": key, "value": value, "secret": secret}
        api.call("POST", f"/functions/{name}/variables", 201, json=body)
    rule = {"domain": f"{name}.example.com", "functionId": name}
    api.call("POST", "/proxy/rules/function", 201, json=rule)
    done = with_stub(here, "--to", stub, name, "--json", status=1)
    problems = outcome(done)["problems"]
    old = stub.version == "1.6"
    lacking = ["interval 5: the target has no such setting"] if old else []
    assert problems[:-1] == lacking
    assert problems[-1].startswith("variable TOKEN: it is secret, and the source does not give")
    function = stub.functions[name]
    assert function["events"] == ["a.*.create"]
    assert function.get("interval") == (None if old else 5)
    assert {one["key"]: one["value"] for one in stub.variables[name]} == {"PLAIN": "1"}
    assert not any(one.get("secret") for one in stub.variables[name])
    assert [rule["domain"] for rule in stub.rules] == [f"{name}.example.com"]
    [deployment] = stub.deployments[name]
    assert function[stub.names["active"]] == deployment["$id"]
    sent = (api.http.get(f"/functions/{name}/deployments/{_active(api, name)}/download")).content
    assert stub.archives[deployment["$id"]] == sent
    # A value that was set by hand is enough.
    stub.variable(name, "TOKEN", "by hand", **({} if old else {"secret": True}))
    stub.writes.clear()
    again = with_stub(here, "--to", stub, name, status=1 if old else 0)
    assert "nothing was changed" in again.stderr
    assert stub.writes == []


def _active(api: Api, function_id: str) -> str:
    return str(api.call("GET", f"/functions/{function_id}", 200)["deploymentId"])


def test_secret_values_come_from_the_data_directory(
    here: Here, stub: Stub, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"secrets-{stub.version}"
    api.create(name, api.runtime("python"))
    body = {"key": "TOKEN", "value": "hush-hush", "secret": True}
    made = api.call("POST", f"/functions/{name}/variables", 201, json=body)
    monkeypatch.setenv("MINIFN_DATA", str(here.server.data))
    old = stub.version == "1.6"
    done = with_stub(here, "--to", stub, name, status=1 if old else 0)
    assert "hush-hush" not in done.output
    assert ("the target has no secret variables" in done.stderr) == old
    [variable] = stub.variables[name]
    assert (variable["value"], variable.get("secret", False)) == ("hush-hush", not old)
    # It is sent again when it has changed since.
    variable["$updatedAt"] = made["$createdAt"].replace("20", "21", 1)
    stub.writes.clear()
    with_stub(here, "--to", stub, name, status=1 if old else 0)
    assert stub.writes == []
    variable["$updatedAt"] = "2001-01-01T00:00:00.000+00:00"
    variable["value"] = "older"
    with_stub(here, "--to", stub, name, status=1 if old else 0)
    assert variable["value"] == "hush-hush"


def test_all_deployments_move_between_two_servers(
    here: Here, other: Server, api: Api, there: Api
) -> None:
    runtime = api.runtime("python")
    api.create("history", runtime, entrypoint="main.py", description="old and new")
    first = api.deploy("history", HELLO)
    api.deploy("history", pack(extra={"main.py": b"def main(context):\n    return 1 / 0\n"}))
    broken = api.upload("history", pack(extra={"main.py": b"def main(\n"}))
    assert api.built("history", broken["$id"])["status"] == "failed"
    api.call("PATCH", "/functions/history/deployment", 200, json={"deploymentId": first["$id"]})
    done = with_other(here, "--to", other, "history", "--deployments", "all")
    assert "history: 1 deployments were never ready: left out" in done.stderr
    assert there.execute("history")["status"] == "completed"
    assert there.call("GET", "/functions/history", 200)["description"] == "old and new"
    moved = all_deployments(there, "history")
    assert [one["$id"] == _active(there, "history") for one in moved] == [True, False]
    again = with_other(here, "--to", other, "history", "--deployments", "all")
    assert "nothing was changed" in again.stderr
    # The way back finds what is there, and makes the same one active again.
    there.built("history", moved[1]["$id"])
    body = {"deploymentId": moved[1]["$id"]}
    there.call("PATCH", "/functions/history/deployment", 200, json=body)
    done = with_other(here, "--from", other, "history", "--json")
    assert outcome(done)["deployments"] == {"new": 0, "changed": 1, "same": 0}
    assert len(all_deployments(api, "history")) == 3
    assert _active(api, "history") != first["$id"]


def test_archives_of_one_size_are_told_apart(
    here: Here, other: Server, api: Api, there: Api
) -> None:
    packed = [pack(extra={"main.py": MAIN, "data": os.urandom(1000)}) for _ in range(2)]
    archives = [gzip.compress(gzip.decompress(one), 0) for one in packed]
    assert len(archives[0]) == len(archives[1])
    for side, archive in zip((api, there), archives, strict=True):
        side.create("alike", side.runtime("python"), entrypoint="main.py")
        side.deploy("alike", archive)
    done = with_other(here, "--to", other, "alike", "--json")
    assert outcome(done)["deployments"] == {"new": 1, "changed": 0, "same": 0}
    assert len(all_deployments(there, "alike")) == 2


def test_a_dry_run_changes_nothing(here: Here, stub: Stub, api: Api) -> None:
    name = f"dry-{stub.version}"
    api.create(name, api.runtime("python"), entrypoint="main.py", timeout=33)
    api.deploy(name, HELLO)
    done = with_stub(here, "--to", stub, name, "--dry-run")
    assert "a dry run: nothing was changed" in done.stderr
    assert done.stdout.splitlines()[1].split() == [name, "moved", "new", "-", "-", "1", "new"]
    assert (stub.writes, stub.functions) == ([], {})
    stub.add(name, runtime="python-3.12")
    done = with_stub(here, "--to", stub, name, "--dry-run", "--json")
    assert (outcome(done)["settings"], stub.writes) == ("changed", [])
    with_stub(here, "--to", stub, name, "--deployments", "none")
    assert (stub.functions[name]["timeout"], stub.deployments[name]) == (33, [])


@pytest.mark.parametrize("stub", ["2.5"], indirect=True)
def test_a_run_that_broke_off_goes_on(here: Here, stub: Stub, api: Api) -> None:
    names = ["broken-1", "broken-2"]
    for name in names:
        api.create(name, api.runtime("python"), entrypoint="main.py")
        api.deploy(name, HELLO)
    stub.uploads_left = 1
    done = with_stub(here, "--to", stub, *names, status=1)
    assert "minifn: broken-2: deployment" in done.stderr
    assert [len(stub.deployments[name]) for name in names] == [1, 0]
    stub.uploads_left = 1000
    stub.writes.clear()
    done = with_stub(here, "--to", stub, *names)
    assert [line.split()[:2] for line in done.stdout.splitlines()[1:]] == [
        ["broken-1", "same"], ["broken-2", "moved"],
    ]  # fmt: skip
    assert stub.writes == ["POST /functions/broken-2/deployments"]


@pytest.mark.parametrize("stub", ["2.5"], indirect=True)
def test_what_the_target_refuses_is_named_and_the_rest_moves(
    here: Here, stub: Stub, api: Api
) -> None:
    name = "refused"
    stub.add(name, HELLO, runtime=api.runtime("python"), entrypoint="main.py")
    stub.functions[name] |= {"scopes": ["moon.read"], "timeout": 44, "installationId": "hub"}
    stub.variable(name, "not-a-key", "1")
    stub.variable(name, "A", "1")
    done = with_stub(here, "--from", stub, name, "--json", status=1)
    problems = outcome(done)["problems"]
    assert [text.split(":")[0] for text in problems] == [
        "the connection to its repository", "scopes", "variable not-a-key",
    ]  # fmt: skip
    again = with_stub(here, "--from", stub, name, status=1)
    assert again.stderr.splitlines()[-1] == "nothing was changed"
    assert api.call("GET", f"/functions/{name}", 200)["timeout"] == 44
    assert variables(api, name) == {"A": ("1", False)}
    assert api.execute(name)["status"] == "completed"


@pytest.mark.parametrize("stub", ["2.5"], indirect=True)
@pytest.mark.parametrize("way", ["--from", "--to"])
def test_a_server_that_dies_breaks_the_run_off(here: Here, stub: Stub, api: Api, way: str) -> None:
    names = [f"dies-{way[2:]}-{number}" for number in range(2)]
    code = pack(extra={"main.py": MAIN, "large": os.urandom(LARGE_BYTES)})
    for name in names:
        if way == "--from":
            stub.add(name, code, runtime=api.runtime("python"), entrypoint="main.py")
        else:
            api.create(name, api.runtime("python"), entrypoint="main.py")
            api.deploy(name, code)
    stub.dies = True
    done = with_stub(here, way, stub, *names, status=1)
    assert len(done.stdout.splitlines()) == 2
    assert f"{stub.url} did not answer" in done.stderr
    assert "the same command goes on from here" in done.stderr
    stub.dies = False
    done = with_stub(here, way, stub, *names)
    assert [line.split()[:2] for line in done.stdout.splitlines()[1:]] == [
        [name, "moved"] for name in names
    ]
    assert "nothing was changed" in with_stub(here, way, stub, *names).stderr


@pytest.mark.parametrize("stub", ["1.6"], indirect=True)
def test_a_build_that_fails_there_is_named(here: Here, stub: Stub, api: Api) -> None:
    api.create("unbuilt", api.runtime("python"), entrypoint="main.py")
    api.deploy("unbuilt", HELLO)
    stub.build_status = "failed"
    done = with_stub(here, "--to", stub, "unbuilt", status=1)
    assert "its build failed at the target: Error: no such package" in done.stderr
    done = with_stub(here, "--to", stub, "unbuilt", status=1)
    assert "its build failed" in done.stderr
    assert len(stub.deployments["unbuilt"]) == 1


@pytest.mark.parametrize("stub", ["2.5"], indirect=True)
def test_every_function_and_variable_of_long_lists_moves(here: Here, stub: Stub, api: Api) -> None:
    stub.add("many", runtime="python-3.12")
    for number in range(PAGE_ROWS + 1):
        stub.variable("many", f"V{number}", str(number))
    stub.add("more", runtime="python-3.12")
    done = with_stub(here, "--from", stub)
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == ["many", "more"]
    assert len(variables(api, "many")) == PAGE_ROWS + 1


@pytest.mark.parametrize("stub", ["1.6"], indirect=True)
def test_a_domain_of_another_function_is_named(here: Here, stub: Stub, api: Api) -> None:
    for name in ("mine", "yours"):
        api.create(name, api.runtime("python"))
    rule = {"domain": "taken.example.com", "functionId": "mine"}
    api.call("POST", "/proxy/rules/function", 201, json=rule)
    rule = {"domain": "left.example.com", "url": "https://example.com", "statusCode": "301"}
    rule |= {"resourceId": "mine", "resourceType": "function"}
    api.call("POST", "/proxy/rules/redirect", 201, json=rule)
    stub.rule("taken.example.com", "yours")
    done = with_stub(here, "--to", stub, "mine", "--json", status=1)
    assert outcome(done)["problems"] == [
        "domain taken.example.com: at the target it leads to yours",
        "domain left.example.com: the target has only rules for functions",
    ]


@pytest.mark.parametrize("stub", ["2.5"], indirect=True)
def test_progress_is_shown_on_a_terminal(here: Here, stub: Stub, api: Api) -> None:
    code = pack(extra={"main.py": MAIN, "large": os.urandom(LARGE_BYTES)})
    stub.add("shown", code, runtime=api.runtime("python"), entrypoint="main.py")
    settings = {name: text for name, text in os.environ.items() if name != "COLUMNS"}
    settings |= {"TERM": "xterm-256color", "MINIFN_OTHER_KEY": appwrite_stub.KEY}
    command = [sys.executable, "-m", "minifn", "migrate", "--from", stub.url]
    command += ["--other-project", appwrite_stub.PROJECT]
    with PseudoTerminal(command, here.folder, settings, 120) as terminal:
        terminal.read_all()
    for step in ("downloading", "uploading", "building"):
        assert f"1/1 shown {step}" in terminal.text
    assert appwrite_stub.KEY not in terminal.text


@pytest.mark.parametrize("stub", ["1.6"], indirect=True)
def test_errors_are_one_line_with_a_remedy(here: Here, stub: Stub) -> None:
    done = with_stub(here, "--from", stub, "absent", status=1)
    assert "minifn: absent: the source has no such function" in done.stderr
    named = ("--other-project", appwrite_stub.PROJECT, "--other-key", "stolen-key")
    done = migrate(here, "--from", stub.url, *named, status=1)
    assert "(the key is that of --other-key or MINIFN_OTHER_KEY)" in done.stderr
    assert "stolen-key" not in done.output
    done = migrate(here, "--from", "http://127.0.0.1:1/v1", *named, status=1)
    assert "check the endpoint after --from or --to" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_wrong_usage_ends_with_2(here: Here) -> None:
    named = ("--other-project", PROJECT, "--other-key", "key")
    done = migrate(here, *named, status=2)
    assert "give one of --from ENDPOINT and --to ENDPOINT" in done.stderr
    done = migrate(here, "--from", "example.com", *named, status=2)
    assert "--from must be an address" in done.stderr
    done = migrate(here, "--to", here.server.endpoint, *named, status=2)
    assert "both sides are the project minifn" in done.stderr
    assert "--other-key" in migrate(here, "--to", "http://x", *named[:2], status=2).stderr


def test_values_of_a_data_directory_with_another_key_are_left_out(
    here: Here, other: Server, there: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there.create("locked", there.runtime("python"))
    body = {"key": "TOKEN", "value": "hush-hush", "secret": True}
    there.call("POST", "/functions/locked/variables", 201, json=body)
    monkeypatch.setenv("MINIFN_DATA", str(other.data))
    monkeypatch.setenv("MINIFN_VARIABLES_KEY", "0" * 64)
    named = ("--other-project", PROJECT, "--other-key", here.server.key)
    done = migrate(here, "--to", here.server.endpoint, *named, "locked", status=1)
    assert "secret variables cannot be read from" in done.stderr
    assert "locked: variable TOKEN: it is secret" in done.stderr
