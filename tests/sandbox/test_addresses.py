"""Addresses that are closed to sandboxes with network `isolated`."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from minifn.sandbox.launcher.addresses import own_addresses
from tests.hostile.test_verdicts import interpreter
from tests.sandbox import two_machines
from tests.sandbox.two_machines import BEHIND, WAYS

ROOT = Path(__file__).parents[2]


def test_the_addresses_of_this_machine_are_known() -> None:
    assert not [one for one in own_addresses() if one.startswith(("127.", "::1/"))]
    if not shutil.which("ip"):
        pytest.skip("to compare them needs ip (apt install iproute2)")
    listed = subprocess.run(["ip", "-o", "addr"], capture_output=True, text=True, check=True)
    known = {line.split()[3].partition("/")[0] for line in listed.stdout.splitlines()}
    assert known - {"127.0.0.1", "::1"} <= {one.partition("/")[0] for one in own_addresses()}


@pytest.mark.usefixtures("bwrap")
def test_a_hostile_function_does_not_reach_closed_addresses() -> None:
    """Not by any way that reaches open ones, and a running one not those that are closed later."""
    if not shutil.which("pasta") or not shutil.which("ip"):
        pytest.skip("isolation needs pasta (apt install passt), and this test iproute2")
    machine, kind, plain = ["unshare", "--net", "--mount"], "root", interpreter(20301)
    if os.geteuid():
        if not os.access("/dev/net/tun", os.W_OK):
            pytest.skip("isolation needs /dev/net/tun")
        machine += ["--user", "--map-root-user"]
        kind, plain = "user", ["unshare", "--user", "--map-user=1000", sys.executable]
    if subprocess.run([*machine, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this test needs network namespaces")
    done = subprocess.run(
        [*machine, sys.executable, "-m", two_machines.__name__, kind, *plain],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    before, after = seen["before"], seen["after"]
    for attempts in before.pop("removed"), after.pop("removed"):
        assert attempts == [errno.EPERM, errno.ENOENT]
    for address in BEHIND:
        assert set(before.pop(address)) >= WAYS
    assert not any((*before.values(), *after.values()))
    assert "Connection refused" in seen["later"]
    assert seen["unlisted"] == (
        "addresses of the network cannot be closed: No such file or directory\n"
    )
    assert seen["ended"] == "SIGKILL"
