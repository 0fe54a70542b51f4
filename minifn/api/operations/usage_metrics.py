"""Usage as Appwrite 2 has it: metrics by name, over any time, by function.

Events are summed over a time; gauges are values at the end of it. Usage is stored by the hour, so
no point is shorter than an hour.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any

from starlette.types import ASGIApp

from minifn.api.wire import list_attributes
from minifn.api.wire.answers import json_answer
from minifn.api.wire.kinds import Instant, QueryTexts
from minifn.api.wire.operation import USAGE_READ, Call, Operation
from minifn.api.wire.params import Integer, ListOf, OneOf, Params, Text
from minifn.api.wire.queries import read_query
from minifn.errors import ArgumentInvalid, QueryInvalid
from minifn.instants import format_instant
from minifn.store import usage
from minifn.store.usage import HOUR_MS, Kept, Used

#: Default length of a time in milliseconds: a week.
DEFAULT_MS = 7 * 24 * HOUR_MS
#: Most points of one metric.
POINTS_MAX = 5000
#: Most values that one request adds up to gauges.
VALUES_MAX = 500_000
#: Interval -> hours of a point; an hour is the shortest.
_HOURS = {"1m": 1, "15m": 1, "30m": 1, "1h": 1, "1d": 24}
#: Dimensions that split points; a resource is a function.
_DIMENSIONS = ("resource", "resourceId")

_EVENTS: dict[str, Callable[[Used], float]] = {
    "executions": lambda used: used.executions,
    "executions.compute": lambda used: used.executions_ms,
    "executions.mbSeconds": lambda used: used.executions_mb_seconds,
    "builds": lambda used: used.builds_ready + used.builds_failed,
    "builds.success": lambda used: used.builds_ready,
    "builds.failed": lambda used: used.builds_failed,
    "builds.compute": lambda used: used.builds_ms,
    "builds.mbSeconds": lambda used: used.builds_mb_seconds,
}
_GAUGES: dict[str, Callable[[Kept], float]] = {
    "functions": lambda kept: kept.functions,
    "deployments": lambda kept: kept.deployments,
    "deployments.storage": lambda kept: kept.source_bytes,
    "builds.storage": lambda kept: kept.build_bytes,
}

#: A value of one function in one hour since the epoch.
Value = tuple[str, int, float]


class Metrics(Params, frozen=True, kw_only=True):
    """Metrics, their time, and the split of their points. Unknown metrics have no points."""

    metrics: Annotated[tuple[str, ...], ListOf(Text(255), 10)]
    dimensions: Annotated[tuple[str, ...], ListOf(OneOf(_DIMENSIONS))] = ()
    interval: Annotated[str | None, OneOf(_HOURS)] = None
    queries: Annotated[tuple[str, ...], QueryTexts()] = ()
    start_at: Annotated[int | None, Instant()] = None
    end_at: Annotated[int | None, Instant()] = None
    order_by: Annotated[str, OneOf(("time", "value"))] = "time"
    order_dir: Annotated[str, OneOf(("asc", "desc"))] = "asc"
    limit: Annotated[int, Integer(1, POINTS_MAX)] = POINTS_MAX
    offset: Annotated[int, Integer(0, POINTS_MAX)] = 0


async def list_events(call: Call, params: Metrics) -> ASGIApp:
    """Sum up executions and builds over time."""
    start, end = _time(params)
    query = read_query(params.queries, list_attributes.USAGE, call.shape)
    await usage.catch_up(call.parts.database)
    hours = (start // HOUR_MS, end // HOUR_MS)
    found = await call.parts.database.read(usage.used_by_function, *hours, query.filters)

    def points(metric: str) -> list[dict[str, Any]]:
        value = _EVENTS.get(metric)
        return _summed(
            ((key, hour, value(used)) for key, hour, used in found) if value else (), params, end
        )

    return await asyncio.to_thread(_answer, params, points)


async def list_gauges(call: Call, params: Metrics) -> ASGIApp:
    """Count functions and deployments, and their bytes."""
    start, end = _time(params)
    query = read_query(params.queries, list_attributes.USAGE, call.shape)
    found = await call.parts.database.read(usage.kept_by_function, query.filters)
    ends = _ends(params, start // HOUR_MS, end // HOUR_MS)

    def points(metric: str) -> list[dict[str, Any]]:
        value = _GAUGES.get(metric)
        if value is None:
            return []
        return _summed(
            _standing([(key, hour, value(kept)) for key, hour, kept in found], ends), params, end
        )

    functions = len({key for key, _, _ in found})
    if len(ends) * functions > VALUES_MAX:
        raise ArgumentInvalid.for_param(
            "interval", f"{functions:,} functions have too many points: ask for less time"
        )
    return await asyncio.to_thread(_answer, params, points)


def _ends(params: Metrics, first: int, last: int) -> list[int]:
    """Return the last hour of each interval between two hours. Raises ArgumentInvalid."""
    if not params.interval:
        return [last]
    width = _HOURS[params.interval]
    ends = [start + width - 1 for start in range(first // width * width, last + 1, width)]
    if len(ends) > POINTS_MAX:
        raise ArgumentInvalid.for_param(
            "interval", f"The time has more than {POINTS_MAX:,} intervals"
        )
    return ends


def _standing(made: list[Value], ends: list[int]) -> Iterator[Value]:
    """Yield the total of each function at the end of each interval (an hour)."""
    made = sorted(made, key=lambda value: value[1])
    totals: dict[str, float] = {}
    place = 0
    for at in ends:
        while place < len(made) and made[place][1] <= at:
            function_id, _, number = made[place]
            totals[function_id] = totals.get(function_id, 0) + number
            place += 1
        yield from ((function_id, at, total) for function_id, total in totals.items())


def _time(params: Metrics) -> tuple[int, int]:
    """Return the first and the last instant. Raises ArgumentInvalid."""
    end = int(time.time() * 1000) if params.end_at is None else params.end_at
    start = max(0, end - DEFAULT_MS) if params.start_at is None else params.start_at
    if not params.metrics:
        raise ArgumentInvalid.for_param("metrics", "Value must name at least one metric")
    if start > end:
        raise ArgumentInvalid.for_param("endAt", "The time must not end before it begins")
    return start, end


def _summed(values: Iterable[Value], params: Metrics, end: int) -> list[dict[str, Any]]:
    """Return a point for each interval, split by function if asked for, in the given order."""
    width = _HOURS[params.interval] if params.interval else 0
    sums: dict[tuple[int, str], float] = {}
    for function_id, hour, number in values:
        at = hour // width * width * HOUR_MS if width else end
        key = (at, function_id if "resourceId" in params.dimensions else "")
        sums[key] = sums.get(key, 0) + number
    points: list[dict[str, Any]] = [
        {
            "time": format_instant(at),
            "value": round(total),
            **({"resource": "function"} if "resource" in params.dimensions else {}),
            **({"resourceId": function_id} if "resourceId" in params.dimensions else {}),
        }
        for (at, function_id), total in sorted(sums.items())
    ]
    points.sort(key=lambda point: point[params.order_by], reverse=params.order_dir == "desc")
    return points[params.offset : params.offset + params.limit]


def _answer(params: Metrics, points: Callable[[str], list[dict[str, Any]]]) -> ASGIApp:
    interval = {1: "1h", 24: "1d"}[_HOURS[params.interval]] if params.interval else ""
    series = [{"metric": metric, "points": points(metric)} for metric in params.metrics]
    return json_answer({"interval": interval, "metrics": series})


OPERATIONS = (
    Operation(
        name="usage.listEvents",
        method="GET",
        path="/usage/events",
        scopes=USAGE_READ,
        params=Metrics,
        handler=list_events,
        errors=(QueryInvalid,),
    ),
    Operation(
        name="usage.listGauges",
        method="GET",
        path="/usage/gauges",
        scopes=USAGE_READ,
        params=Metrics,
        handler=list_gauges,
        errors=(QueryInvalid,),
    ),
)
