"""Records as JSON, in the shape of the client's version, without secrets.

Keys follow Appwrite's `src/Appwrite/Utopia/Response/Model` (`Func`, `Deployment`, `Build`,
`Execution`, `Variable`).
"""

from collections.abc import Iterable
from itertools import starmap
from typing import Any

import msgspec

from minifn import cron, intervals
from minifn.api.wire.formats import Shape, cut
from minifn.instants import format_instant, now_ms
from minifn.languages import Runtime
from minifn.models import (
    DEFAULT_SPECIFICATION,
    ApiKey,
    Deployment,
    Execution,
    Function,
    Headers,
    Record,
    Rule,
    Specification,
    Variable,
)

#: `version` of a function: the Open Runtimes API of its handler; "v4" in other shapes.
_OPEN_RUNTIMES = {Shape.V1_8: "v5", Shape.V1_9: "v5", Shape.FULL: "v5"}
#: Characters from the end of an output that 0.x shows.
_OUTPUT_CHARS_0 = 4000


def _instant(instant_ms: int) -> str:
    return format_instant(instant_ms) if instant_ms else ""


def _base(record: Record) -> dict[str, Any]:
    return {
        "$id": record.id,
        "$createdAt": format_instant(record.created_at),
        "$updatedAt": format_instant(record.updated_at),
    }


def listing(name: str, total: int, items: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the body of a list."""
    return {"total": total, name: list(items)}


def function(
    record: Function, variables: Iterable[Variable], shape: Shape, *, in_list: bool = False
) -> dict[str, Any]:
    """Return a function with its variables.

    Appwrite's filter for clients before 1.6 changes single functions but not the items of lists.
    """
    answer = {
        **_base(record),
        "execute": record.execute,
        "name": record.name,
        "description": record.description,
        "enabled": record.enabled,
        "live": record.live,
        "logging": record.logging,
        "runtime": record.runtime,
        "deployment": record.deployment_id,
        "deploymentId": record.deployment_id,
        "deploymentCreatedAt": _instant(record.deployment_created_at),
        "latestDeploymentId": record.latest_deployment_id,
        "latestDeploymentCreatedAt": _instant(record.latest_deployment_created_at),
        "latestDeploymentStatus": record.latest_deployment_status,
        "scopes": record.scopes,
        "vars": [variable(item, shape) for item in variables],
        "events": record.events,
        "schedule": record.schedule,
        "scheduleNext": "",
        "schedulePrevious": "",
        "interval": record.interval_minutes,
        "timeout": record.timeout_seconds,
        "entrypoint": record.entrypoint,
        "commands": record.commands,
        "version": _OPEN_RUNTIMES.get(shape, "v4"),
        "installationId": record.installation_id,
        "providerRepositoryId": record.provider_repository_id,
        "providerBranch": record.provider_branch,
        "providerRootDirectory": record.provider_root_directory,
        "providerSilentMode": record.provider_silent_mode,
        "providerBranches": record.provider_branches,
        "providerPaths": record.provider_paths,
        "specification": record.runtime_specification or DEFAULT_SPECIFICATION,
        "buildSpecification": record.build_specification or DEFAULT_SPECIFICATION,
        "runtimeSpecification": record.runtime_specification or DEFAULT_SPECIFICATION,
        "deploymentRetention": record.deployment_retention_days,
        "emailEnabled": False,
    }
    if shape < Shape.V1_6 and not in_list:
        del answer["scopes"], answer["specification"]
    if shape < Shape.V1_4:
        answer["scheduleNext"], answer["schedulePrevious"] = map(_instant, _runs(record, now_ms()))
    return cut("function", answer, shape)


def _runs(record: Function, now: int) -> tuple[int, int]:
    """Return the next and the last run of a function's schedule or interval; 0 = never.

    The function need not have a deployment.
    """
    if record.interval_minutes:
        minutes = record.interval_minutes
        return (
            intervals.next_run(record.id, minutes, now),
            intervals.previous_run(record.id, minutes, now),
        )
    if record.schedule:
        return (
            cron.next_run(record.schedule, now) or 0,
            cron.previous_run(record.schedule, now) or 0,
        )
    return 0, 0


def deployment(record: Deployment, shape: Shape) -> dict[str, Any]:
    """Return a deployment. SDKs compute their progress from `chunksTotal` and `chunksUploaded`."""
    answer = {
        **_base(record),
        "type": record.type,
        "resourceId": record.function_id,
        "resourceType": "functions",
        "entrypoint": record.entrypoint,
        "size": record.source_size_bytes,
        "sourceSize": record.source_size_bytes,
        "buildSize": record.build_size_bytes,
        "totalSize": record.total_size_bytes,
        "buildId": record.build_id,
        "activate": record.activate,
        "screenshotLight": "",
        "screenshotDark": "",
        "status": record.status,
        "buildLogs": record.build_logs,
        "buildStdout": record.build_logs,
        "buildStderr": "",
        "buildTime": record.build_duration_seconds,
        "buildDuration": record.build_duration_seconds,
        "providerRepositoryName": record.provider_repository_name,
        "providerRepositoryOwner": record.provider_repository_owner,
        "providerRepositoryUrl": record.provider_repository_url,
        "providerBranch": record.provider_branch,
        "providerBranchUrl": record.provider_branch_url,
        "providerCommitHash": record.provider_commit_hash,
        "providerCommitAuthor": record.provider_commit_author,
        "providerCommitAuthorUrl": record.provider_commit_author_url,
        "providerCommitMessage": record.provider_commit_message,
        "providerCommitUrl": record.provider_commit_url,
        "chunksTotal": record.chunks_total,
        "chunksUploaded": record.chunks_uploaded,
    }
    if shape <= Shape.V1_3:
        answer["size"] = record.total_size_bytes
    return cut("deployment", answer, shape)


def build(record: Deployment) -> dict[str, Any]:
    """Return a deployment's build for 1.6, where stdout and stderr are always empty."""
    started_at = record.build_started_at
    ended_at = started_at + record.build_duration_seconds * 1000 if started_at else 0
    return {
        "$id": record.build_id or record.id,
        "deploymentId": record.id,
        "status": record.status,
        "stdout": "",
        "stderr": "",
        "startTime": _instant(started_at),
        "endTime": _instant(ended_at),
        "duration": record.build_duration_seconds,
        "size": record.build_size_bytes,
    }


class Header(msgspec.Struct, frozen=True):
    """One header of an execution's request or answer."""

    name: str
    value: str


def execution(
    record: Execution,
    shape: Shape,
    *,
    privileged: bool,
    kept: str = "",
    body: str | bytes = "",
    headers: Headers | None = None,
) -> dict[str, Any]:
    """Return a stored execution. Logs and errors are for `privileged` callers only.

    `kept` is the stored end of the answer, for 0.x. `body` and `headers` are those of an answer
    that is not stored; the stored headers take the place of None.
    """
    answer: dict[str, Any] = {
        "$id": record.id,
        "$createdAt": format_instant(record.created_at),
        "$updatedAt": format_instant(record.updated_at),
        "$permissions": [f'read("user:{record.user_id}")'] if record.user_id else [],
        "functionId": record.function_id,
        "resourceId": record.function_id,
        "resourceType": "functions",
        "deploymentId": record.deployment_id,
        "trigger": record.trigger,
        "status": record.status,
        "requestMethod": record.request_method,
        "requestPath": record.request_path,
        "requestHeaders": list(starmap(Header, record.request_headers)),
        "responseStatusCode": record.response_status_code,
        "responseBody": body,
        "responseHeaders": list(
            starmap(Header, record.response_headers if headers is None else headers)
        ),
        "logs": record.logs if privileged else "",
        "errors": record.errors if privileged else "",
        "duration": record.duration_seconds,
        "scheduledAt": format_instant(record.scheduled_at) if record.scheduled_at else None,
    }
    if shape is Shape.FULL or shape is Shape.V1_9:
        return answer
    cut("execution", answer, shape)
    if shape > Shape.V1_3:
        return answer
    answer = _execution_1_3(answer)
    return answer if shape is Shape.V1_3 else _execution_0(answer, record, shape, kept)


def _execution_1_3(answer: dict[str, Any]) -> dict[str, Any]:
    for new, old in (
        ("responseStatusCode", "statusCode"),
        ("responseBody", "response"),
        ("logs", "stdout"),
        ("errors", "stderr"),
    ):
        answer[old] = answer.pop(new)
    if answer["status"] == "completed" and 400 <= answer["statusCode"] < 500:
        answer["status"] = "failed"
    return answer


def _execution_0(
    answer: dict[str, Any], record: Execution, shape: Shape, kept: str
) -> dict[str, Any]:
    """Return an execution of 0.7 or 0.8, when functions were programs that printed their answer."""
    logs = answer["stdout"]
    stdout = f"{logs}\n{kept}" if logs and kept and not logs.endswith("\n") else logs + kept
    status = "waiting" if answer["status"] == "scheduled" else answer["status"]
    old = {
        "$id": record.id,
        "functionId": record.function_id,
        "dateCreated": record.created_at // 1000,
        "trigger": record.trigger,
        "status": status,
        "exitCode": int(status == "failed"),
        "stdout": stdout[-_OUTPUT_CHARS_0:],
        "stderr": answer["stderr"][-_OUTPUT_CHARS_0:],
        "time": record.duration_seconds,
    }
    if shape is Shape.V0_7:
        old["$permissions"] = {
            "read": [f"user:{record.user_id}"] if record.user_id else [],
            "write": [],
        }
    return old


def variable(record: Variable, shape: Shape) -> dict[str, Any]:
    """Return a variable; a secret one without its value."""
    answer = {
        **_base(record),
        "key": record.key,
        "value": "" if record.secret else record.value,
        "secret": record.secret,
        "description": record.description,
        "resourceType": "function" if record.function_id else "project",
        "resourceId": record.function_id,
    }
    if shape <= Shape.V1_3:
        answer["functionId"] = record.function_id
    return cut("variable", answer, shape)


def api_key(record: ApiKey, secret: str = "") -> dict[str, Any]:
    """Return an API key; `secret` is known only when the key was just created."""
    return {
        **_base(record),
        "name": record.name,
        "description": record.description,
        "expire": _instant(record.expire_at),
        "scopes": record.scopes,
        "secret": secret,
        "accessedAt": _instant(record.accessed_at),
        "sdks": [],
    }


def ephemeral_key(
    key_id: str, scopes: tuple[str, ...], expire_at: int, secret: str
) -> dict[str, Any]:
    """Return a key that was just created and is not stored."""
    now = now_ms()
    record = ApiKey(
        id=key_id,
        created_at=now,
        updated_at=now,
        name="",
        secret_hash="",
        scopes=scopes,
        expire_at=expire_at,
    )
    return api_key(record, secret)


def runtime(item: Runtime, shape: Shape) -> dict[str, Any]:
    """Return a runtime."""
    answer = {
        "$id": item.id,
        "key": item.key,
        "name": item.name,
        "version": item.version,
        "base": item.base,
        "image": item.image,
        "logo": item.logo,
        "supports": item.supports,
    }
    return cut("runtime", answer, shape)


def specification(item: Specification) -> dict[str, Any]:
    """Return a specification."""
    return {"memory": item.memory_mb, "cpus": item.cpus, "enabled": True, "slug": item.slug}


def rule(record: Rule, shape: Shape) -> dict[str, Any]:
    """Return a domain rule, with the names of 1.6 and of later versions if the shape has them."""
    resource_type = None if record.type == "api" else "function"
    answer = {
        **_base(record),
        "domain": record.domain,
        "type": record.type,
        "trigger": "manual",
        "redirectUrl": record.redirect_url,
        "redirectStatusCode": record.redirect_status_code,
        "deploymentId": "",
        "deploymentResourceType": resource_type,
        "deploymentResourceId": record.function_id,
        "deploymentVcsProviderBranch": record.branch,
        "resourceType": resource_type or "api",
        "resourceId": record.function_id,
        "protocol": "http",
        "status": "verified",
        "logs": "",
        "renewAt": "",
    }
    return cut("rule", answer, shape)
