"""A stopped function's `errors` name the limit that stopped it; an idle server is small.

Memory, time and logs: test_user_code.py. Sizes of bodies and headers: tests/api. The processor
time of an idle server: tests/benchmarks.
"""

import sys
from pathlib import Path

import psutil
import pytest

from tests.serving import FUNCTIONS, Api, Server, pack

ENTRYPOINTS = {"python": "main.py", "node": "main.js"}
#: Most MiB of an idle server and its launcher, by the first version of Python that takes them: the
#: objects of newer ones, and the program itself, are larger.
IDLE_MEBIBYTES = {(3, 11): 60, (3, 13): 62, (3, 14): 70}


@pytest.mark.usefixtures("bwrap")
@pytest.mark.parametrize("family", ENTRYPOINTS)
@pytest.mark.parametrize(
    ("greed", "words"),
    [
        ("files", ("too many open files", "emfile")),
        (
            "processes",
            (
                "resource temporarily unavailable",
                "eagain",
                "can't start new thread",
                "process limit",
            ),
        ),
        ("disk", ("no space left on device", "enospc", "temporary files exceed 64 mb")),
    ],
)
def test_a_limit_is_named(
    request: pytest.FixtureRequest, family: str, greed: str, words: tuple[str, ...], api: Api
) -> None:
    if family == "node":
        request.getfixturevalue("node")
    function_id = f"limits-{greed}-{family}"
    api.create(function_id, api.runtime(family), entrypoint=ENTRYPOINTS[family], timeout=15)
    api.call(
        "POST",
        f"/functions/{function_id}/variables",
        201,
        json={"key": "MINIFN_TMP", "value": "64"},
    )
    api.deploy(function_id, pack(FUNCTIONS / "limits"))
    stopped = api.execute(function_id, path=f"/{greed}")
    assert (stopped["status"], stopped["responseStatusCode"]) == ("failed", 500)
    assert any(word in stopped["errors"].lower() for word in words), stopped["errors"]
    api.call("DELETE", f"/functions/{function_id}", 204)


def test_an_idle_server_is_small(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        root = psutil.Process(server.process.pid)
        memory_bytes = sum(one.memory_info().rss for one in (root, *root.children(recursive=True)))
    most = max(size for version, size in IDLE_MEBIBYTES.items() if version <= sys.version_info)
    assert memory_bytes < most * 2**20
