"""Behaviour of Java and Kotlin alone: JSON, jars, Gradle files, and options that the JDK reads."""

import base64
import json
import math
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from minifn.languages import RuntimeTable
from minifn.languages.table import default_root
from minifn.models import Deployment
from minifn.services.functions import FunctionSettings
from minifn.workers.specs import WorkerSpecs
from tests.processes import killed_at_end
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
  public RuntimeOutput main(RuntimeContext context) throws Exception {
    return context.getRes().text(%s);
  }
}
"""


def tool(table: RuntimeTable, name: str) -> str:
    """Return a program of the newest JDK; skips without one."""
    return str(table.resolve(newest(table, "java")).interpreter.path.with_name(name))


class Reader:
    """The program JsonCheck, which reads texts by our JSON and by Gson's."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def read(self, text: str) -> tuple[Any, Any]:
        """Return what both read, as Python's values; None = refused."""
        assert self._process.stdin is not None
        print(base64.b64encode(text.encode()).decode(), file=self._process.stdin, flush=True)
        return self._value(), self._value()

    def _value(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return None if line == "-\n" else json.loads(base64.b64decode(line))


@pytest.fixture(scope="module")
def reader(
    runtime_table: RuntimeTable, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Reader]:
    """A running JsonCheck; skips without Gson, with which it compares."""
    if not GSON.exists():
        pytest.skip(f"{GSON} is missing: apt-get install libgoogle-gson-java")
    classes = tmp_path_factory.mktemp("classes")
    sources = [*COMMON.rglob("*.java"), Path(__file__).parent / "jvm" / "JsonCheck.java"]
    javac = tool(runtime_table, "javac")
    # The oldest version that the manifest names, lest the wrapper need a newer one.
    command = [javac, "--release", "11", "-cp", str(GSON), "-d", str(classes)]
    subprocess.run([*command, *map(str, sources)], check=True)
    argv = [tool(runtime_table, "java"), "-cp", f"{classes}:{GSON}", "minifn.JsonCheck"]
    java = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with killed_at_end(java) as process:
        yield Reader(process)


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


@given(OBJECTS, st.booleans())
@pytest.mark.slow
def test_own_json_is_as_gsons(reader: Reader, value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    own, gson = reader.read(text)
    assert own == gson == json.loads(text, parse_int=float)


@settings(max_examples=500)
@given(SCRAPS)
@pytest.mark.slow
def test_own_json_refuses_other_text(reader: Reader, text: str) -> None:
    try:
        expected = json.loads(text, parse_int=float, parse_float=finite)
    except ValueError:
        expected = None
    own, _ = reader.read(text)
    assert own == expected


def finite(digits: str) -> float:
    """Return a number. Raises ValueError for one that JSON cannot show again."""
    number = float(digits)
    if math.isinf(number):
        raise ValueError(digits)
    return number


async def built(site: Site, function_id: str, files: dict[str, bytes]) -> Deployment:
    """Build a function of some files."""
    wanted = FunctionSettings(
        name=function_id, runtime=newest(site.server.runtimes, "java"), entrypoint="Main.java"
    )
    await site.server.functions.create(function_id, wanted)
    return await deployed(site.server, function_id, pack(extra=files))


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
        # As libraries look for classes by their names.
        by_name = (
            'Thread.currentThread().getContextClassLoader().loadClass("greetings.Greeting")'
            '.getField("TEXT").get(null)'
        )
        files = {
            "Main.java": (FUNCTION % f"greetings.Greeting.TEXT + {by_name}").encode(),
            "lib/greetings.jar": packed.read_bytes(),
            "deps.gradle": b"dependencies {\n  implementation 'any:greetings:1'\n}\n",
        }
        built_one = site.run(built(site, "jars", files))
        assert built_one.status == "ready", built_one.build_logs
        assert "Note: any:greetings cannot be fetched" in built_one.build_logs
        assert site.run(answer(site, "jars")) == 2 * b"from a jar"


async def answer(site: Site, function_id: str) -> bytes:
    """Return the body of a function's answer."""
    server = site.server
    specs = WorkerSpecs(
        *(server.config, server.data, server.engine, server.runtimes, server.endpoint),
        server.toolchains.share,
    )
    call = Caller(server.pool, specs.of(await server.targets.of(function_id)))
    return (await call()).body
