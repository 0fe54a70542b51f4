"""The types of handlers have the members that the wrappers give, no more and no fewer."""

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from minifn import handler
from tests.serving import Api, pack

if TYPE_CHECKING:
    from minifn.handler import Context, Result

TYPES = Path(handler.__file__)
DECLARATIONS = TYPES.with_name("handler.d.ts").read_text()
PYTHON = b"""
import inspect


def members(value):
    return sorted(name for name in dir(value) if not name.startswith("_"))


def main(context):
    res = context.res
    signatures = {name: str(inspect.signature(getattr(res, name))) for name in members(res)}
    answer = res.text("x")
    return res.json([members(context), members(context.req), signatures, sorted(answer)])
"""
NODE = b"""
module.exports = ({ req, res, log, error, ...rest }) => {
  const lengths = Object.fromEntries(Object.entries(res).map(([name, f]) => [name, f.length]));
  const context = ["req", "res", "log", "error", ...Object.keys(rest)];
  return res.json([context, Object.keys(req), lengths, Object.keys(res.text("x"))]);
};
"""


def typed(context: "Context") -> "Result":
    """A handler that mypy checks with the rest of the tests."""
    context.log("asked", context.req.body_json, context.req.query.get("q"))
    if context.req.method != "POST":
        return context.res.text("no\n", 405, {"allow": "POST", "set-cookie": ["a=1", "b=2"]})
    return context.res.json({"path": context.req.path}, statusCode=201)


def asked(api: Api, function_id: str, family: str, name: str, code: bytes) -> Any:
    """Return what a function of the family tells of its argument."""
    try:
        runtime = api.runtime(family)
    except LookupError as missing:
        pytest.skip(str(missing))
    api.create(function_id, runtime, entrypoint=name)
    api.deploy(function_id, pack(extra={name: code}))
    execution = api.execute(function_id)
    assert execution["responseStatusCode"] == 200, execution
    return json.loads(execution["responseBody"])


def members(kind: type) -> set[str]:
    own = {*vars(kind), *kind.__annotations__}
    return {name for name in own if not name.startswith("_")}


def parameters(kind: type, name: str) -> list[tuple[str, object]]:
    found = list(inspect.signature(getattr(kind, name)).parameters.values())[1:]
    return [(one.name, one.default) for one in found]


def test_python(api: Api) -> None:
    context, request, signatures, result = asked(api, "types-py", "python", "main.py", PYTHON)
    assert set(context) == members(handler.Context)
    assert set(request) == members(handler.Request)
    assert set(signatures) == members(handler.Response)
    assert set(result) == set(handler.Result.__annotations__)
    for name, text in signatures.items():
        real = re.findall(r"(\w+)(?:=(\w+))?(?:, |\))", text.partition(" ->")[0])
        declared = [
            (one, "" if default is inspect.Parameter.empty else str(default))
            for one, default in parameters(handler.Response, name)
        ]
        assert real == declared, name


def interface(name: str) -> dict[str, str]:
    """Return the members of an interface in the declarations, with what follows their names."""
    found = re.search(rf"interface {name} {{\n(.*?)^}}", DECLARATIONS, re.DOTALL | re.MULTILINE)
    assert found is not None
    return dict(re.findall(r"^  (?:readonly )?(\w+)(.*);$", found[1], re.MULTILINE))


def test_javascript(api: Api) -> None:
    context, request, lengths, result = asked(api, "types-js", "node", "main.js", NODE)
    assert set(context) == interface("Context").keys()
    assert set(request) == interface("Request").keys()
    assert set(result) == interface("Result").keys()
    declared = interface("Response")
    # A function's length is the number of parameters before the first with a default.
    required = {
        one: len(re.findall(r"\w+: ", text.rpartition(")")[0])) for one, text in declared.items()
    }
    assert lengths == required


def test_the_declarations_are_typescript(tmp_path: Path) -> None:
    here = Path(__file__).parents[2] / "node_modules/.bin"
    tsc = shutil.which("tsc", path=f"{here}{os.pathsep}{os.environ['PATH']}")
    if tsc is None:
        pytest.skip("tsc is not on PATH: npm install --global typescript")
    (tmp_path / "handler.d.ts").write_text(DECLARATIONS)
    (tmp_path / "main.ts").write_text(
        'import type { Handler } from "./handler";\n'
        "export const main: Handler = async ({ req, res, log }) => {\n"
        "  log(req.query.name, req.port.toFixed());\n"
        '  return res.json({ a: req.bodyJson }, 201, { "set-cookie": ["a=1"] });\n'
        "};\n"
    )
    checked = subprocess.run(
        [tsc, "--strict", "--noEmit", "--target", "es2022", "main.ts"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_a_copy_needs_nothing_else(tmp_path: Path) -> None:
    """`minifn.handler` imports the standard library alone."""
    (tmp_path / "handler.py").write_text(TYPES.read_text())
    code = "import handler, sys; sys.exit('minifn' in sys.modules)"
    subprocess.run([sys.executable, "-S", "-c", code], cwd=tmp_path, check=True)
