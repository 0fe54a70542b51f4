"""Shapes of answers by the version of the client."""

import msgspec
import pytest

from minifn.api.wire import responses
from minifn.api.wire.formats import Shape, shape_of
from minifn.instants import now_ms, parse_instant
from minifn.models import Deployment, Execution, Function, Rule, Variable

FUNCTION = Function(
    id="f", name="f", runtime="python-3.11", deployment_id="d", scopes=("users.read",)
)


@pytest.mark.parametrize(
    ("header", "shape"),
    [
        ("", Shape.FULL),
        *((f"2.{minor}.0", Shape.FULL) for minor in range(8)),
        ("1.10.0", Shape.FULL),
        ("nonsense", Shape.FULL),
        ("1.9.5", Shape.V1_9),
        ("1.9", Shape.V1_9),
        ("1.8.0", Shape.V1_8),
        ("1.7.0", Shape.V1_8),
        ("1.6.0", Shape.V1_6),
        ("1.5.7", Shape.V1_5),
        ("1.4.0", Shape.V1_4),
        ("1.3.0", Shape.V1_3),
        ("0.15.3", Shape.V1_3),
        ("0.11.0", Shape.V0_8),
        ("0.8.0", Shape.V0_8),
        ("0.7.0", Shape.V0_7),
    ],
)
def test_the_shape_of_a_version(header: str, shape: Shape) -> None:
    assert shape_of(header) is shape


def keys(shape: Shape) -> set[str]:
    return set(responses.function(FUNCTION, (), shape))


def test_functions_by_version() -> None:
    full = keys(Shape.FULL)
    assert {
        "deployment",
        "deploymentId",
        "specification",
        "buildSpecification",
        "latestDeploymentId",
    } <= full
    assert full - keys(Shape.V1_9) == {
        "deployment",
        "specification",
        "description",
        "interval",
        "emailEnabled",
    }
    assert not keys(Shape.V1_8) & {
        "deployment",
        "buildSpecification",
        "runtimeSpecification",
        "deploymentRetention",
    }
    assert "specification" in keys(Shape.V1_8)
    assert keys(Shape.V1_6) == {
        "$id", "$createdAt", "$updatedAt", "execute", "name", "enabled", "live", "logging",
        "runtime", "deployment",
        "scopes", "vars", "events", "schedule", "timeout", "entrypoint", "commands", "version",
        "installationId",
        "providerRepositoryId", "providerBranch", "providerRootDirectory", "providerSilentMode",
        "specification",
    }  # fmt: skip
    assert keys(Shape.V1_6) - keys(Shape.V1_5) == {"scopes", "specification"}
    assert keys(Shape.V1_3) - keys(Shape.V1_4) == {"scheduleNext", "schedulePrevious"}


def test_old_clients_see_when_a_schedule_runs() -> None:
    def runs(schedule: str) -> list[str]:
        answer = responses.function(
            msgspec.structs.replace(FUNCTION, schedule=schedule), (), Shape.V1_3
        )
        return [str(answer[name])[10:] for name in ("schedulePrevious", "scheduleNext")]

    assert runs("30 16 * * *") == ["T16:30:00.000+00:00"] * 2
    assert runs("") == runs("0 0 30 2 *") == ["", ""]
    hourly = responses.function(
        msgspec.structs.replace(FUNCTION, interval_minutes=60), (), Shape.V1_3
    )
    before, after = (parse_instant(hourly[name]) for name in ("schedulePrevious", "scheduleNext"))
    assert (after - before, before <= now_ms() <= after) == (3_600_000, True)


def test_list_items_keep_the_keys_that_1_5_lacks() -> None:
    item = responses.function(FUNCTION, (), Shape.V1_5, in_list=True)
    assert {"scopes", "specification"} <= set(item)


def test_open_runtimes_version() -> None:
    assert responses.function(FUNCTION, (), Shape.V1_6)["version"] == "v4"
    assert responses.function(FUNCTION, (), Shape.V1_8)["version"] == "v5"


def test_dates_that_are_not_set_are_empty_texts() -> None:
    answer = responses.function(FUNCTION, (), Shape.FULL)
    assert answer["deploymentCreatedAt"] == ""
    assert answer["$createdAt"] == "1970-01-01T00:00:00.000+00:00"


def test_deployments_by_version() -> None:
    record = Deployment(
        id="d", function_id="f", source_size_bytes=3, build_size_bytes=4, build_logs="x"
    )
    full = responses.deployment(record, Shape.FULL)
    assert (full["size"], full["sourceSize"], full["totalSize"]) == (3, 3, 7)
    assert (full["chunksTotal"], full["chunksUploaded"]) == (1, 1)
    assert not {"size", "buildTime"} & set(responses.deployment(record, Shape.V1_8))
    assert not {"sourceSize", "buildDuration", "totalSize", "screenshotDark"} & set(
        responses.deployment(record, Shape.V1_6)
    )
    old = responses.deployment(record, Shape.V1_3)
    assert (old["size"], old["buildStdout"], old["buildStderr"]) == (7, "x", "")
    assert not {"buildLogs", "buildSize"} & set(old)


def test_executions_by_version() -> None:
    record = Execution(
        id="e", function_id="f", status="completed", response_status_code=404, logs="l", errors="x"
    )
    full = responses.execution(record, Shape.FULL, privileged=True)
    assert (full["functionId"], full["resourceId"], full["resourceType"]) == ("f", "f", "functions")
    assert full["scheduledAt"] is None
    assert "deploymentId" not in responses.execution(record, Shape.V1_6, privileged=True)
    assert "scheduledAt" not in responses.execution(record, Shape.V1_5, privileged=True)
    old = responses.execution(record, Shape.V1_3, privileged=True)
    assert (old["statusCode"], old["stdout"], old["stderr"], old["status"]) == (
        404,
        "l",
        "x",
        "failed",
    )


def test_logs_are_for_keys() -> None:
    record = Execution(id="e", function_id="f", user_id="u", logs="l", errors="x")
    answer = responses.execution(record, Shape.FULL, privileged=False)
    assert (answer["logs"], answer["errors"]) == ("", "")
    assert answer["$permissions"] == ['read("user:u")']


def test_secret_values_are_not_shown() -> None:
    secret = Variable(id="v", function_id="f", key="K", value="hidden", secret=True)
    for shape in Shape:
        assert responses.variable(secret, shape)["value"] == ""
    assert "secret" not in responses.variable(secret, Shape.V1_6)
    oldest = responses.variable(secret, Shape.V1_3)
    assert (oldest["functionId"], "resourceId" in oldest, oldest["resourceType"]) == (
        "f",
        False,
        "function",
    )
    project = Variable(id="v", function_id="", key="K", value="x")
    assert responses.variable(project, Shape.FULL)["resourceType"] == "project"


def test_rules_by_version() -> None:
    record = Rule(id="r", domain="a.example.com", function_id="f")
    assert responses.rule(record, Shape.V1_6)["resourceId"] == "f"
    assert responses.rule(record, Shape.V1_8)["deploymentResourceId"] == "f"
    assert "resourceId" not in responses.rule(record, Shape.V1_8)
