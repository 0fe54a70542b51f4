"""The command line as a process: its output, its exit codes and its files."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import jwt
import pytest

from minifn import __version__
from minifn.cli import COMMANDS
from minifn.cli.serve import function_around
from tests.patience import patient
from tests.processes import killed_at_end
from tests.serving import PROJECT, Api, Server, wait_until


def environment(**settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MINIFN_")}
    return {**kept, "COLUMNS": "200", "PYTHONUNBUFFERED": "1", **settings}


def minifn(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "minifn", *arguments]
    return subprocess.run(
        command,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def started(data: Path) -> Iterator[Server]:
    with Server(data) as server:
        yield server


def test_version() -> None:
    done = minifn("--version")
    assert (done.returncode, done.stdout) == (0, f"minifn {__version__}\n")


def test_help_has_a_whole_sentence_for_every_command() -> None:
    done = minifn("--help", COLUMNS="80")
    assert done.returncode == 0
    for command in COMMANDS:
        assert re.search(rf"^  {command} .*\.$", done.stdout, re.MULTILINE), command
    assert "..." not in done.stdout.partition("Commands:")[2]


@pytest.mark.parametrize(
    ("arguments", "settings", "line"),
    [
        (["--port", "many"], {}, "minifn: --port must be a whole number, not 'many'"),
        (["--port", "70000"], {}, "minifn: --port must be at most 65535, not 70000"),
        (["--sandbox", "chroot"], {}, "minifn: --sandbox must be one of auto, bwrap, "),
        ([], {"MINIFN_PORT": "many"}, "minifn: MINIFN_PORT must be a whole number, not 'many'"),
        ([], {"MINIFN_CPUS": "nan"}, "minifn: MINIFN_CPUS must be at least 0, not nan"),
        (
            [],
            {"MINIFN_ACCESS_LOG": "perhaps"},
            "minifn: MINIFN_ACCESS_LOG must be true or false, not 'perhaps'",
        ),
        (
            ["--port", "1"],
            {"MINIFN_TIMEOUT_MAX": "0"},
            "minifn: MINIFN_TIMEOUT_MAX must be at least 1, not 0",
        ),
    ],
)
def test_a_bad_setting_is_one_line_and_exit_2(
    arguments: list[str], settings: dict[str, str], line: str, data: Path
) -> None:
    done = minifn("serve", "--data", str(data), *arguments, **settings)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1
    assert not data.exists()


def test_a_port_in_use_is_one_line(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = minifn("serve", "--data", str(data), "--port", str(port))
    assert done.returncode == 1
    assert (
        done.stderr == f"minifn: port {port} of 127.0.0.1 is in use; choose another with --port\n"
    )


def test_an_address_of_another_machine_is_one_line(data: Path) -> None:
    done = minifn("serve", "--data", str(data), "--host", "192.0.2.1")
    assert done.returncode == 1
    assert done.stderr.startswith("minifn: cannot listen on 192.0.2.1 port 8000: ")


def test_a_second_server_on_the_same_data_is_one_line(started: Server) -> None:
    done = minifn("serve", "--data", str(started.data), "--port", "0")
    assert done.returncode == 1
    assert done.stderr.startswith("minifn: ")
    assert done.stderr.count("\n") == 1


def test_the_first_start_shows_the_key_and_the_second_does_not(data: Path) -> None:
    server = Server(data)
    with server:
        pass
    first = server.log.read_text()
    assert f"minifn   {server.url}/v1  (project {PROJECT})" in first
    assert str(data / "admin.key") in first
    assert f"\ndocs     {server.url}/docs/\n" in first
    assert re.search(r"^sandbox  (bwrap|process): \w", first, re.MULTILINE)
    assert first.count(server.key) == 1
    [token] = re.findall(
        rf"^console  {server.url}/console/\?token=([\w-]{{32}}) ", first, re.MULTILINE
    )
    with server, httpx.Client(headers={"x-minifn-console": "1"}, trust_env=False) as browser:
        # Links end with the server that made them.
        answer = browser.post(f"{server.endpoint}/minifn/session", json={"token": token})
        assert answer.status_code == 401
        [token] = re.findall(
            r"^console  .*token=([\w-]{32}) ", server.log.read_text(), re.MULTILINE
        )[1:]
        answer = browser.post(f"{server.endpoint}/minifn/session", json={"token": token})
        assert answer.status_code == 201
        assert browser.get(f"{server.endpoint}/functions?project={PROJECT}").status_code == 200
    second = server.log.read_text().removeprefix(first)
    assert server.url in second
    assert server.key not in second


@pytest.mark.parametrize(
    ("host", "engine", "warned"), [("0.0.0.0", "none", True), ("127.0.0.1", "none", False)]
)
def test_an_open_door_without_walls_is_pointed_out(
    data: Path, host: str, engine: str, warned: bool
) -> None:
    server = Server(data, host=host, sandbox=engine)
    with server:
        pass
    assert ("warning  other machines reach this server" in server.log.read_text()) is warned


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_server_and_all_it_started(data: Path, number: signal.Signals) -> None:
    with Server(data) as server:
        tree = server.tree()
        server.process.send_signal(number)
        assert server.ended(20) == 0
    assert len(tree) > 1
    wait_until(
        lambda: not any(process.is_running() for process in tree), 5, "every process is gone"
    )
    assert "Traceback" not in server.log.read_text()


def test_keys_are_made_listed_and_deleted_beside_a_running_server(started: Server) -> None:
    data = str(started.data)
    none = minifn("keys", "list", "--data", data)
    assert (none.stdout, "minifn keys create" in none.stderr) == ("", True)
    made = minifn("keys", "create", "--name", "reader", "--scope", "functions.read", "--data", data)
    assert made.returncode == 0
    secret = made.stdout.removesuffix("\n")
    assert re.fullmatch(r"\S{40,}", secret)
    with Api(started.endpoint, secret) as api:
        api.call("GET", "/functions", 200)
        api.call(
            "POST",
            "/functions",
            401,
            json={"functionId": "x", "name": "x", "runtime": "python-3.11"},
        )

        listed = json.loads(minifn("keys", "list", "--json", "--data", data).stdout)
        assert [(key["name"], key["scopes"], key["expire"]) for key in listed] == [
            ("reader", ["functions.read"], "")
        ]
        assert secret not in minifn("keys", "list", "--data", data).stdout
        minifn(
            "keys",
            "create",
            "--name",
            "\x1b[31mred\x1b]0;title\x07",
            "--scope",
            "functions.read",
            "--data",
            data,
        )
        shown = minifn("keys", "list", "--data", data).stdout
        assert "  red  functions.read  " in shown
        assert "\x1b" not in shown

        deleted = minifn("keys", "delete", listed[0]["id"], "--data", data)
        assert (deleted.returncode, deleted.stdout) == (0, "")

        def refused() -> bool:
            return api.http.get("/functions").status_code == 401

        wait_until(refused, 5, "the server notices that the key is gone")
    assert minifn("keys", "delete", listed[0]["id"], "--data", data).returncode == 1


def test_a_key_for_some_functions(started: Server) -> None:
    data = str(started.data)
    options = ["--scope", "functions.read", "--function", "class1-*", "--function", "shared"]
    made = minifn("keys", "create", "--name", "class", *options, "--data", data)
    assert made.returncode == 0
    (listed,) = json.loads(minifn("keys", "list", "--json", "--data", data).stdout)
    assert listed["functions"] == ["class1-*", "shared"]
    shown = minifn("keys", "list", "--data", data).stdout
    assert shown.endswith("functions.read  does not expire  for class1-* shared\n")
    with started.api as admin:
        for name in ("class1-a", "class2-a"):
            admin.create(name, "python-3.11")
        with Api(started.endpoint, made.stdout.strip()) as api:
            found = api.call("GET", "/functions", 200)
            assert [function["$id"] for function in found["functions"]] == ["class1-a"]
            api.call("GET", "/functions/class2-a", 404)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["--scope", "everything"],
            "minifn: --scope 'everything' is not a scope; scopes are such as functions.read",
        ),
        (
            ["--scope", "functons.read"],
            "minifn: --scope 'functons.read' is not a scope; did you mean functions.read?",
        ),
        (
            ["--scope", "functions.read", "--function", "class 1"],
            "minifn: --function must be the ID of a function, or the beginning of IDs and a *, ",
        ),
        (["--scope", "users.read"] * 201, "minifn: a key holds at most 200 scopes, not 201"),
        (
            ["--scope", "functions.read", "--expire", "soon"],
            "minifn: --expire must be an ISO 8601 date and time, ",
        ),
    ],
)
def test_a_bad_key_is_one_line_and_exit_2(arguments: list[str], line: str, data: Path) -> None:
    done = minifn("keys", "create", "--name", "x", *arguments, "--data", str(data))
    assert done.returncode == 2
    assert done.stderr.startswith(line)
    assert not data.exists()


def test_a_token_names_the_user(data: Path) -> None:
    options = [
        "--user",
        "ada",
        "--team",
        "crew:owner,pilot",
        "--label",
        "vip",
        "--verified",
        "--ttl",
        "2h",
    ]
    secret = "s" * 64
    done = minifn("token", *options, "--data", str(data), MINIFN_JWT_SECRET=secret)
    assert not data.exists()
    claims = jwt.decode(done.stdout.strip(), secret, algorithms=["HS256"])
    assert claims["userId"] == "ada"
    assert claims["verified"] is True
    assert claims["labels"] == ["vip"]
    assert [(team["teamId"], team["roles"]) for team in claims["teams"]] == [
        ("crew", ["owner", "pilot"])
    ]
    assert 7100 < claims["exp"] - time.time() <= 7200


def test_hosts_of_repositories_get_a_secret_of_their_own(data: Path) -> None:
    installations = "one=/srv/git,two=https://user:hidden@example.com/org"
    done = minifn(
        "git", "--data", str(data), "--port", "8123",
        MINIFN_GIT_INSTALLATIONS=installations, MINIFN_JWT_SECRET="s" * 64,
    )  # fmt: skip
    none = minifn("git", "--data", str(data), MINIFN_JWT_SECRET="s" * 64)
    assert (none.stdout, "MINIFN_GIT_INSTALLATIONS" in none.stderr) == ("", True)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["one", "/srv/git"]
    assert lines[1] == ["webhook", "http://127.0.0.1:8123/v1/vcs/one/events"]
    assert lines[3] == ["two", "https://example.com/org"]
    assert lines[2][1] != lines[5][1]
    assert len(lines[2][1]) == 64


def test_serve_knows_a_data_directory_in_the_folder_of_a_function(tmp_path: Path) -> None:
    project = tmp_path / "project"
    for name in ("of/deep", "apart", "bare", "damaged"):
        (project / name).mkdir(parents=True)
    entry = {"$id": "f", "path": "of"}
    (project / "appwrite.json").write_text(json.dumps({"functions": [entry]}))
    (project / "bare/main.py").touch()
    (project / "damaged/appwrite.json").write_text("{")
    (project / "link").symlink_to("of")
    expected = {"of/d": "of", "of/deep/d": "of", "link/d": "of", "bare/d": "bare"}
    expected |= {"apart/d": "", "d": "", "damaged/d": ""}
    for data, folder in expected.items():
        found = function_around(project / data)
        assert found == (project / folder if folder else None), data


def test_doctor_reports_the_same_in_both_forms(data: Path) -> None:
    done = minifn("doctor", "--json", "--data", str(data))
    report = json.loads(done.stdout)
    assert done.returncode == (0 if report["works"] else 1)
    names = {(check["group"], check["name"]) for check in report["checks"]}
    assert {
        ("sandbox", "engine"),
        ("machine", "data directory"),
        ("machine", "git"),
        ("runtimes", "python"),
    } <= names
    shown = minifn("doctor", "--data", str(data)).stdout
    for check in report["checks"]:
        assert check["name"] in shown
        assert check["state"] in shown
    assert not data.exists()


def test_doctor_fails_when_something_required_is_missing(data: Path) -> None:
    done = minifn("doctor", "--data", str(data), "--sandbox", "process", "--network", "none")
    assert done.returncode == 1
    assert "MINIFN_SANDBOX=auto" in done.stdout


def test_demo_prints_lines_that_work_and_leaves_nothing(tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not on PATH: install the package curl")
    settings = environment(TMPDIR=str(tmp_path))
    command = [sys.executable, "-m", "minifn", "demo", "--port", "0"]
    shown: list[str] = []
    demo = subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, text=True)
    with killed_at_end(demo) as process:
        assert process.stdout is not None
        for line in process.stdout:
            shown.append(line.rstrip("\n"))
            if "Ctrl-C" in line:
                break
        try:
            calls = [line[9:] for line in shown if line[9:].startswith("curl ")]
            direct, recorded, listed = [run_curl(call) for call in calls]
            [page] = [line[9:] for line in shown if line.startswith("page     ")]
            assert "<html" in run_curl(f"curl -s {page}").lower()
            [place] = tmp_path.glob("minifn-demo-*")
            named = environment(PATH=str(Path(sys.executable).parent))
            run = subprocess.run(
                [sys.executable, "-m", "minifn", "run", "python-hello", "Ada"],
                cwd=place, env=named, capture_output=True, text=True, timeout=30, check=True,
            )  # fmt: skip
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(patient(20)) == 0
    assert any(line.startswith("python-hello: ") and "ready after" in line for line in shown)
    assert sum(line.startswith("console  ") for line in shown) == 1
    assert "python-hello" in {one["functionId"] for one in json.loads(listed)["functions"]}
    assert json.loads(run.stdout) == json.loads(direct)
    assert json.loads(direct)["message"] == "Hello, Ada!"
    execution = json.loads(recorded)
    assert execution["status"] == "completed"
    assert json.loads(execution["responseBody"])["message"] == "Hello, Ada!"
    assert list(tmp_path.glob("minifn-demo-*")) == []


def run_curl(line: str) -> str:
    """Return what a printed curl line answers."""
    done = subprocess.run(shlex.split(line), capture_output=True, text=True, timeout=30, check=True)
    return done.stdout


def test_only_the_owner_can_read_the_servers_files(started: Server) -> None:
    files = [path for path in started.data.iterdir() if path.is_file()]
    assert {"minifn.db", "admin.key", "jwt.secret"} <= {path.name for path in files}
    assert [path.name for path in files if path.stat().st_mode & 0o077] == []
