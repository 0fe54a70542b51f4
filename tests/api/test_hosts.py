"""Where a request went: the path below a mount, and the address that the server took it at."""

from typing import Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import given, strategies as st

from minifn.api.hosts import mount_of, origin_of, path_below, prefix_of

SEGMENTS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="/"), max_size=5))
MOUNTS = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1, max_size=5),
    max_size=3,
)


def scope_of(raw: str, root: str = "", **more: Any) -> dict[str, Any]:
    """The scope of a path as uvicorn makes it."""
    return {
        "type": "http",
        "scheme": "http",
        "path": unquote(raw),
        "raw_path": raw.encode(),
        "root_path": root,
        "headers": [],
        **more,
    }


@given(MOUNTS, SEGMENTS)
def test_the_path_below_a_mount_is_what_was_sent(mount: list[str], below: list[str]) -> None:
    """However the mount's own part of it was encoded, or whether the server has left it out."""
    root = "".join(f"/{name}" for name in mount)
    rest = "/" + "/".join(quote(name, safe="") for name in below)
    assert path_below(scope_of(quote(root) + rest, root)) == rest
    everything = "".join(f"%{byte:02x}" for byte in root.encode()).replace("%2f", "/")
    assert path_below(scope_of(everything + rest, root)) == rest
    assert path_below(scope_of(rest)) == rest


@pytest.mark.parametrize(
    ("raw", "root", "below"),
    [
        ("/fn", "/fn", "/"),
        ("/fn/", "/fn", "/"),
        ("/fnord/x", "/fn", "/fnord/x"),
        ("/page", "/fn", "/page"),
        ("/a%2Fb/x", "/a", "/a%2Fb/x"),
        ("/fn//x", "/fn/", "//x"),
        ("/%", "/fn", "/%"),
    ],
)
def test_paths_at_the_edge_of_a_mount(raw: str, root: str, below: str) -> None:
    assert path_below(scope_of(raw, root)) == below


def test_a_server_that_gives_no_raw_path() -> None:
    scope = scope_of("/fn/a%20b", "/fn")
    del scope["raw_path"]
    assert path_below(scope) == "/a%20b"


def test_a_mount_is_no_text_of_a_header() -> None:
    """A parameter in the path of a mount is its caller's to choose."""
    assert mount_of(scope_of("/x", "/a; domain=b\r\nc")) == "/a%3B%20domain%3Db%0D%0Ac"


@pytest.mark.parametrize(
    ("root", "app_root", "prefix"),
    [("/fn", "", "/fn"), ("/proxied/fn", "/proxied", "/fn"), ("", "", ""), ("/p", "/p", "")],
)
def test_the_root_path_of_a_proxy_is_left_out(root: str, app_root: str, prefix: str) -> None:
    assert prefix_of(scope_of(f"{root}/v1", root, app_root_path=app_root)) == prefix


FORWARDED = [(b"x-forwarded-proto", b"https")]


@pytest.mark.parametrize(
    ("more", "origin"),
    [
        ({"server": ("127.0.0.1", 81)}, "http://127.0.0.1:81"),
        ({"server": ("::1", 81)}, "http://[::1]:81"),
        ({"server": ("10.0.0.1", 443), "scheme": "https"}, "https://10.0.0.1:443"),
        (
            {"server": ("127.0.0.1", 81), "scheme": "https", "headers": FORWARDED},
            "http://127.0.0.1:81",
        ),
        ({"server": ("127.0.0.1", 81), "headers": [(b"host", b"evil")]}, "http://127.0.0.1:81"),
        ({"server": ("/run/app.sock", None)}, ""),
        ({"server": None}, ""),
        ({}, ""),
    ],
)
def test_the_address_is_the_servers_own(more: dict[str, Any], origin: str) -> None:
    assert origin_of(scope_of("/", **more)) == origin
