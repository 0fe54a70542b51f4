"""Describes the API as an OpenAPI document, from the declarations that answer requests.

Records have their newest shape here, with the keys of every version. A client that names an older
version in `x-appwrite-response-format` gets fewer keys.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from starlette.types import ASGIApp

from minifn import __version__
from minifn.api.access.callers import GUEST_SCOPES, USER_SCOPES
from minifn.api.hosts import mount_of
from minifn.api.wire import responses
from minifn.api.wire.answers import Answer
from minifn.api.wire.event_stream import CONTENT_TYPE
from minifn.api.wire.formats import Shape
from minifn.api.wire.operation import PUBLIC, Call, Operation
from minifn.api.wire.params import Field, Limits, NoParams, fields_of
from minifn.errors import (
    AccessForbidden,
    ApiKeyExpired,
    ArgumentInvalid,
    ProjectKeyExpired,
    ProjectNotFound,
    UnauthorizedScope,
    UnknownOrigin,
    UserApiKeyAndSessionSet,
    UserJwtInvalid,
)
from minifn.languages import Runtime
from minifn.models import SPECIFICATIONS, ApiKey, Deployment, Execution, Function, Rule, Variable

#: Errors of every operation: about the caller, the project and the query string.
COMMON_ERRORS = (
    ArgumentInvalid,
    AccessForbidden,
    ApiKeyExpired,
    ProjectKeyExpired,
    UnauthorizedScope,
    UserJwtInvalid,
    UserApiKeyAndSessionSet,
    ProjectNotFound,
)
#: Errors of operations that change something.
CHANGE_ERRORS = (UnknownOrigin,)

_SECURITY = {
    "Project": ("X-Appwrite-Project", "header", "The project's id."),
    "Key": ("X-Appwrite-Key", "header", "An API key with the operation's scope, or the admin key."),
    "JWT": ("X-Appwrite-JWT", "header", "A user's JWT."),
    "Session": ("X-Appwrite-Session", "header", "A user's session."),
}
#: Schemas of an error's keys.
_ERROR = {
    "message": {"type": "string"},
    "code": {"type": "integer"},
    "type": {"type": "string"},
    "version": {"type": "string"},
}
#: Leaves the members of a document undecoded.
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_PATH_PARAM = re.compile(r"\{(\w+)\}")


def _samples() -> dict[str, dict[str, Any]]:
    """Return one record of every model as JSON, from which its schema is inferred."""
    full = Shape.FULL
    runtime = Runtime(
        id="", key="", name="", version="", base="", image="", logo="", supports=("",)
    )
    variable = responses.variable(Variable(id="", function_id="", key="", value=""), full)
    lists = ("execute", "scopes", "events", "provider_branches", "provider_paths")
    function = msgspec.structs.replace(
        Function(id="", name="", runtime=""), **dict.fromkeys(lists, ("",))
    )
    headers = (("", ""),)
    execution = Execution(
        id="", function_id="", user_id="u", request_headers=headers, response_headers=headers
    )
    return {
        "function": {**responses.function(function, (), full), "vars": [variable]},
        "deployment": responses.deployment(Deployment(id="", function_id=""), full),
        "execution": msgspec.to_builtins(responses.execution(execution, full, privileged=True)),
        "variable": variable,
        "runtime": responses.runtime(runtime, full),
        "specification": responses.specification(SPECIFICATIONS[0]),
        "key": {
            **responses.api_key(ApiKey(id="", name="", secret_hash="", scopes=("",))),
            "sdks": [""],
        },
        # Null in the API's own rules.
        "rule": {**responses.rule(Rule(id="", domain=""), full), "deploymentResourceType": None},
    }


def _inferred(value: Any) -> dict[str, Any]:
    """Return the schema of a sample."""
    if isinstance(value, bool):
        return {"type": "boolean"}
    if isinstance(value, int | float):
        return {"type": "number"}
    if isinstance(value, str):
        return {"type": "string"}
    if isinstance(value, dict):
        return {
            "type": "object",
            "properties": {key: _inferred(item) for key, item in value.items()},
        }
    if value is None:
        return {"type": ["string", "null"]}
    return {"type": "array", "items": _inferred(value[0])}


def document(operations: Iterable[Operation], limits: Limits) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of `operations`."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(
            operation, limits
        )
    samples: dict[str, Any] = msgspec.to_builtins(_samples())
    schemas = {name: _inferred(sample) for name, sample in samples.items()}
    schemas["error"] = {"type": "object", "required": list(_ERROR), "properties": _ERROR}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "minifn",
            "version": __version__,
            "description": "Appwrite Functions in one process.",
        },
        "servers": [{"url": "/v1"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                name: {"type": "apiKey", "name": header, "in": place, "description": description}
                for name, (header, place, description) in _SECURITY.items()
            },
        },
    }


def _operation(operation: Operation, limits: Limits) -> dict[str, Any]:
    in_path = _PATH_PARAM.findall(operation.path)
    fields = [field for field in fields_of(operation.params) if field.wire_name not in in_path]
    known = {field.wire_name: field.kind.schema(limits) for field in fields_of(operation.params)}
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": known.get(name, {"type": "string"}),
        }
        for name in in_path
    ]
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.name.partition(".")[0]],
        "summary": (operation.handler.__doc__ or "").partition("\n")[0],
        "security": list(_security(operation)),
        "responses": _responses(operation),
    }
    if operation.scopes:
        described["description"] = f"Scope: {' or '.join(operation.scopes)}."
    if operation.method in ("GET", "HEAD"):
        parameters += [_query(field, limits) for field in fields]
    elif fields or operation.upload:
        described["requestBody"] = _body(operation, fields, limits)
    return {**described, "parameters": parameters}


def _query(field: Field, limits: Limits) -> dict[str, Any]:
    schema = _schema(field, limits)
    name = f"{field.wire_name}[]" if schema["type"] == "array" else field.wire_name
    return {"name": name, "in": "query", "required": field.required, "schema": schema}


def _body(operation: Operation, fields: list[Field], limits: Limits) -> dict[str, Any]:
    properties = {field.wire_name: _schema(field, limits) for field in fields}
    required = [field.wire_name for field in fields if field.required]
    content_type = "application/json"
    if operation.upload:
        content_type = "multipart/form-data"
        properties["code"] = {
            "type": "string",
            "format": "binary",
            "description": "The code, a .tar.gz or .zip archive.",
        }
        required.append("code")
    schema = {"type": "object", "properties": properties, "required": required}
    return {"required": bool(required), "content": {content_type: {"schema": schema}}}


def _schema(field: Field, limits: Limits) -> dict[str, Any]:
    schema = dict(field.kind.schema(limits))
    if isinstance(field.default, str | int | bool):
        schema["default"] = (
            min(field.default, schema["maximum"]) if "maximum" in schema else field.default
        )
    elif field.default == () and schema["type"] == "array":
        schema["default"] = []
    return schema


def _security(operation: Operation) -> Iterator[dict[str, list[str]]]:
    if not operation.needs_project and not operation.scopes:
        yield {}
        return
    yield {"Project": [], "Key": []}
    if operation.presigned:
        yield {"Project": []}
    if not operation.scopes or not USER_SCOPES.isdisjoint(operation.scopes):
        yield {"Project": [], "JWT": []}
        yield {"Project": [], "Session": []}
    if not operation.scopes or not GUEST_SCOPES.isdisjoint(operation.scopes):
        yield {"Project": []}


def _responses(operation: Operation) -> dict[str, Any]:
    usual = {"POST": 201, "DELETE": 204}.get(operation.method, 200)
    answers: dict[str, Any] = {
        str(status): {"description": "Nothing."}
        if status == 204
        else {
            "description": "The answer.",
            "content": {kind: {"schema": _answered(operation)} for kind in operation.content_types},
        }
        for status in operation.statuses or (usual,)
    }
    refusals: dict[int, set[str]] = {}
    changing = CHANGE_ERRORS if operation.method not in ("GET", "HEAD") else ()
    for error in (*COMMON_ERRORS, *changing, *operation.errors):
        refusals.setdefault(error.code, set()).add(error.type)
    for code, types in sorted(refusals.items()):
        answers[str(code)] = {
            "description": ", ".join(sorted(types)),
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/error"}}},
        }
    # The server itself refuses malformed requests and URLs above 64 KiB, with plain text.
    answers["400"]["content"]["text/plain"] = {"schema": {"type": "string"}}
    return answers


def _answered(operation: Operation) -> dict[str, Any]:
    if CONTENT_TYPE in operation.content_types:
        # A schema would be that of each event, whose name decides its content.
        return {}
    if "application/json" not in operation.content_types:
        return {"type": "string"}
    model = operation.model
    if not model:
        return {"type": "object"}
    if not model.endswith("s"):
        return {"$ref": f"#/components/schemas/{model}"}
    items = {"type": "array", "items": {"$ref": f"#/components/schemas/{model[:-1]}"}}
    return {
        "type": "object",
        "required": ["total", model],
        "properties": {"total": {"type": "integer"}, model: items},
    }


async def get(call: Call, params: NoParams) -> ASGIApp:
    """Return the OpenAPI document of this API."""
    made = call.context.made
    if "openapi" not in made:
        made["openapi"] = msgspec.json.encode(
            document(call.context.operations, call.context.limits)
        )
    described = _decode(made["openapi"])
    servers = {"servers": [{"url": f"{mount_of(call.scope)}/v1"}]}
    content = msgspec.json.encode({**described, **servers})
    return Answer(200, content, [(b"content-type", b"application/json; charset=UTF-8")])


OPERATIONS = (
    Operation(
        name="openapi.get",
        method="GET",
        path="/openapi.json",
        scopes=PUBLIC,
        params=NoParams,
        handler=get,
        needs_project=False,
    ),
)
