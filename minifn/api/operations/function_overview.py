"""An overview of all functions on one page: their state, their last calls and errors."""

import re
from collections.abc import Sequence
from typing import Annotated, Any

from starlette.types import ASGIApp

from minifn.api.wire.answers import json_answer
from minifn.api.wire.operation import EXECUTIONS_READ, FUNCTIONS_READ, Call, Operation
from minifn.api.wire.params import Integer, Params
from minifn.instants import MAX_INSTANT_MS, format_instant, now_ms
from minifn.log_text import headline, one_line, printable
from minifn.models import UNFINISHED_BUILD, Function
from minifn.store import usage
from minifn.store.overview import Overview, overview

#: Longest time of an overview: 31 days.
HOURS_MAX = 744
#: A line that minifn itself wrote into a build log.
_NOTE = re.compile(r"\[\d\d:\d\d:\d\d\] \[minifn\] ")
#: An error of Python or JavaScript, and the place of one.
_ERROR = re.compile(r"(\w{1,80}(?:Error|Exception)): (.+)")
_PLACE = re.compile(r'File "(?:/fn/)?([^"]{1,200})", line (\d{1,9})|^/fn/([^:\s]{1,200}):(\d{1,9})')


class ListFunctions(Params, frozen=True, kw_only=True):
    """The time that calls are counted over."""

    hours: Annotated[int, Integer(1, HOURS_MAX)] = 24


async def list_functions(call: Call, params: ListFunctions) -> ASGIApp:
    """List functions with their state, their calls of the last `hours`, and their last error."""
    database = call.parts.database
    await usage.catch_up(database)
    found = await database.read(overview, call.caller.reach, params.hours, now_ms())
    items = [_described(call, one) for one in found]
    return json_answer({"total": len(items), "functions": items})


def _described(call: Call, one: Overview) -> dict[str, Any]:
    function = one.function
    state, text = state_of(function, one.build_log)
    planned = 0 < function.schedule_next < MAX_INSTANT_MS
    domain = f"{function.id.lower()}.{call.parts.config.functions_domain}"
    return {
        "functionId": function.id,
        "name": function.name,
        "runtime": function.runtime,
        "enabled": function.enabled,
        "live": function.live,
        "state": state,
        "stateText": text,
        "deploymentId": function.deployment_id,
        "deployedAt": _instant(function.deployment_created_at),
        "schedule": function.schedule,
        "nextRunAt": format_instant(function.schedule_next) if planned else "",
        "calls": sum(calls for calls, _ in one.series),
        "failures": sum(failures for _, failures in one.series),
        "p50": percentile(one.durations, 50),
        "p95": percentile(one.durations, 95),
        "series": one.series,
        # Part of an execution, which not every key may read.
        "lastError": headline(printable(one.last_error)) if call.has_scope(EXECUTIONS_READ) else "",
        "lastErrorAt": _instant(one.last_error_at),
        "url": f"{call.parts.endpoint.url_of(domain)}/",
    }


def _instant(at: int) -> str:
    return format_instant(at) if at else ""


def percentile(ordered: Sequence[float], percent: int) -> float:
    """Return the nearest-rank percentile of ordered numbers, 0 of none."""
    return ordered[-(-len(ordered) * percent // 100) - 1] if ordered else 0.0


def state_of(function: Function, build_log: str) -> tuple[str, str]:
    """Return the state of a function, in a word and in a sentence.

    `build_log` is the end of the newest build's log when that failed.
    """
    status = function.latest_deployment_status
    still = " The deployment before it answers." if function.deployment_id else ""
    if not function.enabled:
        return "disabled", "Disabled: clients cannot call it."
    if status in UNFINISHED_BUILD:
        return (
            "building",
            f"A build is waiting.{still}" if status == "waiting" else f"Building.{still}",
        )
    if status == "failed":
        return "failed", f"Build failed: {problem_of(build_log)}{still}"
    if not function.deployment_id:
        return "empty", "No deployment is active."
    changed = "" if function.live else " Settings or variables changed since its build."
    return "ready", f"Ready.{changed}"


def problem_of(build_log: str) -> str:
    """Return why a build failed, in one line that ends with a full stop.

    It is the error of a program that does not parse, with its place; otherwise the last line that
    minifn wrote into the log, and the line before it.
    """
    output, note = ("", *_NOTE.split(printable(build_log)))[-2:]
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    error = next((found for line in reversed(lines) if (found := _ERROR.match(line))), None)
    place = next((found for line in reversed(lines) if (found := _PLACE.search(line))), None)
    if error and place:
        file, line = place[1] or place[3], place[2] or place[4]
        text = f"{error[1]} in {file} line {line}: {error[2]}"
    else:
        # The line above belongs to the note before, if no program wrote it.
        said = lines[-1] if len(lines) > 1 else ""
        text = f"{headline(note).rstrip('.')}: {said}" if said else headline(note)
    return f"{one_line(text.rstrip('.'))}." if text else ""


OPERATIONS = (
    Operation(
        name="minifn.listFunctions",
        method="GET",
        path="/minifn/functions",
        scopes=FUNCTIONS_READ,
        params=ListFunctions,
        handler=list_functions,
        needs_project=False,
        for_restricted=True,
        keys_only=True,
    ),
)
