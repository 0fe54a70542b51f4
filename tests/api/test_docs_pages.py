"""The documentation on a running server."""

import re
from collections.abc import Iterator

import httpx
import pytest

from minifn.api import docs
from tests.api.site import SiteServer

STRICT = "default-src 'none'"


@pytest.fixture
def browser(site: SiteServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{site.port}", trust_env=False) as client:
        yield client


def test_the_first_page_leads_to_the_documentation(browser: httpx.Client) -> None:
    page = browser.get("/")
    assert page.status_code == 200
    for link in re.findall(r'href="([^"]+)"', page.text):
        assert browser.get(f"/{link}").status_code == 200, link


def test_every_page_and_its_files(browser: httpx.Client) -> None:
    names = ["", *docs.manual().pages]
    for name in names:
        page = browser.get(f"/docs/{name}")
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["content-security-policy"].startswith(STRICT)
        assert page.headers["x-content-type-options"] == "nosniff"
        assert not re.search(r"<script|style=|\son\w+=", page.text)
        for kind, target in re.findall(r'(href|src)="([^"]+)"', page.text):
            if kind == "src":
                assert ":" not in target
            if "://" not in target:
                assert page.url.join(target).copy_with(fragment=None).path.startswith("/docs/")
    assert len(names) > 20


def test_links_of_pages_lead_to_pages(browser: httpx.Client) -> None:
    links = {
        page.url.join(target).copy_with(fragment=None)
        for name in docs.manual().pages
        for page in [browser.get(f"/docs/{name}")]
        for target in re.findall(r'(?:href|src)="([^"]+)"', page.text)
        if "://" not in target
    }
    assert [str(link) for link in links if browser.get(link).status_code != 200] == []


def test_the_address_without_a_slash_redirects_below_any_prefix(browser: httpx.Client) -> None:
    answer = browser.get("/docs")
    assert (answer.status_code, answer.headers["location"]) == (308, "docs/")


def test_sources_and_style(browser: httpx.Client) -> None:
    assert browser.get("/docs/quickstart.md").text.startswith("# Quickstart\n")
    assert browser.get("/docs/style.css").headers["content-type"].startswith("text/css")


@pytest.mark.parametrize(
    "name",
    [
        "nothing",
        "nothing.md",
        "frame.html",
        "../api/docs.py",
        "..%2fconfig.py",
        "x/quickstart.md",
        "%00.md",
    ],
)
def test_other_files_are_not_shown(browser: httpx.Client, name: str) -> None:
    page = browser.get(f"/docs/{name}")
    assert page.status_code == 404
    assert "import " not in page.text


def test_search_finds_headings_first(browser: httpx.Client) -> None:
    page = browser.get("/docs/search", params={"q": "git PUSH"})
    found = re.findall(r'<a href="([^"]+)">', page.text.split("<h1>")[1])
    assert found[0] == "deploying#git-push"
    page = browser.get("/docs/search", params={"q": "MINIFN_QUEUE_BYTES"})
    assert 'href="settings#settings"' in page.text


@pytest.mark.parametrize(
    "words", ["", "zzzqqq", "<script>alert(1)</script>", '" onfocus="x', "a" * 10_000]
)
def test_searches_that_find_nothing(browser: httpx.Client, words: str) -> None:
    page = browser.get("/docs/search", params={"q": words})
    assert page.status_code == 200
    assert "Nothing was found." in page.text
    assert "<script" not in page.text
    assert ' onfocus="' not in page.text


def test_pages_take_no_changes(browser: httpx.Client) -> None:
    assert browser.post("/docs/").status_code == 404
    assert browser.head("/docs/").status_code == 200
