"""The messages between a server and its nodes."""

from pathlib import Path

import pytest

from minifn.cluster.builds import BuildDamaged, NodeBuilds, pack
from minifn.cluster.membership import reachable
from minifn.cluster.messages import (
    Answer,
    Call,
    Known,
    Request,
    ToNode,
    ToServer,
    decode_to_node,
    decode_to_server,
    encode,
    own_identity,
)
from minifn.host.datadir import DataDir
from minifn.models import Deployment, Function, Target
from minifn.workers.records import UNHEARD, FunctionRequest, failed


def test_batches_are_decoded_as_they_were() -> None:
    function = Function(id="f", name="f", runtime="python-3.12", scopes=("a",))
    deployment = Deployment(id="d", function_id="f", status="ready")
    target = Target(function=function, deployment=deployment, variables={"A": "1"})
    request = FunctionRequest(body=b"\x00\xff", headers=(("a", "b"),), path="/p", query="q=1")
    to_node: list[ToNode] = [
        Known(number=1, target=target),
        Call(id=2, number=1, seconds=1.5, request=Request.of(request)),
    ]
    assert decode_to_node(encode(to_node)) == to_node
    to_server: list[ToServer] = [Answer(id=2, slots=1, response=failed("timeout", "late"))]
    assert decode_to_server(encode(to_server)) == to_server


def test_a_request_arrives_as_it_left() -> None:
    request = FunctionRequest(body=b"x", headers=(("a", "b"),), timeout_seconds=3, logging=False)
    arrived = Request.of(request).unpacked(7, UNHEARD)
    assert arrived.execution is not None
    assert arrived.execution.id == "7"
    assert Request.of(arrived) == Request.of(request)


def test_an_identity_names_what_must_be_equal() -> None:
    assert own_identity() == own_identity()
    assert str(own_identity()).startswith("minifn ")


@pytest.mark.parametrize(
    ("url", "host", "told"),
    [
        ("http://127.0.0.1:8000/v1", "0.0.0.0", "http://10.0.0.1:8000/v1"),
        ("http://[::1]:8000/v1", "::", "http://10.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000/v1", "127.0.0.1", "http://127.0.0.1:8000/v1"),
        ("https://api.example.com/v1", "0.0.0.0", "https://api.example.com/v1"),
    ],
)
def test_functions_elsewhere_are_told_an_address_that_they_reach(
    url: str, host: str, told: str
) -> None:
    assert reachable(url, host, "10.0.0.1") == told


def sent(directory: Path, builds: NodeBuilds, *, change: bytes = b"") -> None:
    """Copy a build into `builds`; `change` replaces the end of each piece."""
    builds.begin("d")

    def send(piece: bytes) -> None:
        builds.receive("d", piece[: len(piece) - len(change)] + change)

    builds.finish("d", pack(directory, send), 0)


def test_a_build_arrives_whole(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "below").mkdir(parents=True)
    (source / "main.py").write_text("x = 1\n")
    (source / "below" / "run").write_bytes(b"\x00" * 9_000_000)
    (source / "below" / "run").chmod(0o755)
    (source / "link").symlink_to("below/run")
    data = DataDir(tmp_path / "node")
    data.prepare()
    builds = NodeBuilds(data, 100_000_000)
    sent(source, builds)
    arrived = data.build("d")
    assert (arrived / "main.py").read_text() == "x = 1\n"
    assert (arrived / "link").readlink() == Path("below/run")
    assert (arrived / "below" / "run").stat().st_size == 9_000_000
    assert (arrived / "below" / "run").stat().st_mode & 0o777 == 0o700
    assert "d" in builds
    assert not data.output("d").exists()
    builds.remove("d")
    assert "d" not in builds
    assert not arrived.exists()


def test_a_damaged_build_is_not_used(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "main.py").write_text("x = 1\n")
    data = DataDir(tmp_path / "node")
    data.prepare()
    builds = NodeBuilds(data, 100_000_000)
    with pytest.raises(BuildDamaged):
        sent(source, builds, change=b"!")
    assert "d" not in builds
    assert not data.build("d").exists()
    assert not data.output("d").exists()
