"""API keys below `/projects/{projectId}`, where Appwrite's console and CLI manage them.

Each operation is one of `/project/keys` for the operator and the admin key.
"""

import time
from typing import Annotated

from starlette.types import ASGIApp

from minifn.api.operations import project
from minifn.api.wire.answers import json_answer
from minifn.api.wire.kinds import SCOPE_NAMES
from minifn.api.wire.operation import PROJECTS_READ, PROJECTS_WRITE, Call, Operation
from minifn.api.wire.params import CustomId, Id, Integer, Params
from minifn.errors import (
    CursorNotFound,
    DatabaseTimeout,
    KeyAlreadyExists,
    KeyNotFound,
    ProjectNotFound,
    QueryInvalid,
    QueryOrderNull,
)

#: Lifetime of a JWT for which none is asked, seconds, and the longest one.
JWT_SECONDS, JWT_SECONDS_MAX = 900, 3600


class ListKeys(project.ListKeys, frozen=True, kw_only=True):
    """A page of the project's API keys."""

    project_id: Annotated[str, Id()]


class OneKey(project.OneKey, frozen=True, kw_only=True):
    """An API key's id."""

    project_id: Annotated[str, Id()]


class UpdateKey(project.UpdateKey, frozen=True, kw_only=True):
    """All settings of an API key."""

    project_id: Annotated[str, Id()]


class CreateKey(project.CreateKey, frozen=True, kw_only=True):
    """A new API key; without `keyId` it gets an id."""

    project_id: Annotated[str, Id()]
    key_id: Annotated[str, CustomId()] = ""


class CreateJwt(Params, frozen=True, kw_only=True):
    """The scopes and the lifetime in seconds of a key that is not stored."""

    project_id: Annotated[str, Id()]
    scopes: Annotated[tuple[str, ...], SCOPE_NAMES]
    duration: Annotated[int, Integer(0, JWT_SECONDS_MAX)] = JWT_SECONDS


def _check(call: Call, project_id: str) -> None:
    """Raise ProjectNotFound for another project than this server's."""
    if project_id != call.parts.config.project:
        raise ProjectNotFound


async def list_keys(call: Call, params: ListKeys) -> ASGIApp:
    """List the API keys."""
    _check(call, params.project_id)
    return await project.list_keys(call, params)


async def create_key(call: Call, params: CreateKey) -> ASGIApp:
    """Create an API key; its secret is in this answer alone."""
    _check(call, params.project_id)
    return await project.create_key(call, params)


async def create_jwt(call: Call, params: CreateJwt) -> ASGIApp:
    """Create an API key that is not stored, in the words of Appwrite's CLI."""
    _check(call, params.project_id)
    expires = int(time.time()) + params.duration
    secret = call.parts.tokens.mint_ephemeral_key(params.scopes, expires)
    return json_answer({"jwt": secret}, 201)


async def get_key(call: Call, params: OneKey) -> ASGIApp:
    """Return an API key."""
    _check(call, params.project_id)
    return await project.get_key(call, params)


async def update_key(call: Call, params: UpdateKey) -> ASGIApp:
    """Change an API key."""
    _check(call, params.project_id)
    return await project.update_key(call, params)


async def delete_key(call: Call, params: OneKey) -> ASGIApp:
    """Delete an API key."""
    _check(call, params.project_id)
    return await project.delete_key(call, params)


_KEYS = "/projects/{projectId}/keys"
_KEY = f"{_KEYS}/{{keyId}}"

OPERATIONS = (
    Operation(
        name="projects.listKeys",
        method="GET",
        path=_KEYS,
        scopes=PROJECTS_READ,
        params=ListKeys,
        handler=list_keys,
        model="keys",
        errors=(CursorNotFound, DatabaseTimeout, ProjectNotFound, QueryInvalid, QueryOrderNull),
        needs_project=False,
    ),
    Operation(
        name="projects.createKey",
        method="POST",
        path=_KEYS,
        scopes=PROJECTS_WRITE,
        params=CreateKey,
        handler=create_key,
        model="key",
        errors=(KeyAlreadyExists, ProjectNotFound),
        needs_project=False,
    ),
    Operation(
        name="projects.createJWT",
        method="POST",
        path="/projects/{projectId}/jwts",
        scopes=PROJECTS_WRITE,
        params=CreateJwt,
        handler=create_jwt,
        errors=(ProjectNotFound,),
        needs_project=False,
    ),
    Operation(
        name="projects.getKey",
        method="GET",
        path=_KEY,
        scopes=PROJECTS_READ,
        params=OneKey,
        handler=get_key,
        model="key",
        errors=(KeyNotFound, ProjectNotFound),
        needs_project=False,
    ),
    Operation(
        name="projects.updateKey",
        method="PUT",
        path=_KEY,
        scopes=PROJECTS_WRITE,
        params=UpdateKey,
        handler=update_key,
        model="key",
        errors=(KeyNotFound, ProjectNotFound),
        needs_project=False,
    ),
    Operation(
        name="projects.deleteKey",
        method="DELETE",
        path=_KEY,
        scopes=PROJECTS_WRITE,
        params=OneKey,
        handler=delete_key,
        errors=(KeyNotFound, ProjectNotFound),
        needs_project=False,
    ),
)
