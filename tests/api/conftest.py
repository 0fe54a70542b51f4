"""One site for all tests of the API, or two; each test creates its own functions.

The tests of a module with the mark `both_ways` run twice: with and without ASGI.
"""

from collections.abc import Iterator

import httpx
import pytest

from tests.api.site import SiteServer


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of some modules on both sites."""
    if "site" in metafunc.fixturenames and metafunc.definition.get_closest_marker("both_ways"):
        metafunc.parametrize("site", ["direct", "asgi"], indirect=True, scope="session")


@pytest.fixture(scope="session")
def direct_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteServer]:
    """A site whose server answers some requests without ASGI, as `minifn serve` does."""
    with SiteServer(tmp_path_factory.mktemp("site") / "data") as server:
        yield server


@pytest.fixture(scope="session")
def asgi_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteServer]:
    """A site whose server only knows ASGI."""
    with SiteServer(tmp_path_factory.mktemp("asgi") / "data", direct=False) as server:
        yield server


@pytest.fixture(scope="session")
def site(request: pytest.FixtureRequest) -> SiteServer:
    """The API over HTTP; builds and functions do not run."""
    found: SiteServer = request.getfixturevalue(f"{getattr(request, 'param', 'direct')}_site")
    return found


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
