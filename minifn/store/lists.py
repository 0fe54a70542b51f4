"""What each list can be filtered and ordered by: wire attribute -> column, kind, index.

Names of every response format are accepted side by side (`deployment` and `deploymentId`, `size` and `sourceSize`).
"""

from minifn.instants import MAX_INSTANT_MS
from minifn.store.queries import Attribute, Kind

_BASE = {
    "$id": Attribute("id", Kind.STRING),
    "$sequence": Attribute("sequence", Kind.INTEGER),
    "$createdAt": Attribute("created_at", Kind.INSTANT),
    "$updatedAt": Attribute("updated_at", Kind.INSTANT),
}

FUNCTIONS = {
    **_BASE,
    "name": Attribute("name", Kind.STRING),
    "enabled": Attribute("enabled", Kind.BOOLEAN),
    "runtime": Attribute("runtime", Kind.STRING),
    "deployment": Attribute("deployment_id", Kind.STRING),
    "deploymentId": Attribute("deployment_id", Kind.STRING),
    "schedule": Attribute("schedule", Kind.STRING),
    "interval": Attribute("interval_minutes", Kind.INTEGER),
    # Null while there is none: before the first run is planned, or when there never is one.
    "scheduleNext": Attribute(f"NULLIF(NULLIF(schedule_next, 0), {MAX_INSTANT_MS})", Kind.INSTANT),
    "schedulePrevious": Attribute("NULLIF(schedule_previous, 0)", Kind.INSTANT),
    "timeout": Attribute("timeout_seconds", Kind.INTEGER),
    "entrypoint": Attribute("entrypoint", Kind.STRING),
    "commands": Attribute("commands", Kind.STRING),
    "installationId": Attribute("installation_id", Kind.STRING),
}

_TOTAL_SIZE = Attribute("(source_size_bytes + build_size_bytes)", Kind.INTEGER)
DEPLOYMENTS = {
    **_BASE,
    "size": Attribute("source_size_bytes", Kind.INTEGER),
    "sourceSize": Attribute("source_size_bytes", Kind.INTEGER),
    "buildSize": Attribute("build_size_bytes", Kind.INTEGER),
    "totalSize": _TOTAL_SIZE,
    "buildId": Attribute("build_id", Kind.STRING),
    "buildTime": Attribute("build_duration_seconds", Kind.INTEGER),
    "buildDuration": Attribute("build_duration_seconds", Kind.INTEGER),
    "status": Attribute("status", Kind.STRING),
    "activate": Attribute("activate", Kind.BOOLEAN),
    "entrypoint": Attribute("entrypoint", Kind.STRING),
    "commands": Attribute("commands", Kind.STRING),
    "type": Attribute("type", Kind.STRING),
}

EXECUTIONS = {
    "$id": Attribute("id", Kind.STRING, "executions_id"),
    "$sequence": Attribute("sequence", Kind.INTEGER, "executions_function"),
    "$createdAt": Attribute("created_at", Kind.INSTANT, "executions_created_at"),
    "$updatedAt": Attribute("updated_at", Kind.INSTANT, "executions_updated_at"),
    "trigger": Attribute("trigger", Kind.STRING, "executions_trigger"),
    "status": Attribute("status", Kind.STRING, "executions_status"),
    "responseStatusCode": Attribute(
        "response_status_code", Kind.INTEGER, "executions_response_status_code"
    ),
    "duration": Attribute("duration_seconds", Kind.FLOAT, "executions_duration_seconds"),
    "requestMethod": Attribute("request_method", Kind.STRING, "executions_request_method"),
    "requestPath": Attribute("request_path", Kind.STRING, "executions_request_path"),
    "deploymentId": Attribute("deployment_id", Kind.STRING, "executions_deployment_id"),
}

VARIABLES = {
    **_BASE,
    "key": Attribute("key", Kind.STRING),
    "resourceId": Attribute("function_id", Kind.STRING),
    "resourceType": Attribute(
        "CASE function_id WHEN '' THEN 'project' ELSE 'function' END", Kind.STRING
    ),
    "secret": Attribute("secret", Kind.BOOLEAN),
}

KEYS = {
    **_BASE,
    "name": Attribute("name", Kind.STRING),
    "expire": Attribute("NULLIF(expire_at, 0)", Kind.INSTANT),
    "accessedAt": Attribute("NULL", Kind.INSTANT),
    "scopes": Attribute("scopes", Kind.STRING),
}

#: Of functions, joined to what they used.
USAGE = {
    "resource": Attribute("'function'", Kind.STRING),
    "resourceId": Attribute("functions.id", Kind.STRING),
}

RULES = {
    **_BASE,
    "domain": Attribute("domain", Kind.STRING),
    "resourceId": Attribute("function_id", Kind.STRING),
    "resourceType": Attribute("CASE type WHEN 'api' THEN 'api' ELSE 'function' END", Kind.STRING),
    "deploymentId": Attribute("''", Kind.STRING),
    "deploymentResourceId": Attribute("function_id", Kind.STRING),
    "deploymentResourceType": Attribute(
        "CASE type WHEN 'api' THEN NULL ELSE 'function' END", Kind.STRING
    ),
    "deploymentVcsProviderBranch": Attribute("branch", Kind.STRING),
    "type": Attribute("type", Kind.STRING),
    "trigger": Attribute("'manual'", Kind.STRING),
    "protocol": Attribute("'http'", Kind.STRING),
    "status": Attribute("'verified'", Kind.STRING),
}
