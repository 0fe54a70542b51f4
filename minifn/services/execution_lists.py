"""Lists of executions for programs: filters by value, and pages read when they are needed."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime

from minifn.models import Execution, ExecutionStatus, Trigger
from minifn.store import executions
from minifn.store.attributes import EXECUTIONS
from minifn.store.database import Database
from minifn.store.queries import Comparison, Filter, Method, Order, Query

#: Executions of one page; their logs may be long.
PAGE_ROWS = 50


def query_of(
    status: ExecutionStatus | None, trigger: Trigger | None, since: datetime | None
) -> Query:
    """Return the query of the newest executions that fit; None = any."""
    equal = {"status": status, "trigger": trigger}
    filters: list[Filter] = [
        Comparison(Method.EQUAL, EXECUTIONS[name], (value,))
        for name, value in equal.items()
        if value is not None
    ]
    if since is not None:
        at = (int(since.timestamp() * 1000),)
        filters.append(Comparison(Method.GREATER_THAN_EQUAL, EXECUTIONS["created_at"], at))
    return Query(filters=tuple(filters), orders=(Order(descending=True),), limit=PAGE_ROWS)


async def each(database: Database, function_id: str, query: Query) -> AsyncIterator[Execution]:
    """Yield the executions of a query, page by page; with the function id "" of all functions.

    The next page begins below the last row and not at its id: it may be deleted meanwhile.
    """
    page = query
    while True:
        if function_id:
            found = await database.read_list(executions.page, function_id, page, count=False)
        else:
            found = await database.read_list(executions.page_of_all, page, count=False)
        for execution in found.items:
            yield execution
        if len(found.items) < query.limit:
            return
        last = (found.items[-1].sequence,)
        below = Comparison(Method.LESS_THAN, EXECUTIONS["sequence"], last)
        page = replace(query, filters=(*query.filters, below))
