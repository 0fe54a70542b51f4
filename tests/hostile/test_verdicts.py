"""Protection by each engine from hostile programs, by running them: a changed verdict fails.

`stopped`: the attempt failed. `killed`: it succeeded until the watchdog saw it. `open`: it
succeeded. A column is an engine, a network and the server's user; `none` shows that the programs
can succeed at all.
"""

import functools
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from minifn.sandbox.launcher.confine import landlock_version
from tests.hostile.driver import attacks, node_attacks

ROOT = Path(__file__).parents[2]
#: A uid that neither an account nor another run of these tests has, because signals for all
#: processes of a user would reach those.
USER = 62_000 + os.getpid() % 16
#: Programs at paths that sandboxes show.
NODE = shutil.which("node", path="/usr/bin:/usr/local/bin") or ""
PERL = shutil.which("perl", path="/usr/bin") or ""
#: Engine, network and the server's user.
COLUMNS = (
    *("bwrap host root", "bwrap host user", "bwrap none root", "bwrap none user"),
    *("sandlock host root", "sandlock host user", "process host root", "process host user"),
    "none host user",
)
WORDS = {"S": "stopped", "K": "killed", "O": "open"}
#: Verdict on each program, by column; the same in Python and in Node.js.
VERDICTS = {
    # bwrap: host, host, none, none; sandlock: root, user; process: root, user; none
    "read_database": "S S S S S S S S O",
    "list_data": "S S S S S S S S O",
    "look_at_database": "S S S S O O O O O",  # Landlock does not cover stat,
    "change_database_mode": "S S S S S O S O O",  # nor chmod.
    "link_database": "S S S S S S S S O",
    "mark_database": "S S S S S O S S O",
    "watch_data": "S S S S S O S S O",
    "write_data": "S S S S S S S S O",
    "write_own_code": "S S S S S S S S O",
    "write_outside_tmp": "S S S S S S S S O",
    "swap_tmp": "S S S S S S S S O",
    "plant_links": "S S S S S S S S S",
    "read_other_build": "S S S S S S S S O",
    "server_environment": "S S S S S S S S O",
    "other_environment": "S S S S S S S S O",
    "see_processes": "S S S S S S O O O",
    # sandlock lists no foreign process, but answers for a known pid.
    "other_descriptors": "S S S S S O S S O",
    "signal_server": "S S S S S S S S O",
    "signal_launcher": "S S S S S S S S O",
    "signal_other": "S S S S S S S S O",
    "signal_everybody": "S S S S S S S S O",
    "signal_by_descriptor": "S S S S S S S S O",
    # Landlock does not cover these three; the filter of `process` does.
    "limit_server": "S S S S S O S S O",
    "renice_other": "S S S S S O S S O",
    "renice_everybody": "S S S S S O S S O",
    "sacrifice_server": "S S S S S S S S O",
    "spare_itself": "S S S S S S S S O",
    "trace_other": "S S S S S S S S O",
    "read_memory": "S S S S S S S S O",
    "become_root": "S S S S S S S S O",
    "user_namespace": "S S S S S S S S O",
    "user_namespace_by_clone": "S S S S S S S S O",
    "mount_something": "S S S S S S S S O",
    "kernel_interfaces": "S S S S S S S S O",
    "change_machine": "S S S S S S S S S",
    "raise_limits": "S S S S S S S S O",
    "inherited_descriptors": "S S S S S S S S S",
    "type_into_terminal": "S S S S S S S S S",
    "write_to_terminal": "S S S S S S S S O",
    "other_socket": "S S S S S S S S O",
    # Abstract sockets belong to the network namespace, which functions share with the host.
    "abstract_socket": "O O S S S S S S O",
    "loopback": "O O S S O O O O O",
    "system_v_memory": "S S S S S S S S O",
    "posix_memory": "S S S S S S S S O",
    "spin": "K K K K K K K K K",
    "ignore_termination": "K K K K K K K K K",
    "daemon": "S S S S S S S S S",
    "fork_bomb": "S S S S S SK S K K",
    "memory_bomb": "S S S S S S S S K",
    "memory_tree": "K K K K K K K K K",
    "shared_memory": "K K K K K K K K K",
    "fill_disk": "K K K K K K K K K",
    "fill_devices": "S S S S S S S S O",
    "open_everything": "S S S S S S S S O",
    "dump_core": "S S S S S S S S O",
    "headless_memory": "K K K K K K K K K",
    "headless_deleted_file": "K K K K K K K K K",
    "headless_daemon": "S S S S S S S S S",
    "own_descriptors": "K K K K K K K K K",
    "thread_bomb": "S S S S S K S K K",
    "page_tables": "K K K K K K K K K",
    # Kernels may lack it.
    "secret_memory": "S S S S S S S S OS",
    "many_files": "K K K K K K K K K",
    "loopback_queues": "K K K K K K K K K",
    "queue_of_the_dead": "K K K K K K K K K",
    "descriptors_in_flight": "K K K K K K K K K",
    "pending_signals": "S S S S S S S S O",
}
#: The column of a plain `pytest`: the engine of most machines, as this user.
EVERYDAY = f"bwrap host {'user' if os.geteuid() else 'root'}"
CASES = tuple(
    pytest.param(column, f"{family}{attack}", marks=() if column == EVERYDAY else pytest.mark.slow)
    for column in COLUMNS
    for family in ("", "node ")
    for attack in VERDICTS
)
#: Attacks that are open in the process engine before Linux 6.12: older Landlock confines neither
#: signals nor abstract sockets.
NEEDS_SCOPES = {
    *("signal_server", "signal_launcher", "signal_other", "signal_everybody"),
    *("signal_by_descriptor", "abstract_socket"),
}


def interpreter(uid: int) -> list[str]:
    """Return the argv of a Python 3.11 as that user; skips when the user can reach none."""
    if uid == os.geteuid():
        return [sys.executable]
    # The limit protects the machine from a mistake in these tests.
    guard = ["prlimit", "--nproc=4000", "--"]
    prefix = ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", *guard]
    for python in (sys.executable, "/usr/local/bin/python3", "/usr/bin/python3"):
        check = [
            *prefix,
            python,
            "-c",
            f"import os, sys; assert sys.version_info >= (3, 11); os.listdir({str(ROOT)!r})",
        ]
        if (
            Path(python).exists()
            and subprocess.run(check, capture_output=True, check=False).returncode == 0
        ):
            return [*prefix, python]
    pytest.skip("no Python 3.11 that a plain user can run: install one below /usr")


@pytest.fixture
def column(request: pytest.FixtureRequest) -> tuple[str, dict[str, list[str]]]:
    """A column's name and verdicts; skips what this machine lacks."""
    name = str(request.param)
    engine, _, who = name.split()
    if sys.platform != "linux" or not Path("/usr/bin/python3").exists():
        pytest.skip("the hostile programs need Linux and /usr/bin/python3")
    if engine == "bwrap":
        request.getfixturevalue("bwrap")
    if who == "root" and os.geteuid() != 0:
        pytest.skip("only a root server drops to a uid per function: run the tests as root too")
    if engine == "process" and not landlock_version():
        pytest.skip("this kernel has no Landlock: use Linux 5.13 or newer")
    if engine == "sandlock" and (
        importlib.util.find_spec("sandlock") is None or landlock_version() < 6
    ):
        pytest.skip("sandlock needs Linux 6.12 and its package: pip install 'minifn[sandlock]'")
    found = verdicts(name)
    assert "broken" not in found, found["broken"][0]
    if "unavailable" in found:
        pytest.skip(f"{name}: {found['unavailable'][0]}")
    return name, found


@functools.cache
def verdicts(name: str) -> dict[str, list[str]]:
    """Run every program in a column and return the verdicts and observations."""
    engine, network, who = name.split()
    package = importlib.util.find_spec("sandlock") if engine == "sandlock" else None
    beside = str(Path(package.origin).parents[1]) if package and package.origin else ""
    node = NODE if PERL else ""
    uid = USER if who == "user" and os.geteuid() == 0 else os.geteuid()
    argv = [*interpreter(uid), str(Path(__file__).with_name("driver.py")), engine, network, node]
    # Not below pytest's own directory, which only its owner can enter.
    with tempfile.TemporaryDirectory(prefix="minifn-hostile-") as place:
        Path(place).chmod(0o777)
        finished = subprocess.run(
            [*argv, f"{place}/data"],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": f"{ROOT}:{beside}" if beside else str(ROOT),
                "PYTHONDONTWRITEBYTECODE": "1",
                "SERVER_SECRET": "do-not-tell",
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            # Only a session's leader can get a terminal.
            start_new_session=True,
        )
    if finished.returncode:
        # Returned instead of raised, because an exception is not cached: each case would try again.
        return {"broken": [finished.stderr]}
    answers: dict[str, list[str]] = json.loads(finished.stdout)
    return answers


def test_every_program_is_in_the_table() -> None:
    assert set(attacks()) == set(VERDICTS)
    assert set(node_attacks()) == set(VERDICTS)
    assert {len(row.split()) for row in VERDICTS.values()} == {len(COLUMNS)}


@pytest.mark.parametrize(("column", "attack"), CASES, indirect=["column"])
def test_verdict(column: tuple[str, dict[str, list[str]]], attack: str) -> None:
    name, found = column
    key = attack.removeprefix("node ")
    if name.startswith("process") and key in NEEDS_SCOPES and landlock_version() < 6:
        pytest.skip("this kernel's Landlock has no scopes: use Linux 6.12 or newer")
    if key != attack and attack not in found:
        pytest.skip(
            "needs Node.js and perl below /usr: install both by the system's package manager"
        )
    verdict, seen = found[attack]
    # Two letters: it depends on which limit comes first.
    assert verdict in {WORDS[letter] for letter in VERDICTS[key].split()[COLUMNS.index(name)]}, seen
