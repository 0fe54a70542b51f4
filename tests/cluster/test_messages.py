"""The messages between a server and its nodes."""

import pytest

from minifn.builder.order import Built
from minifn.cluster.membership import reachable
from minifn.cluster.messages import (
    Answer,
    BuildLogged,
    BuildMade,
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
from minifn.host.space import TreeSize
from minifn.models import Deployment, Function, Target
from minifn.workers.records import UNHEARD, FunctionRequest, failed


def test_batches_are_decoded_as_they_were() -> None:
    function = Function(id="f", name="f", runtime="python-3.12", scopes=("a",))
    deployment = Deployment(id="d", function_id="f", status="ready")
    target = Target(function=function, deployment=deployment, variables={"A": "1"})
    request = FunctionRequest(body=b"\x00\xff", headers={"a": "b"}, path="/p", query="q=1")
    to_node: list[ToNode] = [
        Known(number=1, target=target),
        Call(id=2, number=1, seconds=1.5, request=Request.of(request)),
    ]
    assert decode_to_node(encode(to_node)) == to_node
    built = Built(size=TreeSize(size_bytes=3, files=1), identity="x86_64", sha256="a")
    to_server: list[ToServer] = [
        Answer(id=2, slots=1, response=failed("timeout", "late")),
        BuildLogged(key="d", text="a line\n"),
        BuildMade(key="d", built=built, packed_bytes=2),
        BuildMade(key="d", problem="It failed."),
    ]
    assert decode_to_server(encode(to_server)) == to_server


def test_a_decoded_request_equals_the_encoded_one() -> None:
    request = FunctionRequest(body=b"x", headers={"a": "b"}, timeout_seconds=3, logging=False)
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
