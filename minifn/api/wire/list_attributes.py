"""Wire names of the attributes that each list can be filtered and ordered by.

Names of every response format are accepted (`deployment` and `deploymentId`, `size` and
`sourceSize`).
"""

from collections.abc import Mapping

from minifn.store import attributes
from minifn.store.queries import Attributes

_BASE = {
    "$id": "id",
    "$sequence": "sequence",
    "$createdAt": "created_at",
    "$updatedAt": "updated_at",
}


def _named(known: Attributes, names: Mapping[str, str]) -> Attributes:
    return {wire_name: known[name] for wire_name, name in names.items()}


FUNCTIONS = _named(
    attributes.FUNCTIONS,
    {
        **_BASE,
        "name": "name",
        "enabled": "enabled",
        "runtime": "runtime",
        "deployment": "deployment_id",
        "deploymentId": "deployment_id",
        "schedule": "schedule",
        "interval": "interval_minutes",
        "scheduleNext": "schedule_next",
        "schedulePrevious": "schedule_previous",
        "timeout": "timeout_seconds",
        "entrypoint": "entrypoint",
        "commands": "commands",
        "installationId": "installation_id",
    },
)

DEPLOYMENTS = _named(
    attributes.DEPLOYMENTS,
    {
        **_BASE,
        "size": "source_size_bytes",
        "sourceSize": "source_size_bytes",
        "buildSize": "build_size_bytes",
        "totalSize": "total_size_bytes",
        "buildId": "build_id",
        "buildTime": "build_duration_seconds",
        "buildDuration": "build_duration_seconds",
        "status": "status",
        "activate": "activate",
        "entrypoint": "entrypoint",
        "commands": "commands",
        "type": "type",
    },
)

_EXECUTION = {
    **_BASE,
    "trigger": "trigger",
    "status": "status",
    "responseStatusCode": "response_status_code",
    "duration": "duration_seconds",
    "requestMethod": "request_method",
    "requestPath": "request_path",
    "deploymentId": "deployment_id",
}
EXECUTIONS = _named(attributes.EXECUTIONS, _EXECUTION)
ALL_EXECUTIONS = _named(attributes.ALL_EXECUTIONS, {**_EXECUTION, "functionId": "function_id"})

VARIABLES = _named(
    attributes.VARIABLES,
    {
        **_BASE,
        "key": "key",
        "resourceId": "function_id",
        "resourceType": "resource_type",
        "secret": "secret",
    },
)

KEYS = _named(
    attributes.KEYS,
    {
        **_BASE,
        "name": "name",
        "expire": "expire_at",
        "accessedAt": "accessed_at",
        "scopes": "scopes",
    },
)

USAGE = _named(attributes.USAGE, {"resource": "resource", "resourceId": "resource_id"})

RULES = _named(
    attributes.RULES,
    {
        **_BASE,
        "domain": "domain",
        "resourceId": "function_id",
        "resourceType": "resource_type",
        "deploymentId": "deployment_id",
        "deploymentResourceId": "function_id",
        "deploymentResourceType": "deployment_resource_type",
        "deploymentVcsProviderBranch": "branch",
        "type": "type",
        "trigger": "trigger",
        "protocol": "protocol",
        "status": "status",
    },
)
