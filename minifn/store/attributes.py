"""Attributes that each list can be filtered and ordered by."""

from minifn.instants import MAX_INSTANT_MS
from minifn.store import late_indexes
from minifn.store.queries import Attribute, Attributes, Kind


def _columns(kind: Kind, names: str) -> dict[str, Attribute]:
    """Return attributes that are named as their columns; `names` are separated by spaces."""
    return {name: Attribute(name, kind) for name in names.split()}


_BASE: Attributes = {
    **_columns(Kind.STRING, "id"),
    **_columns(Kind.INTEGER, "sequence"),
    **_columns(Kind.INSTANT, "created_at updated_at"),
}

FUNCTIONS: Attributes = {
    **_BASE,
    **_columns(
        Kind.STRING,
        "name runtime deployment_id schedule entrypoint commands installation_id",
    ),
    **_columns(Kind.BOOLEAN, "enabled"),
    **_columns(Kind.INTEGER, "interval_minutes timeout_seconds"),
    # NULL before the first run is planned, and when there will never be one.
    "schedule_next": Attribute(f"NULLIF(NULLIF(schedule_next, 0), {MAX_INSTANT_MS})", Kind.INSTANT),
    "schedule_previous": Attribute("NULLIF(schedule_previous, 0)", Kind.INSTANT),
}

DEPLOYMENTS: Attributes = {
    **_BASE,
    **_columns(Kind.STRING, "build_id status entrypoint commands type"),
    **_columns(Kind.BOOLEAN, "activate"),
    **_columns(Kind.INTEGER, "source_size_bytes build_size_bytes build_duration_seconds"),
    "total_size_bytes": Attribute("(source_size_bytes + build_size_bytes)", Kind.INTEGER),
}

EXECUTIONS: Attributes = {
    name: Attribute(name, kind, late_indexes.index_of(name))
    for kind, names in (
        (
            Kind.STRING,
            ("id", "trigger", "status", "request_method", "request_path", "deployment_id"),
        ),
        (Kind.INSTANT, ("created_at", "updated_at")),
        (Kind.INTEGER, ("response_status_code",)),
        (Kind.FLOAT, ("duration_seconds",)),
    )
    for name in names
} | {"sequence": Attribute("sequence", Kind.INTEGER, late_indexes.BY_FUNCTION)}

#: Attributes of the executions of all functions.
ALL_EXECUTIONS: Attributes = {**EXECUTIONS, **_columns(Kind.STRING, "function_id")}

VARIABLES: Attributes = {
    **_BASE,
    **_columns(Kind.STRING, "key function_id"),
    **_columns(Kind.BOOLEAN, "secret"),
    "resource_type": Attribute(
        "CASE function_id WHEN '' THEN 'project' ELSE 'function' END", Kind.STRING
    ),
}

KEYS: Attributes = {
    **_BASE,
    **_columns(Kind.STRING, "name scopes"),
    "expire_at": Attribute("NULLIF(expire_at, 0)", Kind.INSTANT),
    "accessed_at": Attribute("NULLIF(accessed_at, 0)", Kind.INSTANT),
}

#: Attributes of functions, joined to their usage.
USAGE: Attributes = {
    "resource": Attribute("'function'", Kind.STRING),
    "resource_id": Attribute("functions.id", Kind.STRING),
}

RULES: Attributes = {
    **_BASE,
    **_columns(Kind.STRING, "domain function_id branch type"),
    "resource_type": Attribute("CASE type WHEN 'api' THEN 'api' ELSE 'function' END", Kind.STRING),
    "deployment_id": Attribute("''", Kind.STRING),
    "deployment_resource_type": Attribute(
        "CASE type WHEN 'api' THEN NULL ELSE 'function' END", Kind.STRING
    ),
    "trigger": Attribute("'manual'", Kind.STRING),
    "protocol": Attribute("'http'", Kind.STRING),
    "status": Attribute("'verified'", Kind.STRING),
}
