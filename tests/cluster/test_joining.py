"""A server that cannot join a cluster, and one that was not told to."""

import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from minifn.cluster import connection
from minifn.cluster.connection import ClusterUnavailable, is_public

#: Hides Ray, whether or not it is installed.
WITHOUT_RAY = "import sys; sys.modules['ray'] = None; from minifn.cli import main; main()"


def test_without_ray_a_line_says_how_to_get_it(tmp_path: Path) -> None:
    command = ["serve", "--port", "0", "--data", str(tmp_path / "data"), "--cluster", "auto"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_RAY, *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Ray is not installed: pip install 'minifn[ray]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_without_cluster_imports_nothing_of_it() -> None:
    program = (
        "import sys; import minifn.cli.serve, minifn.api; "
        "print([name for name in sys.modules if name == 'ray' or 'minifn.cluster' in name])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("10.0.0.1:6379", False),
        ("192.168.1.5:6379", False),
        ("127.0.0.1:6379", False),
        ("8.8.8.8:6379", True),
        ("[2001:4860:4860::8888]:6379", True),
        ("[fd00::1]:6379", False),
        ("head.internal:6379", False),
    ],
)
def test_public_addresses_are_known(address: str, public: bool) -> None:
    assert is_public(address) is public


class PublicRay:
    """Ray that has joined a cluster with a public head, which no test machine has."""

    def __init__(self) -> None:
        self.joined = False

    def init(self, **_: object) -> None:
        self.joined = True

    def shutdown(self) -> None:
        self.joined = False

    def get_runtime_context(self) -> SimpleNamespace:
        return SimpleNamespace(gcs_address="8.8.8.8:6379")


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> PublicRay:
    ray = PublicRay()
    monkeypatch.setattr(connection, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray._private.worker", ModuleType("worker"))
    return ray


def test_a_public_head_is_refused_unless_told(public: PublicRay) -> None:
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        with pytest.raises(ClusterUnavailable, match=r"public address 8\.8\.8\.8:6379"):
            connection.join(address, allow_public=False)
        assert not public.joined
        connection.join(address, allow_public=True)
        assert public.joined


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        *((one, "it must be HOST:PORT, or auto") for one in ("nonsense", "local", "http://x:1")),
        *((one, "it must be HOST:PORT, or auto") for one in ("auto ", ":6379", "host:port")),
        ("127.0.0.1:1", "the head at 127.0.0.1:1 does not answer"),
        ("[::1]:1", "does not answer"),
    ],
)
def test_a_head_that_cannot_be_reached_is_named(
    public: PublicRay, address: str, reason: str
) -> None:
    """Before Ray tries it, which holds up the process for a minute."""
    with pytest.raises(ClusterUnavailable) as caught:
        connection.join(address, allow_public=False)
    assert reason in str(caught.value)
    assert "`ray start --head` starts one" in str(caught.value)
    assert not public.joined
