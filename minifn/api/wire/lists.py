"""The queries of lists, read for the client's version."""

from collections.abc import Sequence

from minifn.api.wire.formats import Shape
from minifn.errors import ArgumentInvalid
from minifn.store.lists import DEPLOYMENTS
from minifn.store.queries import Attributes, Query, parse


def read_query(texts: Sequence[str], attributes: Attributes, shape: Shape, search: str = "") -> Query:
    """Return the checked query; clients before 1.5 write textual ones.

    Raises ArgumentInvalid, also for a `select` on another list than the deployments of 1.9, and QueryInvalid.
    """
    query = parse(texts, attributes, search=search, legacy=shape < Shape.V1_5)
    if query.select and (attributes is not DEPLOYMENTS or shape < Shape.V1_9):
        raise ArgumentInvalid.for_param("queries", "Invalid query method: select")
    return query
