"""Usage of functions: totals, and points for each hour or day of a range."""

import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from starlette.types import ASGIApp

from minifn.api.wire.answers import json_answer
from minifn.api.wire.formats import Shape
from minifn.api.wire.operation import FUNCTIONS_READ, Call, Operation
from minifn.api.wire.params import Id, OneOf, Params
from minifn.errors import FunctionNotFound
from minifn.instants import format_instant
from minifn.store import usage
from minifn.store.usage import HOUR_MS, Kept, Used

#: Range -> (number of points, hours of each).
RANGES = {"24h": (24, 1), "30d": (30, 24), "90d": (90, 24)}
#: Keys that clients before 1.7 do not get.
_SINCE_1_7 = (
    "buildsTimeAverage",
    "buildsSuccess",
    "buildsSuccessTotal",
    "buildsFailed",
    "buildsFailedTotal",
)

_KEPT: dict[str, Callable[[Kept], int]] = {
    "functions": lambda kept: kept.functions,
    "deployments": lambda kept: kept.deployments,
    "deploymentsStorage": lambda kept: kept.source_bytes,
    "buildsStorage": lambda kept: kept.build_bytes,
}
_USED: dict[str, Callable[[Used], float]] = {
    "builds": lambda used: used.builds_ready + used.builds_failed,
    "buildsSuccess": lambda used: used.builds_ready,
    "buildsFailed": lambda used: used.builds_failed,
    "buildsTime": lambda used: used.builds_ms,
    "buildsMbSeconds": lambda used: used.builds_mb_seconds,
    "executions": lambda used: used.executions,
    "executionsTime": lambda used: used.executions_ms,
    "executionsMbSeconds": lambda used: used.executions_mb_seconds,
}


class Usage(Params, frozen=True, kw_only=True):
    """A range: the last 24 hours by the hour, or the last 30 or 90 days by the day."""

    range: Annotated[str, OneOf(RANGES)] = "30d"


class FunctionUsage(Usage, frozen=True, kw_only=True):
    """A function and a range."""

    function_id: Annotated[str, Id()]


@dataclass(frozen=True)
class Numbers:
    """The numbers of an answer: totals, and values by hour since the epoch."""

    kept: Kept
    used: Used
    kept_by_hour: Mapping[int, Kept]
    used_by_hour: Mapping[int, Used]


def _read(conn: sqlite3.Connection, first_hour: int, function_id: str | None) -> Numbers:
    return Numbers(
        usage.kept(conn, function_id),
        usage.used(conn, function_id),
        usage.kept_by_hour(conn, first_hour, function_id),
        usage.used_by_hour(conn, first_hour, function_id),
    )


def starts(name: str, now_seconds: float) -> list[int]:
    """Return the first hour of each point of a range, in hours since the epoch.

    The last point holds `now_seconds`.
    """
    count, hours = RANGES[name]
    last = int(now_seconds) // (hours * 3600) * hours
    return [last - hours * back for back in reversed(range(count))]


N = TypeVar("N", Kept, Used)


def points(
    by_hour: Mapping[int, N], first_hours: list[int], value: Callable[[N], float]
) -> list[dict[str, Any]]:
    """Return one point for each of `first_hours`: the sum of the values until the next."""
    width = first_hours[1] - first_hours[0]
    sums = dict.fromkeys(first_hours, 0.0)
    for hour, item in by_hour.items():
        start = hour - (hour - first_hours[0]) % width
        if start in sums:
            sums[start] += value(item)
    return [
        {"value": round(total), "date": format_instant(start * HOUR_MS)}
        for start, total in sums.items()
    ]


def body(name: str, numbers: Numbers, first_hours: list[int], shape: Shape) -> dict[str, Any]:
    """Return the answer: the total and the points of every measure."""
    answer: dict[str, Any] = {"range": name}
    for key, of_kept in _KEPT.items():
        answer[f"{key}Total"] = of_kept(numbers.kept)
        answer[key] = points(numbers.kept_by_hour, first_hours, of_kept)
    for key, of_used in _USED.items():
        answer[f"{key}Total"] = round(of_used(numbers.used))
        answer[key] = points(numbers.used_by_hour, first_hours, of_used)
    answer["buildsTimeAverage"] = answer["buildsTimeTotal"] // max(1, answer["buildsTotal"])
    if shape < Shape.V1_8:
        for key in _SINCE_1_7:
            del answer[key]
    return answer


async def _numbers(call: Call, first_hours: list[int], function_id: str | None) -> Numbers:
    database = call.parts.database
    await usage.catch_up(database)
    return await database.read(_read, first_hours[0], function_id)


async def of_all(call: Call, params: Usage) -> ASGIApp:
    """Return the usage of all functions."""
    first_hours = starts(params.range, time.time())
    return json_answer(
        body(params.range, await _numbers(call, first_hours, None), first_hours, call.shape)
    )


async def of_function(call: Call, params: FunctionUsage) -> ASGIApp:
    """Return the usage of one function."""
    await call.parts.functions.get(params.function_id)
    first_hours = starts(params.range, time.time())
    numbers = await _numbers(call, first_hours, params.function_id)
    answer = body(params.range, numbers, first_hours, call.shape)
    del answer["functions"], answer["functionsTotal"]
    return json_answer(answer)


OPERATIONS = (
    Operation(
        name="functions.listUsage",
        method="GET",
        path="/functions/usage",
        scopes=FUNCTIONS_READ,
        params=Usage,
        handler=of_all,
    ),
    Operation(
        name="functions.getUsage",
        method="GET",
        path="/functions/{functionId}/usage",
        scopes=FUNCTIONS_READ,
        params=FunctionUsage,
        handler=of_function,
        errors=(FunctionNotFound,),
    ),
)
