"""The OpenAPI document is valid, complete and true of a real server."""

import importlib.util
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from minifn.api import OPERATIONS
from minifn.api.operations.openapi import document
from minifn.api.wire.params import Limits, fields_of
from tests.api.site import SiteServer
from tests.serving import Server, pack

ROOT = Path(__file__).parents[3]
LIMITS = Limits(specifications=("s-1vcpu-512mb",), runtimes=frozenset({"python-3.11"}))
DOCUMENT = document(OPERATIONS, LIMITS)
#: Seconds for generated calls.
FUZZING_SECONDS = 12
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)


def operations() -> list[dict[str, Any]]:
    return [operation for path in DOCUMENT["paths"].values() for operation in path.values()]


def test_the_document_is_valid() -> None:
    if importlib.util.find_spec("openapi_spec_validator") is None:
        pytest.skip("openapi-spec-validator is not installed: pip install 'minifn[test]'")
    from openapi_spec_validator import validate

    validate(DOCUMENT)


def test_the_document_has_every_operation() -> None:
    described = {
        (method.upper(), path, operation["operationId"])
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
    }
    assert described == {
        (operation.method, operation.path, operation.name) for operation in OPERATIONS
    }


def test_the_document_has_every_parameter() -> None:
    for operation in OPERATIONS:
        described = DOCUMENT["paths"][operation.path][operation.method.lower()]
        names = {item["name"].removesuffix("[]") for item in described["parameters"]}
        for content in described.get("requestBody", {}).get("content", {}).values():
            names |= set(content["schema"]["properties"])
        assert {field.wire_name for field in fields_of(operation.params)} <= names, operation.name
        assert set(re.findall(r"\{(\w+)\}", operation.path)) <= names, operation.name


def test_every_operation_has_a_summary_and_its_errors() -> None:
    for operation in operations():
        assert operation["summary"].endswith("."), operation["operationId"]
        assert {"400", "401", "404"} <= set(operation["responses"]), operation["operationId"]
        assert any(status[0] == "2" for status in operation["responses"]), operation["operationId"]


def test_the_document_has_the_rules_of_parameters() -> None:
    body = DOCUMENT["paths"]["/functions"]["post"]["requestBody"]["content"]["application/json"][
        "schema"
    ]
    assert body["required"] == ["functionId", "name", "runtime"]
    assert body["properties"]["timeout"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 900,
        "default": 15,
    }
    assert body["properties"]["runtime"]["enum"] == ["python-3.11"]
    upload = DOCUMENT["paths"]["/functions/{functionId}/deployments"]["post"]["requestBody"][
        "content"
    ]
    assert "code" in upload["multipart/form-data"]["schema"]["required"]


def test_guests_may_read_it(site: SiteServer) -> None:
    with httpx.Client(trust_env=False) as anybody:
        answer = anybody.get(f"http://127.0.0.1:{site.port}/v1/openapi.json")
    assert answer.headers["content-type"].startswith("application/json")
    assert set(answer.json()["paths"]) == set(DOCUMENT["paths"])


def known_ids(server: Server) -> dict[str, str]:
    """Create one of each record and return the ids by parameter name."""
    with server.api as api:
        api.create("fuzzed", api.runtime("python"), entrypoint="main.py", execute=["any"])
        deployment = api.deploy("fuzzed", pack(ROOT / "tests" / "functions" / "hello"))
        variable = api.call(
            "POST", "/functions/fuzzed/variables", 201, json={"key": "K", "value": "v"}
        )
        execution = api.execute("fuzzed")
        rule = api.call(
            "POST",
            "/proxy/rules/function",
            201,
            json={"domain": "fuzzed.example.com", "functionId": "fuzzed"},
        )
    return {
        "functionId": "fuzzed", "deploymentId": deployment["$id"], "variableId": variable["$id"],
        "executionId": execution["$id"], "ruleId": rule["$id"], "projectId": "minifn",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("caller", ["administrator", "guest"])
def test_a_real_server_keeps_to_it(caller: str) -> None:
    """Guests ask for records that do not exist, the administrator for ones that do."""
    if importlib.util.find_spec("schemathesis") is None:
        pytest.skip("schemathesis is not installed: pip install 'minifn[test]'")
    with tempfile.TemporaryDirectory(prefix="minifn-") as folder:
        Path(folder).chmod(0o711)
        with Server(Path(folder) / "data") as server:
            options = ["-H", "x-appwrite-project: minifn"]
            if caller == "administrator":
                options += ["-H", f"x-appwrite-key: {server.key}", "--exclude-method", "DELETE"]
                known = [f'"path.{name}" = "{value}"' for name, value in known_ids(server).items()]
                (Path(folder) / "schemathesis.toml").write_text(
                    "\n".join(["[parameters]", *known, ""])
                )
            program = "from schemathesis.cli import schemathesis; schemathesis()"
            command = [
                sys.executable,
                "-c",
                program,
                "run",
                f"{server.endpoint}/openapi.json",
                *options,
                "--no-color",
                "--checks",
                ",".join(CHECKS),
                "--phases",
                "coverage,fuzzing",
                "--max-examples",
                "10",
                "--max-time",
                str(FUZZING_SECONDS),
                "--generation-deterministic",
                "--no-shrink",
                "--warnings",
                "off",
                "--generation-with-security-parameters",
                "false",
                # It goes on until its reader leaves.
                "--exclude-operation-id",
                "minifn.followLogs",
                "--continue-on-failure",
            ]
            ran = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
            )
            assert ran.returncode == 0, ran.stdout[-8000:] + ran.stderr[-2000:] + server.log_tail()
