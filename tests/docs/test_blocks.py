"""The code blocks of the README and of every page work as they stand, in the order of the page."""

import importlib.util
import shutil
from pathlib import Path

import pytest

from tests.docs.blocks import NODE_SDK, PAGES, PYTHON_SDK, ROOT, Reader, blocks, setup

KINDS = {"run", "setup", "serve", "file=", "output", "skip:"}
TEXTS = {"README": ROOT / "README.md"} | {path.stem: path for path in sorted(PAGES.glob("*.md"))}
RUN = [
    name
    for name, path in TEXTS.items()
    if any(block.kind == "run" for block in blocks(path.read_text()))
]
#: Requirements of some pages: word in a page's blocks -> (whether it is there, how to get it).
NEEDS = {
    "from appwrite": (PYTHON_SDK.exists(), "python tests/sdk/install.py"),
    'from "node-appwrite"': (NODE_SDK.exists(), "python tests/sdk/install.py"),
    "git push": (shutil.which("git") is not None, "install the package git"),
    "main.js": (
        shutil.which("node") is not None and shutil.which("npm") is not None,
        "install nodejs and npm",
    ),
    **{
        name: (importlib.util.find_spec(name) is not None, f"pip install {name}")
        for name in ("fastapi", "django", "hypercorn", "granian")
    },
}


@pytest.mark.parametrize("name", TEXTS)
def test_every_block_is_run_or_says_why_not(name: str) -> None:
    wrong = [
        f"{block.language} {block.kind}: {block.text[:60]}"
        for block in blocks(TEXTS[name].read_text())
        if not (block.kind in KINDS and (block.rest or block.kind not in ("file=", "skip:")))
    ]
    assert wrong == []


# Each page has a server of its own, so the pages need not share a test process.
@pytest.mark.parametrize("name", RUN)
def test_the_blocks_of_a_page_work(name: str, data: Path) -> None:
    page = blocks(TEXTS[name].read_text())
    code = "\n".join(block.rest + "\n" + block.text for block in page if block.kind != "skip:")
    for program in ("bash", "curl", "tar"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not on PATH: install the package {program}")
    for word, (there, remedy) in NEEDS.items():
        if word in code and not there:
            pytest.skip(f"the page needs {word.split()[-1]}: {remedy}")
    # Functions that run as users of their own must be able to pass.
    data.parent.joinpath("page").mkdir()
    with Reader(data.parent / "page") as reader:
        if not any(block.kind == "serve" for block in page):
            reader.serve("minifn serve")
        if not any(block.kind == "setup" for block in page):
            for block in setup():
                reader.do(block)
        for block in page:
            reader.do(block)
