"""Paths and headers that the wrapper of static sites reads, by generated input."""

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given, strategies as st

from minifn.languages.table import default_root

SECRET = b"nothing of this is served"


def module(name: str) -> ModuleType:
    """Import a module of the wrapper, which finds its siblings in its own folder."""
    folder = str(default_root() / "static")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The files of a site with secrets beside it and links to them."""
    root = tmp_path_factory.mktemp("code")
    for name in ("site/a/b", "site/.hidden", "other"):
        (root / name).mkdir(parents=True)
    for name in ("secret", "other/secret", "site/.env", "site/a/.env", "site/.hidden/a"):
        (root / name).write_bytes(SECRET)
    for name in ("site/index.html", "site/a/index.html", "site/a/b/c", "site/x.html"):
        (root / name).write_bytes(b"public")
    for name, target in {
        "up": "..",
        "a/up": "../..",
        "env": ".env",
        "a/secret": "../../secret",
        "root": "/",
        "a/loop": "loop",
        "same": "a",
    }.items():
        (root / "site" / name).symlink_to(target)
    return module("static_files").Files(str(root), "site/index.html", "")


NAMES = (
    *("a", "b", "c", "x", "up", "env", "secret", "root", "same", "loop", "other", "site"),
    *("etc", "passwd", "..", ".", "", ".env", ".hidden", "%2e%2e", "%2E.", ".%2e", "%2eenv"),
    *("%2f", "..%2f", "%5c", "%00", "%", "%c0%ae", "%252e%252e", "é", "\ud800", " "),
)


@given(st.lists(st.sampled_from(NAMES), max_size=8).map(lambda names: "/" + "/".join(names)))
def test_no_path_leads_outside(files: Any, path: str) -> None:
    found = files.find(path)
    if isinstance(found, module("static_files").File):
        assert os.pread(found.fd, 100, 0) == b"public"
        os.close(found.fd)


@given(st.text(max_size=50).map(lambda text: "/" + text))
def test_any_text_is_a_path(files: Any, path: str) -> None:
    found = files.find(path)
    if isinstance(found, module("static_files").File):
        os.close(found.fd)


@given(st.binary(max_size=40), st.booleans())
def test_percent_decoding(data: bytes, lower: bool) -> None:
    text = "".join(f"%{byte:02x}" if lower else f"%{byte:02X}" for byte in data)
    assert module("static_files").decode(text) == data == unquote_to_bytes(text)


@given(
    st.integers(0, 30),
    st.one_of(
        st.builds("{}-{}".format, st.integers(0, 40), st.integers(0, 40)),
        st.builds("{}-".format, st.integers(0, 40)),
        st.builds("-{}".format, st.integers(0, 40)),
        st.text("0123456789-, ²x", max_size=8),
    ),
)
def test_a_part_lies_in_the_file(size: int, wanted: str) -> None:
    headers = module("static_headers")
    path = Path(os.devnull)
    file = module("static_files").File(-1, os.fsencode(path), path.stat())
    file.size_bytes = size
    try:
        part = headers.part_of({"range": f"bytes={wanted}"}, '"tag"', file)
    except headers.Unsatisfiable:
        return
    if part is not None:
        offset, length = part
        assert 0 <= offset < offset + length <= size


@given(st.text(max_size=60))
def test_any_text_is_an_accept_encoding(text: str) -> None:
    assert all(
        isinstance(weight, float) for weight in module("static_headers").weights(text).values()
    )


@given(st.text(max_size=60))
def test_any_text_may_stand_for_a_date(text: str) -> None:
    found = module("static_headers").parse_date(text)
    assert found is None or len(found) == 6
