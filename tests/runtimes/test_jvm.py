"""Behaviour of Java and Kotlin alone: JSON, jars, Gradle files, and options that the JDK reads."""

import base64
import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minifn.languages import RuntimeTable
from minifn.languages.table import default_root
from minifn.models import Deployment
from minifn.services.functions import FunctionSettings
from tests.runtimes.conftest import newest
from tests.runtimes.contract.site import Site, deployed
from tests.runtimes.families.java import FAMILY
from tests.serving import pack

GSON = Path("/usr/share/java/gson.jar")
COMMON = default_root() / "jvm"

#: Tests on the server of the family's contract.
on_site = [
    pytest.mark.xdist_group("contract java"),
    pytest.mark.parametrize("site", [FAMILY], indirect=True, ids=["java"]),
]

FUNCTION = """package io.openruntimes.java;

public class Main {
  public RuntimeOutput main(RuntimeContext context) {
    return context.getRes().text(%s);
  }
}
"""


def tool(table: RuntimeTable, name: str) -> str:
    """Return a program of the newest JDK; skips without one."""
    return str(table.resolve(newest(table, "java")).interpreter.path.with_name(name))


@pytest.fixture(scope="module")
def checker(
    runtime_table: RuntimeTable, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, ...]:
    """The command of JsonCheck; skips without Gson, with which it compares."""
    if not GSON.exists():
        pytest.skip(f"{GSON} is missing: apt-get install libgoogle-gson-java")
    classes = tmp_path_factory.mktemp("classes")
    sources = [*COMMON.rglob("*.java"), Path(__file__).parent / "jvm" / "JsonCheck.java"]
    javac = tool(runtime_table, "javac")
    command = [javac, "-Xlint:all", "-Werror", "-cp", str(GSON), "-d", str(classes)]
    # The oldest version that the manifest names, lest the wrapper need a newer one.
    subprocess.run([*command, "--release", "11", *map(str, sources)], check=True)
    java = tool(runtime_table, "java")
    return java, "-Xshare:auto", "-cp", f"{classes}:{GSON}", "minifn.JsonCheck"


def read(command: tuple[str, ...], texts: list[str]) -> list[tuple[Any, Any]]:
    """Return what our JSON and Gson's read of each text, as Python's values; None = refused."""
    lines = "".join(f"{base64.b64encode(text.encode()).decode()}\n" for text in texts)
    done = subprocess.run(command, input=lines, stdout=subprocess.PIPE, text=True, check=True)
    values = [
        None if line == "-" else json.loads(base64.b64decode(line))
        for line in done.stdout.splitlines()
    ]
    return list(zip(values[::2], values[1::2], strict=True))


SCALARS = (
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(10**20), 10**20)
    | st.text()
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10
)
OBJECTS = st.dictionaries(st.text(), VALUES)
#: Texts that are nearly JSON.
SCRAPS = st.text(alphabet='{}[]",:\\u0123456789.eE+-truefalsn \n', max_size=12)


@settings(max_examples=4, deadline=None)
@given(st.lists(OBJECTS, min_size=50, max_size=100))
def test_own_json_is_as_gsons(checker: tuple[str, ...], objects: list[Any]) -> None:
    texts = [json.dumps(one, ensure_ascii=number % 2 > 0) for number, one in enumerate(objects)]
    for text, (own, gson) in zip(texts, read(checker, texts), strict=True):
        assert own == gson == json.loads(text, parse_int=float)


@settings(max_examples=4, deadline=None)
@given(st.lists(SCRAPS, min_size=100, max_size=300))
def test_own_json_refuses_what_is_none(checker: tuple[str, ...], texts: list[str]) -> None:
    for text, (own, _) in zip(texts, read(checker, texts), strict=True):
        try:
            expected = json.loads(text, parse_int=float)
        except json.JSONDecodeError:
            expected = None
        if expected not in (float("inf"), float("-inf")):
            assert own == expected, text


async def built(site: Site, function_id: str, files: dict[str, bytes]) -> Deployment:
    """Build a function of some files."""
    wanted = FunctionSettings(
        name=function_id, runtime=newest(site.server.runtimes, "java"), entrypoint="Main.java"
    )
    await site.server.functions.create(function_id, wanted)
    return await deployed(site.server, function_id, pack(extra=files))
