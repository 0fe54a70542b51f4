"""Event names: which may be subscribed to, which can happen, and which subscriptions an event has.

An event is `type.id`, repeated for resources inside resources, then an action and perhaps an
attribute: `users.42.create`, `users.42.update.email`,
`databases.*.collections.*.documents.*.create`. The catalogue follows Appwrite's
`app/config/events.php`, the rule its `src/Appwrite/Event/Validator/Event.php`, and the names of an
event its `src/Appwrite/Event/Event.php`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

#: Pattern of a part in the name of an embedding app's own events.
_OWN_PART = re.compile(r"\*|[A-Za-z0-9][A-Za-z0-9_-]*")
_MAX_PARTS = 7
#: Number of ids in an event -> the sets of ids that become `*`, in Appwrite's order; the names with
#: no and with every id replaced come before.
_MIXES: Mapping[int, tuple[frozenset[int], ...]] = {
    1: (),
    2: (frozenset({1}), frozenset({0})),
    3: (
        frozenset({1}),
        frozenset({0, 1}),
        frozenset({0}),
        frozenset({2}),
        frozenset({0, 2}),
        frozenset({1, 2}),
    ),
}


@dataclass(frozen=True)
class Resource:
    """A type of resource with events: its actions, their attributes, and the types inside it."""

    actions: Mapping[str, frozenset[str]]
    inside: Mapping[str, "Resource"] = field(default_factory=dict)


def _actions(names: str, **attributes: str) -> dict[str, frozenset[str]]:
    return {name: frozenset(attributes.get(name, "").split()) for name in names.split()}


_WRITES = "create delete update"
_DATABASE_PARTS = {
    plural: Resource(
        _actions(_WRITES),
        {
            row: Resource(_actions(_WRITES)),
            "indexes": Resource(_actions("create delete")),
            column: Resource(_actions("create delete")),
        },
    )
    for plural, row, column in (
        ("collections", "documents", "attributes"),
        ("tables", "rows", "columns"),
    )
}
#: The types Appwrite knows. `functions` is missing because its events cannot be subscribed to.
CATALOGUE: Mapping[str, Resource] = {
    "users": Resource(
        _actions(_WRITES, update="email name password status prefs"),
        {
            "sessions": Resource(_actions("create delete")),
            "recovery": Resource(_actions("create update")),
            "verification": Resource(_actions("create update")),
            "targets": Resource(_actions(_WRITES)),
            "tokens": Resource(_actions("create")),
        },
    ),
    "databases": Resource(_actions(_WRITES), _DATABASE_PARTS),
    "buckets": Resource(_actions(_WRITES), {"files": Resource(_actions(_WRITES))}),
    "teams": Resource(
        _actions(_WRITES, update="prefs"),
        {"memberships": Resource(_actions(_WRITES, update="status"))},
    ),
    "sites": Resource(_actions(_WRITES), {"deployments": Resource(_actions(_WRITES))}),
    "messages": Resource(_actions("create update")),
    "topics": Resource(_actions(_WRITES), {"subscribers": Resource(_actions("create delete"))}),
    "providers": Resource(_actions(_WRITES)),
    "rules": Resource(_actions(_WRITES)),
}


def is_subscribable(name: str) -> bool:
    """Tell whether a function may have `name` among its events.

    Types of the catalogue are checked against it. `functions` is refused, because a function that
    its own executions trigger would run without end. Other types are an embedding app's own and
    need only be well formed, with an action.
    """
    parts = name.split(".")
    if not 2 <= len(parts) <= _MAX_PARTS or not all(parts[:2]) or parts[0] == "functions":
        return False
    resource = CATALOGUE.get(parts[0])
    if resource is None:
        return len(parts) >= 3 and all(_OWN_PART.fullmatch(part) for part in parts)
    rest = parts[2:]
    while len(rest) >= 2 and rest[0] in resource.inside:
        if not rest[1]:
            return False
        resource, rest = resource.inside[rest[0]], rest[2:]
    if not rest:
        return True
    if rest[0] in resource.inside:
        return len(rest) == 1
    if rest[0] not in resource.actions or len(rest) > 2:
        return False
    return len(rest) == 1 or rest[1] in resource.actions[rest[0]]


def is_event(name: str) -> bool:
    """Tell whether the event `name` can happen: subscribable, no `*`, and with an action."""
    parts = name.split(".")
    if "*" in parts or not is_subscribable(name):
        return False
    return parts[0] not in CATALOGUE or (
        len(parts) > 2 and parts[_ids(parts) * 2] in _WRITES.split()
    )


def names(parts: Sequence[str]) -> tuple[str, ...]:
    """Return every name of an event, given the parts of its full name, which comes first.

    The names are those with its attribute, with its action, without, and of each resource around
    it; each with all its ids, with `*` for all of them, and with every mix. One id gives four
    names, two give ten, three give twenty-two; an attribute adds two, four or eight.
    """
    ids = _ids(parts)
    every = frozenset(range(ids))
    found: dict[str, None] = {}
    for length in (*range(len(parts), ids * 2, -1), *range(ids * 2, 0, -2)):
        for hidden in (frozenset[int](), every, *_MIXES[ids]):
            shown = [
                "*" if place % 2 and place // 2 in hidden else part
                for place, part in enumerate(parts[:length])
            ]
            found[".".join(shown)] = None
    return tuple(found)


def _ids(parts: Sequence[str]) -> int:
    """Return the number of ids in an event's parts, with or without an attribute at the end."""
    return (len(parts) - 1) // 2
