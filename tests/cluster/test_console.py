"""The console's page of nodes, on a real cluster and in a real browser."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.cluster.conftest import Cluster
from tests.console.conftest import axe_source, chromium
from tests.console.scene import sign_in
from tests.console.test_pages import AXE_VIEWS, CHECKS, VIEWS, Console, violations
from tests.serving import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def context(cluster: Cluster) -> "Iterator[BrowserContext]":
    """A browser that is signed in to the cluster's server."""
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        sign_in(context, cluster.server)
        yield context
        context.close()


@pytest.fixture
def tab(cluster: Cluster, context: "BrowserContext") -> Iterator[Console]:
    """A new tab."""
    opened = Console(context, cluster.server)
    yield opened
    opened.page.close()
    assert opened.problems == []


def test_the_page_of_nodes_is_readable(tab: Console) -> None:
    axe = axe_source()
    tab.open("nodes", "3 nodes")
    tab.page.locator("details").first.locator("summary").click()
    problems = {}
    for width, theme in VIEWS:
        tab.page.set_viewport_size({"width": width, "height": 800})
        tab.page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        problems[width, theme] = tab.page.evaluate(CHECKS)
        if axe and (width, theme) in AXE_VIEWS:
            problems[width, theme] += violations(tab.page, axe)
    assert {view: found for view, found in problems.items() if found} == {}


def test_a_node_is_drained_and_used_again(tab: Console, cluster: Cluster) -> None:
    """The list of checks that is open stays open while the page follows the nodes."""
    first = next(one for one in cluster.nodes().values() if one["resources"].get("first"))
    tab.open("", "New function")
    tab.page.get_by_role("link", name="Nodes", exact=True).click()
    tab.see("3 nodes")
    node = tab.page.locator("section.node", has_text="first 1")
    node.locator("summary").click()
    node.get_by_role("button", name="Drain", exact=False).click()
    node.get_by_text("draining").wait_for()
    assert cluster.nodes()[first["id"]]["drained"]
    node.get_by_role("button", name="Undo drain", exact=False).click()
    node.get_by_text("ready").wait_for()
    assert node.locator("details[open]").count() == 1
    wait_until(lambda: not cluster.nodes()[first["id"]]["drained"], 5, "the node is used again")
