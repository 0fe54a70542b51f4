"""The project of this server, and its API keys."""

import time
from typing import Annotated, Any

from starlette.types import ASGIApp

from minifn.api.operations.functions import DESCRIPTION_MAX_CHARS
from minifn.api.wire import list_attributes, responses
from minifn.api.wire.answers import json_answer, no_content
from minifn.api.wire.kinds import SCOPE_NAMES, Instant, QueryTexts
from minifn.api.wire.operation import (
    KEYS_READ,
    KEYS_WRITE,
    PROJECT_READ,
    Call,
    Operation,
)
from minifn.api.wire.params import Boolean, CustomId, Id, Integer, NoParams, Params, Text
from minifn.api.wire.queries import read_query
from minifn.errors import (
    CursorNotFound,
    DatabaseTimeout,
    KeyAlreadyExists,
    KeyCreationDenied,
    KeyNotFound,
    QueryInvalid,
    QueryOrderNull,
)
from minifn.ids import new_id
from minifn.instants import format_instant, now_ms

#: The organisation that owns the project: the operator's.
TEAM_ID = "operator"
#: Keys of a project that are always empty here.
_EMPTY_TEXTS = (
    "description logo url legalName legalCountry legalState legalCity legalAddress legalTaxId"
    " smtpSenderName smtpSenderEmail smtpReplyToName smtpReplyToEmail smtpHost smtpUsername"
    " smtpPassword smtpSecure pingedAt consoleAccessedAt"
)
_EMPTY_LISTS = (
    "oAuthProviders platforms webhooks keys labels authMethods services protocols blocks devKeys"
)


class ListKeys(Params, frozen=True, kw_only=True):
    """A page of API keys."""

    queries: Annotated[tuple[str, ...], QueryTexts()] = ()
    total: Annotated[bool, Boolean(loose=True)] = True


class OneKey(Params, frozen=True, kw_only=True):
    """An API key's id."""

    key_id: Annotated[str, Id()]


class CreateKey(Params, frozen=True, kw_only=True):
    """A new API key; without `expire` it never expires."""

    key_id: Annotated[str, CustomId()]
    name: Annotated[str, Text(128)]
    scopes: Annotated[tuple[str, ...], SCOPE_NAMES]
    expire: Annotated[int | None, Instant()] = None
    description: Annotated[str, Text(DESCRIPTION_MAX_CHARS, 0)] = ""


class UpdateKey(Params, frozen=True, kw_only=True):
    """All settings of an API key; a description that is left out stays."""

    key_id: Annotated[str, Id()]
    name: Annotated[str, Text(128)]
    scopes: Annotated[tuple[str, ...], SCOPE_NAMES]
    expire: Annotated[int | None, Instant()] = None
    description: Annotated[str | None, Text(DESCRIPTION_MAX_CHARS, 0)] = None


class CreateEphemeralKey(Params, frozen=True, kw_only=True):
    """An API key that is not stored; `duration` is its lifetime in seconds."""

    scopes: Annotated[tuple[str, ...], SCOPE_NAMES]
    duration: Annotated[int, Integer(1, 3600)]


def described(project_id: str) -> dict[str, Any]:
    """Return the project as JSON; the server stores nothing of it but its id."""
    now = format_instant(now_ms())
    return {
        "$id": project_id,
        "$createdAt": now,
        "$updatedAt": now,
        "name": project_id,
        "teamId": TEAM_ID,
        "region": "default",
        "status": "active",
        **dict.fromkeys(_EMPTY_TEXTS.split(), ""),
        **{name: [] for name in _EMPTY_LISTS.split()},
        "smtpEnabled": False,
        "wafEnabled": False,
        "smtpPort": 0,
        "pingCount": 0,
        "onboarding": {},
        "serviceStatusForFunctions": True,
    }


async def get_project(call: Call, params: NoParams) -> ASGIApp:
    """Return the project."""
    return json_answer(described(call.parts.config.project))


async def list_keys(call: Call, params: ListKeys) -> ASGIApp:
    """List the API keys, without their secrets, which are not stored."""
    query = read_query(params.queries, list_attributes.KEYS, call.shape)
    found = await call.parts.keys.page(query, count=params.total)
    items = [responses.api_key(item) for item in found.items]
    return json_answer(responses.listing("keys", found.total, items))


async def create_key(call: Call, params: CreateKey) -> ASGIApp:
    """Create an API key; its secret is in this answer alone."""
    if call.caller.scopes is not None:
        raise KeyCreationDenied
    key, secret = await call.parts.keys.create(
        params.name,
        params.scopes,
        key_id=params.key_id,
        expire_at=params.expire or 0,
        description=params.description,
    )
    return json_answer(responses.api_key(key, secret), 201)


async def create_ephemeral_key(call: Call, params: CreateEphemeralKey) -> ASGIApp:
    """Create an API key that expires within an hour, with scopes that the caller has."""
    _check_scopes(call, params.scopes)
    caller = call.caller
    expires = int(time.time()) + params.duration
    secret = call.parts.tokens.mint_ephemeral_key(params.scopes, expires, depth=caller.depth)
    return json_answer(
        responses.ephemeral_key(new_id(), params.scopes, expires * 1000, secret), 201
    )


async def get_key(call: Call, params: OneKey) -> ASGIApp:
    """Return an API key."""
    return json_answer(responses.api_key(await call.parts.keys.get(params.key_id)))


async def update_key(call: Call, params: UpdateKey) -> ASGIApp:
    """Change an API key, to scopes that the caller has."""
    _check_scopes(call, params.scopes)
    changed = await call.parts.keys.update(
        params.key_id,
        name=params.name,
        scopes=params.scopes,
        expire_at=params.expire or 0,
        description=params.description,
    )
    return json_answer(responses.api_key(changed))


async def delete_key(call: Call, params: OneKey) -> ASGIApp:
    """Delete an API key; from then on it is refused."""
    if not await call.parts.keys.delete(params.key_id):
        raise KeyNotFound
    return no_content()


def _check_scopes(call: Call, scopes: tuple[str, ...]) -> None:
    """Raise KeyCreationDenied when an API key would give a scope that it lacks."""
    granted = call.caller.scopes
    if granted is not None and not granted.issuperset(scopes):
        raise KeyCreationDenied("An API key gives no scope that it lacks itself.")


_KEYS = "/project/keys"
_KEY = f"{_KEYS}/{{keyId}}"

OPERATIONS = (
    Operation(
        name="project.get",
        method="GET",
        path="/project",
        scopes=PROJECT_READ,
        params=NoParams,
        handler=get_project,
        for_restricted=True,
    ),
    Operation(
        name="project.listKeys",
        method="GET",
        path=_KEYS,
        scopes=KEYS_READ,
        params=ListKeys,
        handler=list_keys,
        model="keys",
        errors=(CursorNotFound, DatabaseTimeout, QueryInvalid, QueryOrderNull),
    ),
    Operation(
        name="project.createKey",
        method="POST",
        path=_KEYS,
        scopes=KEYS_WRITE,
        params=CreateKey,
        handler=create_key,
        model="key",
        errors=(KeyCreationDenied, KeyAlreadyExists),
    ),
    Operation(
        name="project.createEphemeralKey",
        method="POST",
        path=f"{_KEYS}/ephemeral",
        scopes=KEYS_WRITE,
        params=CreateEphemeralKey,
        handler=create_ephemeral_key,
        model="key",
        errors=(KeyCreationDenied,),
    ),
    Operation(
        name="project.getKey",
        method="GET",
        path=_KEY,
        scopes=KEYS_READ,
        params=OneKey,
        handler=get_key,
        model="key",
        errors=(KeyNotFound,),
    ),
    Operation(
        name="project.updateKey",
        method="PUT",
        path=_KEY,
        scopes=KEYS_WRITE,
        params=UpdateKey,
        handler=update_key,
        model="key",
        errors=(KeyNotFound, KeyCreationDenied),
    ),
    Operation(
        name="project.deleteKey",
        method="DELETE",
        path=_KEY,
        scopes=KEYS_WRITE,
        params=OneKey,
        handler=delete_key,
        errors=(KeyNotFound,),
    ),
)
