"""The server's own secrets, and the users who can read them while it runs."""

import contextlib
import json
import os
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from minifn.cli.options import configuration
from minifn.sandbox.launcher import confine
from tests.processes import killed_at_end
from tests.serving import Api, Server, pack

SECRETS = {"api_key": "key-5f1e", "jwt_secret": "jwt-5f1e" * 8, "variables_key": "5f1e" * 16}
#: Reads whatever another process's environment or memory shows.
SPIES = b"""
import pathlib
def main(context):
    seen = []
    for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
        try:
            seen.append(path.read_bytes().decode("latin-1"))
        except OSError:
            continue
    return context.res.json(seen)
"""
#: A process that keeps to itself: it says so, waits, and has a secret in its environment.
SHY = (
    "import sys; sys.path.insert(0, sys.argv[1]); import confine; {};"
    " print('ready', flush=True); sys.stdin.read()"
)
OTHER_UID = 61_234


def opened(place: Path, data: Path) -> Iterator[str]:
    """Yield files and directories that other users can read, except those made for them to run."""
    names = place.relative_to(data).parts
    if (names[:1] == ("builds",) and len(names) > 1) or names[:2] in (
        ("run", "tmp"),
        ("run", "runtimes"),
    ):
        return
    mode = place.lstat().st_mode
    if mode & 0o066:
        yield f"{'/'.join(names)} {stat.filemode(mode)}"
    if stat.S_ISDIR(mode) and mode & 0o011:
        for below in place.iterdir():
            yield from opened(below, data)


@pytest.fixture
def spied(data: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of the engine that the test names, given its secrets by the environment."""
    with Server(data, sandbox=request.param, **SECRETS) as server:
        yield server


@pytest.mark.parametrize("spied", ["auto", "process"], indirect=True)
def test_neither_a_function_nor_a_process_of_the_server_has_its_secrets(spied: Server) -> None:
    with Api(spied.endpoint, SECRETS["api_key"]) as api:
        api.create("spy", api.runtime("python"), entrypoint="main.py", execute=["any"])
        log = api.deploy(
            "spy",
            pack(extra={"main.py": SPIES}),
            commands="cat /proc/*/environ /proc/self/environ; true",
        )
        seen = "".join(json.loads(api.execute("spy")["responseBody"])) + log["buildLogs"]
        assert "APPWRITE_FUNCTION_ID" in seen
        for process in spied.tree()[1:]:
            # A file that is closed to the server's user is closed to a function as well.
            with contextlib.suppress(PermissionError):
                seen += Path(f"/proc/{process.pid}/environ").read_bytes().decode("latin-1")
    assert not [name for name, secret in SECRETS.items() if secret in seen]
    assert not any(
        (spied.data / name).exists() for name in ("admin.key", "jwt.secret", "variables.key")
    )


@pytest.mark.parametrize("spied", ["auto", "process"], indirect=True)
def test_other_users_read_nothing_in_the_data_directory_of_a_server_at_work(spied: Server) -> None:
    """They can pass through to builds with their uid, but list nothing above."""
    # As an earlier version left it.
    spied.stop()
    (spied.data / "run" / "cookie").chmod(0o644)
    spied.start()
    with Api(spied.endpoint, SECRETS["api_key"]) as api:
        api.create("spy", api.runtime("python"), entrypoint="main.py")
        api.deploy("spy", pack(extra={"main.py": SPIES}))
        api.enqueue("spy")
        api.execute("spy")
        readable = list(opened(spied.data, spied.data))
    assert readable == []


@pytest.mark.parametrize("name", ["admin.key", "jwt.secret", "variables.key"])
def test_an_empty_secret_is_refused(data: Path, name: str) -> None:
    """Otherwise a file that lost its content would let anybody in."""
    data.mkdir(mode=0o700)
    (data / name).write_text(" \n")
    server = Server(data)
    server.launch()
    assert server.ended(20) == 1
    assert f"put it back, or delete the file: '{data / name}'" in server.log_tail()
    assert "Traceback" not in server.log_tail()


@pytest.mark.parametrize("command", [("token", "--user", "ada"), ("git",)])
def test_nothing_is_signed_with_an_empty_secret(data: Path, command: tuple[str, ...]) -> None:
    data.mkdir(mode=0o700)
    for name in ("minifn.db", "jwt.secret"):
        (data / name).touch()
    done = subprocess.run(
        [sys.executable, "-m", "minifn", *command, "--data", str(data)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("minifn: Its secret is gone")


def test_secrets_are_taken_out_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, secret in SECRETS.items():
        monkeypatch.setenv(f"MINIFN_{name.upper()}", secret)
    config = configuration(data=str(tmp_path))
    assert {name: getattr(config, name) for name in SECRETS} == SECRETS
    assert not [name for name in os.environ if name.removeprefix("MINIFN_").lower() in SECRETS]


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("git_installations", "a=/srv,hub=https://user:5f1e@host"),
        ("templates", "https://5f1e@host"),
    ],
)
def test_passwords_of_repositories_are_no_options(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    name: str,
    base: str,
) -> None:
    variable = f"MINIFN_{name.upper()}"
    monkeypatch.setenv(variable, base)
    config = configuration(data=str(tmp_path))
    assert "5f1e" in str(getattr(config, name))
    assert variable not in os.environ
    with pytest.raises(SystemExit) as ended:
        configuration(data=str(tmp_path), **{name: base})
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert variable in said
    assert "5f1e" not in said
    shown = base.replace("user:", "").replace("5f1e@", "")
    assert "host" in str(getattr(configuration(data=str(tmp_path), **{name: shown}), name))


@pytest.mark.skipif(
    sys.platform != "linux", reason="how processes show each other is told here for Linux"
)
@pytest.mark.parametrize(("keeps", "shown"), [("pass", True), ("confine.forbid_dumps()", False)])
def test_a_process_of_the_same_user_cannot_look_in(keeps: str, shown: bool) -> None:
    """The control: without the call, it can."""
    python = shutil.which("python3", path="/usr/bin")
    if python is None or os.geteuid() != 0:
        pytest.skip("needs root, to start processes of another user, and /usr/bin/python3")
    # Not below pytest's own directory, which each run of pytest closes to other users.
    with tempfile.TemporaryDirectory(prefix="minifn-shy-") as place:
        shutil.copytree(Path(confine.__file__).parent, place, dirs_exist_ok=True)
        Path(place).chmod(0o755)
        _look_in(python, place, keeps, shown)


def _look_in(python: str, place: str, keeps: str, shown: bool) -> None:
    shy = subprocess.Popen(
        [python, "-I", "-S", "-c", SHY.format(keeps), place],
        env={"SECRET": "5f1e"},
        user=OTHER_UID,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with killed_at_end(shy):
        assert shy.stdout is not None
        assert shy.stdout.readline() == b"ready\n"
        for file, mark in (("environ", b"5f1e"), ("maps", b"python")):
            looked = subprocess.run(
                ["/bin/cat", f"/proc/{shy.pid}/{file}"],
                user=OTHER_UID,
                capture_output=True,
                check=False,
            )
            assert (mark in looked.stdout) is shown


def test_a_server_and_its_launcher_leave_no_core(data: Path) -> None:
    with Server(data) as server:
        for process in server.tree():
            assert process.rlimit(resource.RLIMIT_CORE)[0] == 0
