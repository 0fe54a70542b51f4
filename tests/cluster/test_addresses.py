"""The addresses of all machines, which functions with network `isolated` do not reach."""

import pytest

from minifn.sandbox.launcher.addresses import own_addresses
from tests.cluster.conftest import Cluster
from tests.cluster.test_troubles import node_directory
from tests.serving import wait_until


def closed(cluster: Cluster) -> list[set[str]]:
    """The addresses that each node closes."""
    found = []
    for actor in cluster.actors():
        place = node_directory(actor).run / "closed"
        found.append(set(place.read_text().split()) if place.exists() else set())
    return found


@pytest.mark.slow
def test_every_machine_closes_the_addresses_of_all(cluster: Cluster) -> None:
    own = set(own_addresses())
    assert own
    wait_until(lambda: all(own <= one for one in closed(cluster)), 10, "the addresses are closed")
    joins = "127.0.0.2"
    with cluster.one_more(node_ip_address=joins) as added:
        cluster.node(added, "ready")
        wait_until(
            lambda: all(joins in one for one in closed(cluster)), 10, "the new one is closed"
        )
    wait_until(lambda: not any(joins in one for one in closed(cluster)), 20, "it is not any more")
