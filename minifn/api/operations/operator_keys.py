"""API keys for the operator: as below `/project/keys`, with the functions that they may touch."""

from typing import Annotated, Any

from starlette.types import ASGIApp

from minifn.api.wire import responses
from minifn.api.wire.answers import json_answer, no_content
from minifn.api.wire.kinds import SCOPE_NAMES, Instant
from minifn.api.wire.operation import PROJECTS_READ, PROJECTS_WRITE, Call, Operation
from minifn.api.wire.params import Id, Limits, ListOf, NoParams, Params, Text
from minifn.errors import KeyNotFound
from minifn.ids import is_reach
from minifn.models import ApiKey


class Reach:
    """A function's id, or the beginning of ids and a `*`."""

    def check(self, value: Any, limits: Limits) -> str:
        if isinstance(value, str) and is_reach(value):
            return value
        raise ValueError("Value must be the id of a function, or the beginning of ids and a *")

    def schema(self, limits: Limits) -> dict[str, Any]:
        return {"type": "string", "maxLength": 37, "example": "class1-*"}


class CreateKey(Params, frozen=True, kw_only=True):
    """A new API key; without `functions` for all, without `expire` for ever."""

    name: Annotated[str, Text(128)]
    scopes: Annotated[tuple[str, ...], SCOPE_NAMES]
    functions: Annotated[tuple[str, ...], ListOf(Reach())] = ()
    expire: Annotated[int | None, Instant()] = None


class OneKey(Params, frozen=True, kw_only=True):
    """An API key's id."""

    key_id: Annotated[str, Id()]


def _described(key: ApiKey, secret: str = "") -> dict[str, Any]:
    answer = {**responses.api_key(key, secret), "functions": key.functions}
    if not secret:
        del answer["secret"]
    return answer


async def list_keys(call: Call, params: NoParams) -> ASGIApp:
    """List every API key with its scopes, its functions and its last use."""
    keys = await call.parts.keys.list()
    return json_answer(responses.listing("keys", len(keys), map(_described, keys)))


async def create_key(call: Call, params: CreateKey) -> ASGIApp:
    """Create an API key, perhaps for some functions; its secret is in this answer alone."""
    key, secret = await call.parts.keys.create(
        params.name, params.scopes, expire_at=params.expire or 0, functions=params.functions
    )
    return json_answer(_described(key, secret), 201)


async def delete_key(call: Call, params: OneKey) -> ASGIApp:
    """Delete an API key; requests with it are refused from now on."""
    if not await call.parts.keys.delete(params.key_id):
        raise KeyNotFound
    return no_content()


OPERATIONS = (
    Operation(
        name="minifn.listKeys",
        method="GET",
        path="/minifn/keys",
        scopes=PROJECTS_READ,
        params=NoParams,
        handler=list_keys,
        needs_project=False,
    ),
    Operation(
        name="minifn.createKey",
        method="POST",
        path="/minifn/keys",
        scopes=PROJECTS_WRITE,
        params=CreateKey,
        handler=create_key,
        needs_project=False,
    ),
    Operation(
        name="minifn.deleteKey",
        method="DELETE",
        path="/minifn/keys/{keyId}",
        scopes=PROJECTS_WRITE,
        params=OneKey,
        handler=delete_key,
        errors=(KeyNotFound,),
        needs_project=False,
    ),
)
