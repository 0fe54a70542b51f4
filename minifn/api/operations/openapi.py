"""The API described as an OpenAPI document, made of the same declarations that answer requests.

Records are described in their newest shape, which has the keys of every version; a client that names an older version
in `x-appwrite-response-format` gets fewer.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from starlette.types import ASGIApp

from minifn import __version__
from minifn.api.hosts import mount_of
from minifn.api.wire import responses
from minifn.api.wire.answers import Answer
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

#: What every operation may refuse with: who is calling, for which project, with which query string.
_ALWAYS = (
    ArgumentInvalid,
    AccessForbidden,
    ApiKeyExpired,
    ProjectKeyExpired,
    UnauthorizedScope,
    UserJwtInvalid,
    UserApiKeyAndSessionSet,
    ProjectNotFound,
)
#: And those that change something.
_CHANGING = (UnknownOrigin,)
#: Scopes that clients without an API key have.
_CLIENT_SCOPES = frozenset({"execution.read", "execution.write"})

_SECURITY = {
    "Project": ("X-Appwrite-Project", "header", "The project's id."),
    "Key": ("X-Appwrite-Key", "header", "An API key with the operation's scope, or the admin key."),
    "JWT": ("X-Appwrite-JWT", "header", "A user's JWT."),
    "Session": ("X-Appwrite-Session", "header", "A user's session."),
}
#: Leaves the members of a document as they are.
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_PATH_PARAM = re.compile(r"\{(\w+)\}")


def _samples() -> dict[str, dict[str, Any]]:
    """Return one record of every model as the API answers with it; their schemas are read off them."""
    full = Shape.FULL
    runtime = Runtime(
        id="", key="", name="", version="", base="", image="", logo="", supports=("",)
    )
    variable = responses.variable(Variable(id="", function_id="", key="", value=""), full)
    texts = {
        "execute": ("",),
        "scopes": ("",),
        "events": ("",),
        "provider_branches": ("",),
        "provider_paths": ("",),
    }
    function = responses.function(
        msgspec.structs.replace(Function(id="", name="", runtime=""), **texts), (), full
    )
    headers = (("", ""),)
    execution = Execution(
        id="", function_id="", user_id="u", request_headers=headers, response_headers=headers
    )
    return {
        "function": {**function, "vars": [variable]},
        "deployment": responses.deployment(Deployment(id="", function_id=""), full),
        "execution": responses.execution(execution, full, privileged=True),
        "variable": variable,
        "runtime": responses.runtime(runtime, full),
        "specification": responses.specification(SPECIFICATIONS[0]),
        "key": {
            **responses.api_key(ApiKey(id="", name="", secret_hash="", scopes=("",))),
            "sdks": [""],
        },
        # Null in the rules of the API.
        "rule": {**responses.rule(Rule(id="", domain=""), full), "deploymentResourceType": None},
    }


def _inferred(value: Any) -> dict[str, Any]:
    """Return the schema that a sample has."""
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
    schemas = {name: _inferred(sample) for name, sample in _samples().items()}
    fields = {
        "message": {"type": "string"},
        "code": {"type": "integer"},
        "type": {"type": "string"},
    }
    fields["version"] = {"type": "string"}
    schemas["error"] = {"type": "object", "required": list(fields), "properties": fields}
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
            "description": "The code, a .tar.gz archive.",
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
    if not operation.scopes or _CLIENT_SCOPES & set(operation.scopes):
        yield {"Project": [], "JWT": []}
        yield {"Project": [], "Session": []}
    if not operation.scopes or "execution.write" in operation.scopes:
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
    changing = _CHANGING if operation.method not in ("GET", "HEAD") else ()
    for error in (*_ALWAYS, *changing, *operation.errors):
        refusals.setdefault(error.code, set()).add(error.type)
    for code, types in sorted(refusals.items()):
        answers[str(code)] = {
            "description": ", ".join(sorted(types)),
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/error"}}},
        }
    # What is no HTTP request, or has a URL of more than 64 KiB, never gets as far as the API.
    answers["400"]["content"]["text/plain"] = {"schema": {"type": "string"}}
    return answers


def _answered(operation: Operation) -> dict[str, Any]:
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
