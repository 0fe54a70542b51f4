"""The queries of lists, read for the client's version."""

from collections.abc import Sequence

from minifn.api.wire import responses
from minifn.api.wire.formats import Shape
from minifn.errors import ArgumentInvalid
from minifn.models import Deployment
from minifn.store.lists import DEPLOYMENTS
from minifn.store.queries import Attributes, Query, parse

#: What a deployment has for clients to select.
_OF_DEPLOYMENTS = frozenset(responses.deployment(Deployment(id="", function_id=""), Shape.FULL))


def read_query(
    texts: Sequence[str], attributes: Attributes, shape: Shape, search: str = ""
) -> Query:
    """Return the checked query; clients before 1.5 write textual ones.

    Raises ArgumentInvalid, also for a `select` on another list than the deployments of 1.9, and QueryInvalid.
    """
    selectable = _OF_DEPLOYMENTS if attributes is DEPLOYMENTS else ()
    query = parse(
        texts, attributes, search=search, legacy=shape < Shape.V1_5, selectable=selectable
    )
    if query.select and (attributes is not DEPLOYMENTS or shape < Shape.V1_9):
        raise ArgumentInvalid.for_param("queries", "Invalid query method: select")
    return query
