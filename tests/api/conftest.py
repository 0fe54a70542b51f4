"""One site for all tests of the API; each test creates its own functions."""

from collections.abc import Iterator

import httpx
import pytest

from tests.api.site import SiteServer


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteServer]:
    """The API over HTTP; builds and functions do not run."""
    with SiteServer(tmp_path_factory.mktemp("site") / "data") as server:
        yield server


@pytest.fixture
def admin(site: SiteServer) -> Iterator[httpx.Client]:
    """A client with the admin key and no version."""
    with site.admin() as client:
        yield client


@pytest.fixture
def guest(site: SiteServer) -> Iterator[httpx.Client]:
    """A client that names the project, without credentials."""
    with site.client() as client:
        yield client
