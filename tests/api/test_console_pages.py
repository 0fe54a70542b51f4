"""The files of the console on a running server. Pages in a browser are in tests/console."""

import re
from collections.abc import Iterator

import httpx
import pytest

from minifn.api import console_pages
from tests.api.site import SiteServer

FILES = [
    path.relative_to(console_pages.PLACE).as_posix()
    for path in console_pages.PLACE.rglob("*")
    if path.suffix in console_pages.FILES
]
TEXTS = {name: (console_pages.PLACE / name).read_text() for name in FILES}


@pytest.fixture
def browser(site: SiteServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{site.port}", trust_env=False) as client:
        yield client


def test_every_file_is_served_under_a_strict_policy(browser: httpx.Client) -> None:
    for name, text in TEXTS.items():
        answer = browser.get(f"/console/{name}")
        assert (answer.status_code, answer.text) == (200, text), name
        assert answer.headers["content-encoding"] == "gzip"
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("path", "base"),
    [
        ("", "./"),
        ("executions", "./"),
        ("functions/hello", "../"),
        ("functions/a.js/deployments/1", "../../../"),
        ("project-default-minifn/functions/function-hello/deployment-1", "../../../"),
    ],
)
def test_every_other_path_is_the_document(browser: httpx.Client, path: str, base: str) -> None:
    page = browser.get(f"/console/{path}")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert f'<base href="{base}" />' in page.text
    assert not re.search(r"<script(?! type=\"module\" src=)|style=|\son\w+=", page.text)
    for target in re.findall(r'(?:href|src)="([^"]+)"', page.text)[1:]:
        if not target.startswith("../docs"):
            assert target in FILES


def test_a_browser_that_has_a_file_gets_no_second_copy(browser: httpx.Client) -> None:
    first = browser.get("/console/app.js")
    again = browser.get("/console/app.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    plain = browser.get("/console/app.js", headers={"accept-encoding": "identity"})
    assert plain.text == first.text
    assert "content-encoding" not in plain.headers


@pytest.mark.parametrize(
    "name",
    [
        "nothing.js",
        "pages/nothing.js",
        "pages/../../api/docs.js",
        "pages%2f..%2f..%2fdocs%2fstyle.css",
    ],
)
def test_other_files_are_not_shown(browser: httpx.Client, name: str) -> None:
    assert browser.get(f"/console/{name}").status_code == 404


def test_the_address_without_a_slash_redirects_below_any_prefix(browser: httpx.Client) -> None:
    answer = browser.get("/console")
    assert (answer.status_code, answer.headers["location"]) == (308, "console/")


def test_no_script_makes_markup_of_text() -> None:
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|setHTML|parseFromString"
        r"|createContextualFragment|\beval\(|new Function\b|javascript:|srcdoc"
    )
    scripts = {name: text for name, text in TEXTS.items() if name.endswith(".js")}
    assert len(scripts) > 30
    assert [name for name, text in scripts.items() if forbidden.search(text)] == []
    assert [name for name, text in scripts.items() if not text.startswith("// @ts-check\n")] == []


def test_nothing_comes_from_another_host() -> None:
    for name, text in TEXTS.items():
        found = set(re.findall(r"https?://[^\s\"'`)]+", text))
        assert found <= {"http://www.w3.org/2000/svg"}, name


def test_the_console_is_small(browser: httpx.Client) -> None:
    """150 kB is the limit of what a browser loads for all pages together; files stay short."""
    sizes = [int(browser.head(f"/console/{name}").headers["content-length"]) for name in FILES]
    assert sum(sizes) < 75_000
    assert {name: text.count("\n") for name, text in TEXTS.items() if text.count("\n") > 300} == {}
