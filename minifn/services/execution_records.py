"""The records of executions: how each begins, fails and finishes."""

import msgspec

from minifn.ids import new_id
from minifn.instants import now_ms
from minifn.log_text import keep_tail
from minifn.models import (
    Execution,
    ExecutionRequest,
    ExecutionResult,
    Function,
    Headers,
    Target,
    Trigger,
)
from minifn.workers.records import FunctionResponse

#: Request headers stored with an execution.
STORED_REQUEST_HEADERS = frozenset(
    {"content-type", "agent", "content-length", "host", "x-appwrite-client-ip"}
)
#: Answer headers stored with an execution.
STORED_RESPONSE_HEADERS = frozenset({"content-type", "content-length"})


def begin(function: Function, request: ExecutionRequest, trigger: Trigger) -> Execution:
    """Return the execution of a function that begins now."""
    created_at = now_ms()
    stored = [(name, value) for name, value in request.headers if name in STORED_REQUEST_HEADERS]
    if request.client_ip:
        stored.append(("x-appwrite-client-ip", request.client_ip))
    return Execution(
        id=new_id(),
        created_at=created_at,
        updated_at=created_at,
        function_id=function.id,
        trigger=trigger,
        status="processing",
        user_id=request.user_id,
        request_method=request.method,
        request_path=request.path,
        request_headers=tuple(stored),
    )


def queued(
    function: Function, request: ExecutionRequest, trigger: Trigger, scheduled_at: int = 0
) -> Execution:
    """Return an execution that waits for a slot, or for the instant `scheduled_at`."""
    return msgspec.structs.replace(
        begin(function, request, trigger),
        status="scheduled" if scheduled_at else "waiting",
        scheduled_at=scheduled_at,
        deployment_id=function.deployment_id,
    )


def tick(function_id: str, deployment_id: str, now: int) -> Execution:
    """Return the waiting execution of a schedule that is due at `now`."""
    return Execution(
        id=new_id(),
        created_at=now,
        updated_at=now,
        function_id=function_id,
        deployment_id=deployment_id,
        trigger="schedule",
        status="waiting",
    )


def was_queued(execution: Execution) -> bool:
    """Tell whether an execution was stored before it ran: only then does it have a sequence."""
    return execution.sequence > 0


def caused(function: Function, request: ExecutionRequest) -> Execution:
    """Return the waiting execution that an event causes. It belongs to no user."""
    return msgspec.structs.replace(queued(function, request, "event"), user_id="")


def finish(target: Target, execution: Execution, response: FunctionResponse) -> ExecutionResult:
    """Return an execution that ended with `response`, and the answer for its caller."""
    logged = target.function.logging
    headers: Headers = (*response.headers, ("x-appwrite-execution-id", execution.id))
    finished = msgspec.structs.replace(
        execution,
        updated_at=now_ms(),
        deployment_id=target.function.deployment_id,
        status="failed" if response.failure or response.status_code >= 500 else "completed",
        response_status_code=response.status_code,
        response_headers=tuple(
            [item for item in response.headers if item[0] in STORED_RESPONSE_HEADERS]
        ),
        logs=keep_tail(response.logs, "Logs") if logged else "",
        errors=keep_tail(response.errors, "Errors") if logged else "",
        duration_seconds=rounded(response.duration_seconds),
    )
    return ExecutionResult(execution=finished, body=response.body, headers=headers)


def rounded(seconds: float) -> float:
    """Return a duration with three digits, in steps of 10 microseconds or more.

    Values that come again lie together in their index, so that fewer of its pages are written. And
    some SDKs turn numbers with more than 15 digits into strings.
    """
    return round(seconds * 1e5) / 1e5 if seconds < 0.01 else float(f"{seconds:.3g}")


def fail(execution: Execution, errors: str) -> Execution:
    """Return an execution that failed without an answer from its function."""
    return msgspec.structs.replace(execution, updated_at=now_ms(), status="failed", errors=errors)


def refuse(execution: Execution, errors: str) -> Execution:
    """Return an execution that failed before any deployment was asked."""
    return msgspec.structs.replace(fail(execution, errors), deployment_id="")


def join(text: str, line: str) -> str:
    """Return `text` with one more line."""
    return f"{text.rstrip()}\n{line}".lstrip() if text else line
