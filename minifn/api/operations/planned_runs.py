"""The schedule of all functions: what ran lately, and what runs next."""

import asyncio
import itertools
from typing import Annotated, Any

from starlette.types import ASGIApp

from minifn import cron
from minifn.api.wire.answers import json_answer
from minifn.api.wire.operation import FUNCTIONS_READ, Call, Operation
from minifn.api.wire.params import Integer, Params, Text
from minifn.errors import ArgumentInvalid
from minifn.instants import format_instant, now_ms
from minifn.models import Function
from minifn.services import planned_runs
from minifn.store import schedules

#: Longest time that is shown: a week.
HOURS_MAX = 168
#: Next runs of each function.
NEXT = 5
HOUR_MS = 3_600_000


class GetSchedule(Params, frozen=True, kw_only=True):
    """The hours that are shown before and after now."""

    hours: Annotated[int, Integer(1, HOURS_MAX)] = 24


class NextRuns(Params, frozen=True, kw_only=True):
    """A cron expression."""

    expression: Annotated[str, Text(128)]


async def get(call: Call, params: GetSchedule) -> ASGIApp:
    """Return the runs of schedules in the last and the next `hours`."""
    now, span = now_ms(), params.hours * HOUR_MS
    database, reach = call.parts.database, call.caller.reach
    functions = await database.read(schedules.recurring, reach)
    ran = await database.read(schedules.ran, [one.sequence for one in functions], now - span)
    soon = await asyncio.to_thread(planned_runs.soonest, functions, now, now + span)
    past = [
        {
            "functionId": one.function_id,
            "at": format_instant(one.created_at),
            "past": True,
            "status": one.status,
            "executionId": one.id,
        }
        for one in ran
    ]
    coming = [
        {
            "functionId": name,
            "at": format_instant(at),
            "past": False,
            "status": "",
            "executionId": "",
        }
        for at, name in soon
    ]
    shown = await asyncio.to_thread(_next_of_each, functions, now)
    answer = {"now": format_instant(now), "runs": [*past, *coming], "functions": shown}
    return json_answer(answer)


def _next_of_each(functions: list[Function], now: int) -> list[dict[str, Any]]:
    return [
        {
            "functionId": one.id,
            "schedule": one.schedule or f"every {one.interval_minutes} minutes",
            "next": [
                format_instant(at) for at in itertools.islice(planned_runs.runs_of(one, now), NEXT)
            ],
        }
        for one in functions
    ]


async def next_runs(call: Call, params: NextRuns) -> ASGIApp:
    """Return the next five runs of a cron expression, or the rule that it breaks."""
    try:
        cron.parse(params.expression)
    except ValueError as exc:
        raise ArgumentInvalid.for_param("expression", str(exc)) from exc
    runs = planned_runs.next_runs(params.expression, now_ms())
    found = await asyncio.to_thread(lambda: list(itertools.islice(runs, NEXT)))
    return json_answer({"next": [format_instant(at) for at in found]})


OPERATIONS = (
    Operation(
        name="minifn.getSchedule",
        method="GET",
        path="/minifn/schedule",
        scopes=FUNCTIONS_READ,
        params=GetSchedule,
        handler=get,
        needs_project=False,
        for_restricted=True,
        keys_only=True,
    ),
    Operation(
        name="minifn.listNextRuns",
        method="GET",
        path="/minifn/cron",
        scopes=FUNCTIONS_READ,
        params=NextRuns,
        handler=next_runs,
        needs_project=False,
        for_restricted=True,
        keys_only=True,
    ),
)
