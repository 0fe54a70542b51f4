"""`minifn nodes` and `drain` on a server without a cluster; tests/cluster has those with nodes."""

from tests.cli.conftest import Here


def test_a_server_without_a_cluster_has_no_nodes(here: Here) -> None:
    without = "This server runs functions itself: it was started without --cluster.\n"
    assert here.run("nodes").stdout == without
    assert here.run("nodes", "--json").stdout == ""
    refused = here.run("drain", "0123456789ab", status=1)
    assert "This server has no cluster." in refused.output
