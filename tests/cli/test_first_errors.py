"""Errors of the first use: each is one line that says the next step."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from click.testing import CliRunner

from minifn.cli import main
from tests.cli.test_cli import environment, minifn
from tests.patience import patient
from tests.processes import killed_at_end
from tests.serving import Server, wait_until

NOT_TEXT = "It is not text: put its secret back, or delete the file: "
COMMAND = (sys.executable, "-m", "minifn")


@pytest.mark.parametrize(
    "arguments",
    [
        ("keys", "create", "--name", "x", "--scope", "functions.read"),
        ("keys", "list"),
        ("keys", "delete", "x"),
        ("token", "--user", "ada"),
        ("git",),
        ("backup", "copy.tar"),
    ],
)
def test_a_directory_without_data_is_refused_and_stays_as_it_is(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    for place in (tmp_path, tmp_path / "absent"):
        done = minifn(*arguments, "--data", str(place))
        assert (done.returncode, done.stdout, done.stderr) == (
            1,
            "",
            f"minifn: no server keeps its data in {place}: name its directory with --data\n",
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("drain", "\udc9b"), "an argument is not text in UTF-8"),
        (("run", "one", "--path", "/\udc9b"), "an argument is not text in UTF-8"),
        (("init", "a" * 300), "File name too long"),
        (("ls", "--key", "swordfish\n"), "the key holds what no key does"),
        (("ls", "--key", "swordfish\u20ac"), "the key holds what no key does"),
    ],
)
def test_arguments_that_nothing_can_be_are_one_line(
    arguments: tuple[str, ...], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    env = {"MINIFN_SERVER": "http://127.0.0.1:1"}
    result = CliRunner().invoke(main, arguments, env=env)
    assert isinstance(result.exception, SystemExit)
    assert re.fullmatch(f"minifn: .*{words}.*\n", result.stderr)
    assert "swordfish" not in result.output


def test_a_removed_directory_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    for command in ("ls", "deploy", "keys list", "dev"):
        result = CliRunner().invoke(main, command.split())
        assert isinstance(result.exception, SystemExit), command
        assert result.stderr == "minifn: the current directory was removed: change to another one\n"
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("", b"", "Not a directory: '{data}'"),
        ("run", b"", "Not a directory: '{data}/run'"),
        ("minifn.db", b"\x9b" * 9000, "{data}/minifn.db: file is not a database"),
        ("admin.key", b"\x9b" * 90, NOT_TEXT + "'{data}/admin.key'"),
        ("jwt.secret", b"\x9b" * 90, NOT_TEXT + "'{data}/jwt.secret'"),
        ("variables.key", b"\x9b" * 90, NOT_TEXT + "'{data}/variables.key'"),
    ],
)
def test_files_of_another_kind_in_the_data_directory_are_one_line(
    name: str, content: bytes, line: str, data: Path
) -> None:
    if name:
        data.mkdir(mode=0o700)
    (data / name if name else data).write_bytes(content)
    done = minifn("serve", "--port", "0", "--data", str(data))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"minifn: cannot start: {line.format(data=data)}\n"


def test_a_mistyped_setting_is_pointed_out(data: Path) -> None:
    server = Server(data, prot=1, functions_domian="x.test", zzz="1", log_level="x", tmp="64")
    with server:
        pass
    lines = re.findall(r"^minifn: (.* is not a setting.*)$", server.log.read_text(), re.MULTILINE)
    assert lines == [
        "MINIFN_FUNCTIONS_DOMIAN is not a setting; did you mean MINIFN_FUNCTIONS_DOMAIN?",
        "MINIFN_LOG_LEVEL is not a setting",
        "MINIFN_PROT is not a setting; did you mean MINIFN_PORT?",
        "MINIFN_ZZZ is not a setting",
    ]


def test_few_open_files_are_one_line(data: Path) -> None:
    for number in (20, 511):
        limited = ["sh", "-c", f'ulimit -n {number}; exec "$@"', "sh", *COMMAND]
        done = subprocess.run(
            [*limited, "serve", "--port", "0", "--data", str(data)],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 1
        assert done.stderr == (
            f"minifn: cannot start: only {number} files may be open, and a server needs 512: raise"
            " the limit, for example by `ulimit -n 4096`\n"
        )
    assert not data.exists()


def test_the_fewest_open_files_are_enough(data: Path) -> None:
    server = Server(data)
    server.wrapper = ("sh", "-c", 'ulimit -n 512; exec "$@"', "sh")
    with server, server.api as api:
        assert api.call("GET", "/functions", 200)["total"] == 0


def test_closed_standard_streams_harm_no_file(data: Path) -> None:
    """Otherwise the database or a socket has the number of a stream, and gets its output."""
    if os.geteuid():
        pytest.skip("a server hides its descriptors from its own user: run the tests as root too")
    server = Server(data)
    with server:
        pass
    server.wrapper = ("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh")
    with server, server.api as api:
        place = Path("/proc") / str(server.process.pid) / "fd"
        assert {str((place / str(number)).readlink()) for number in range(3)} == {os.devnull}
        assert api.call("GET", "/functions", 200)["total"] == 0
        assert server.stop() == 0


def test_first_lines_that_cannot_be_written_are_one_line(data: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "serve", "--port", "0", "--data", str(data)],
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == (
        "minifn: stopped: the first lines cannot be written: No space left on device\n"
    )


@pytest.fixture
def noexec(tmp_path: Path) -> Iterator[Path]:
    """A directory on a file system that is mounted noexec; skips where none can be mounted."""
    place = tmp_path / "noexec"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "noexec,mode=755", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_data_directory_without_execution_is_one_line(noexec: Path, tmp_path: Path) -> None:
    server = Server(noexec / "data")
    server.log = tmp_path / "log"
    with server:
        pass
    assert server.log.read_text().count("mounted noexec: compiled packages and programs of") == 1
    report = minifn("doctor", "--data", str(noexec / "data")).stdout
    assert re.search(r"data directory +DEGRADED +.*: its file system is mounted noexec", report)


def test_a_closed_terminal_stops_the_server_and_nohup_keeps_it(data: Path) -> None:
    nohup = shutil.which("nohup")
    if nohup is None:
        pytest.skip("nohup is not on PATH: install the package coreutils")
    server = Server(data)
    server.wrapper = (nohup,)
    with server:
        server.process.send_signal(signal.SIGHUP)
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        ignored = int(re.findall(r"^SigIgn:\s+(\w+)$", status, re.MULTILINE)[0], 16)
        assert ignored & 1 << (signal.SIGHUP - 1)
        assert httpx.get(f"{server.endpoint}/health/version", trust_env=False).is_success

    master, slave = os.openpty()
    # The shell has the terminal, as the session's first process, and becomes the server.
    take = f'exec 3<>{os.ttyname(slave)}; exec "$@" <&3 >&3 2>&3'
    started = subprocess.Popen(
        ["sh", "-c", take, "sh", *COMMAND, "serve", "--port", "0", "--data", str(data)],
        env=environment(),
        start_new_session=True,
    )
    with killed_at_end(started):
        shown = b""
        while b"key in" not in shown:
            shown += os.read(master, 4096)
        # Not before the server has it: a terminal that no process has is closed.
        os.close(slave)
        tree = psutil.Process(started.pid).children(recursive=True)
        os.close(master)
        assert started.wait(patient(20)) == 0
    wait_until(lambda: not any(one.is_running() for one in tree), 5, "every process is gone")


def test_the_access_log_has_the_duration(data: Path) -> None:
    with Server(data, access_log="true") as server:
        target = f"{server.url}/v1/nothing%0A?a=%20b&token=sekret"
        assert httpx.get(target, trust_env=False).status_code == 404
        request = r"GET /v1/nothing%0A\?a=%20b&token=\.\.\. HTTP/1\.1"
        line = rf' INFO minifn.access: 127\.0\.0\.1:\d+ - "{request}" 404 '
        wait_until(lambda: re.search(rf"{line}\d+\.\d ms\n", server.log.read_text()), 5, "the line")
        # This one is answered without ASGI.
        host = {"host": f"unknown.functions.localhost:{server.port}"}
        assert (
            httpx.get(f"{server.url}/x?token=y", headers=host, trust_env=False).status_code == 404
        )
        line = r' INFO minifn.access: 127\.0\.0\.1:\d+ - "GET /x\?token=\.\.\. HTTP/1\.1" 404 '
        wait_until(lambda: re.search(rf"{line}\d+\.\d ms\n", server.log.read_text()), 5, "the line")


def test_a_backup_is_overwritten_by_force_alone(data: Path, tmp_path: Path) -> None:
    with Server(data):
        pass
    copy = tmp_path / "copy.tar"
    copy.write_text("another file")
    done = minifn("backup", str(copy), "--data", str(data))
    assert (done.returncode, done.stderr) == (
        1,
        f"minifn: {copy} exists: --force overwrites it\n",
    )
    assert copy.read_text() == "another file"
    assert minifn("backup", str(copy), "--force", "--data", str(data)).returncode == 0
    assert minifn("restore", str(copy), "--data", str(tmp_path / "again")).returncode == 0


@pytest.mark.parametrize("content", [None, "another file"])
def test_a_restore_that_cannot_be_leaves_no_directory(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("copy.tar").write_text(content)
    done = CliRunner().invoke(main, ("restore", "copy.tar", "--data", "again"))
    assert "'copy.tar' does not exist" in done.stderr or "not a backup of minifn" in done.stderr
    assert "Errno" not in done.stderr
    assert not Path("again").exists()
