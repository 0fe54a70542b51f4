"""Poetry projects build without commands; the packages come from PyPI."""

from pathlib import Path

import httpx
import pytest

from tests.serving import Api, Server, pack

#: An index by its pages alone, as that of a company. Poetry would ask PyPI's own interface.
INDEX = "https://pypi.org/simple/"
MAIN = b"""
import importlib.util
import six

def main(context):
    own = importlib.util.find_spec("my_fn") is not None
    dev = importlib.util.find_spec("iniconfig") is not None
    return context.res.json([six.__version__ > "1.15", own, dev])
"""
WITHOUT_PACKAGE = b"""
[project]
name = "fn"
version = "0.1.0"
requires-python = ">=3.8"
dependencies = ["six>=1.16"]

[tool.poetry]
package-mode = false

[tool.poetry.group.dev.dependencies]
iniconfig = "*"
"""
#: The layout before Poetry 2.
WITH_PACKAGE = b"""
[tool.poetry]
name = "my-fn"
version = "0.1.0"
description = ""
authors = ["A <a@example.com>"]
packages = [{include = "my_fn", from = "src"}]

[tool.poetry.dependencies]
python = ">=3.8"
six = "^1.16"

[build-system]
requires = ["poetry-core"]
build-backend = "poetry.core.masonry.api"
"""


@pytest.fixture
def reached() -> None:
    """Skips where PyPI cannot be reached, or its certificate is not trusted."""
    try:
        httpx.get(f"{INDEX}six/", timeout=10).raise_for_status()
    except httpx.HTTPError as exc:
        pytest.skip(f"pypi.org cannot be reached: {exc}")


def built(api: Api, files: dict[str, bytes]) -> str:
    """Deploy the function and return its answer."""
    api.deploy("poet", pack(extra={"main.py": MAIN, **files}), seconds=400)
    return str(api.execute("poet")["responseBody"])


@pytest.mark.usefixtures("reached")
@pytest.mark.slow
def test_a_project_with_and_without_a_package(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", INDEX)
    with Server(data) as server, server.api as api:
        api.create("poet", api.runtime("python"), entrypoint="main.py")
        assert built(api, {"pyproject.toml": WITHOUT_PACKAGE}) == "[true,false,false]"
        package = {"pyproject.toml": WITH_PACKAGE, "src/my_fn/__init__.py": b""}
        assert built(api, package) == "[true,true,false]"
