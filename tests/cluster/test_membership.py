"""The members of a cluster, without Ray."""

import asyncio
from typing import Any

import pytest

from minifn.cluster import connection
from minifn.cluster.membership import Membership


def test_a_server_ends_when_its_machine_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray lets it answer, but it starts no actor any more, not even on machines that join."""
    nothing: Any = None
    monkeypatch.setattr(connection, "own_node", lambda: "mine")
    monkeypatch.setattr(connection, "nodes", list)
    membership = Membership(nothing, nothing, nothing, nothing)
    with pytest.raises(ConnectionError, match="Ray has ended on this machine"):
        asyncio.run(asyncio.wait_for(membership.watch(), 10))
