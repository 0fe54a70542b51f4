"""The protections that a running server reports."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from minifn.config import is_weaker
from tests.serving import Api, Server


def test_engines_compare_by_strength() -> None:
    assert is_weaker("process", "bwrap")
    assert is_weaker("none", "process")
    assert not is_weaker("bwrap", "process")
    assert not is_weaker("bwrap", "bwrap")
    assert not is_weaker("process", "")
    assert not is_weaker("process", "an engine of tomorrow")


def test_health_equals_doctor(server: Server, api: Api) -> None:
    """With a key; other callers learn only that the server is up."""
    public = httpx.get(f"{server.endpoint}/health", trust_env=False).json()
    assert set(public) == {"name", "ping", "status"}
    health = api.call("GET", "/health", 200)
    assert {name: health[name] for name in ("name", "status", "network")} == {
        "name": "database", "status": "pass", "network": "host",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "minifn", "doctor", "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    checks = {
        check["name"]: check
        for check in json.loads(done.stdout)["checks"]
        if check["group"] == "sandbox"
    }
    assert (
        checks["engine"]["detail"] == f"{health['engine']['name']}: {health['engine']['strength']}"
    )
    assert len(health["protections"]) > 8
    for one in health["protections"]:
        assert set(one) == {"name", "state", "reason", "remedy"}
        assert (one["state"], one["remedy"]) == (
            checks[one["name"]]["state"],
            checks[one["name"]]["remedy"],
        )


@pytest.mark.usefixtures("bwrap")
def test_a_weaker_engine_is_said_loudly_once(data: Path) -> None:
    loud = "WEAKER ENGINE THAN AT THE LAST START: process, it was bwrap"
    for engine, warnings in (("bwrap", 0), ("process", 1), ("process", 1), ("bwrap", 1)):
        with Server(data, sandbox=engine) as server:
            pass
        assert server.log_tail().count(loud) == warnings
