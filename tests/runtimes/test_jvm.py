"""Behaviour of Java and Kotlin alone: JSON, jars, Gradle files, and options that the JDK reads."""

import base64
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
from minifn.workers.specs import WorkerSpecs
from tests.runtimes.conftest import newest
from tests.runtimes.contract.site import Site, deployed
from tests.runtimes.families.java import FAMILY
from tests.serving import pack
from tests.workers.harness import Caller

GSON = Path("/usr/share/java/gson.jar")
COMMON = default_root() / "jvm"

#: A function in Java; %s is an expression, the answer.
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


@pytest.mark.xdist_group("contract java")
@pytest.mark.parametrize("site", [FAMILY], indirect=True, ids=["java"])
class TestJars:
    """Builds and calls on the server of the contract."""

    def test_a_dependency_that_gradle_would_fetch_fails_the_build(self, site: Site) -> None:
        gradle = b"""dependencies {
    implementation 'com.google.code.gson:gson:2.10'
    implementation("io.appwrite:sdk-for-java:5.0.0")
}
"""
        files = {"Main.java": (FUNCTION % '"x"').encode(), "deps.gradle": gradle}
        built_one = site.run(built(site, "gradle", files))
        assert built_one.status == "failed"
        assert "io.appwrite:sdk-for-java cannot be fetched" in built_one.build_logs
        assert "gson" not in built_one.build_logs

    def test_jars_of_the_code_are_on_the_class_path(
        self, site: Site, runtime_table: RuntimeTable, tmp_path: Path
    ) -> None:
        source = tmp_path / "Greeting.java"
        source.write_text(
            'package greetings; public class Greeting { public static String TEXT = "from a jar"; }'
        )
        javac, jar = tool(runtime_table, "javac"), tool(runtime_table, "jar")
        subprocess.run([javac, "-d", str(tmp_path / "classes"), str(source)], check=True)
        packed = tmp_path / "greetings.jar"
        command = [jar, "--create", "--file", str(packed), "-C", str(tmp_path / "classes"), "."]
        subprocess.run(command, check=True)
        files = {
            "Main.java": (FUNCTION % "greetings.Greeting.TEXT").encode(),
            "lib/greetings.jar": packed.read_bytes(),
            "deps.gradle": b"dependencies {\n  implementation 'any:greetings:1'\n}\n",
        }
        built_one = site.run(built(site, "jars", files))
        assert built_one.status == "ready", built_one.build_logs
        assert "Note: any:greetings cannot be fetched" in built_one.build_logs
        assert site.run(answer(site, "jars")) == b"from a jar"


async def answer(site: Site, function_id: str) -> bytes:
    """Return the body of a function's answer."""
    server = site.server
    specs = WorkerSpecs(
        *(server.config, server.data, server.engine, server.runtimes, server.endpoint),
        server.toolchains.share,
    )
    call = Caller(server.pool, specs.of(await server.targets.of(function_id)))
    return (await call()).body
