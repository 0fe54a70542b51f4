"""Console operations of a signed-in operator, as Appwrite's CLI and starter functions call them."""

from typing import Annotated, Any

from starlette.types import ASGIApp

from minifn.api.operations.project import TEAM_ID, described
from minifn.api.wire.answers import json_answer
from minifn.api.wire.kinds import QueryTexts
from minifn.api.wire.operation import (
    PROJECTS_READ,
    TEAMS_READ,
    USERS_READ,
    Call,
    Operation,
)
from minifn.api.wire.params import Boolean, Id, NoParams, Params, Text
from minifn.api.wire.queries import read_query
from minifn.api.wire.responses import listing
from minifn.errors import ProjectNotFound
from minifn.instants import format_instant, now_ms
from minifn.store.conditions import holds, literal
from minifn.store.queries import Attribute, Kind
from minifn.store.search import matches_words

#: Attributes that queries of users may name; none has a column.
_USER_ATTRIBUTES = {
    **dict.fromkeys(
        ("$id", "name", "email", "phone", "passwordUpdate"), Attribute("", Kind.STRING)
    ),
    **dict.fromkeys(
        ("$createdAt", "$updatedAt", "registration", "accessedAt"), Attribute("", Kind.INSTANT)
    ),
    **dict.fromkeys(
        ("status", "emailVerification", "phoneVerification"), Attribute("", Kind.BOOLEAN)
    ),
    "$sequence": Attribute("", Kind.INTEGER),
    "labels": Attribute("", Kind.STRING),
}


class OneProject(Params, frozen=True, kw_only=True):
    """A project's id; a server has one project."""

    project_id: Annotated[str, Id()]


class ListUsers(Params, frozen=True, kw_only=True):
    """A page of users."""

    queries: Annotated[tuple[str, ...], QueryTexts()] = ()
    search: Annotated[str, Text(256, 0)] = ""
    total: Annotated[bool, Boolean(loose=True)] = True


class ListOfOne(Params, frozen=True, kw_only=True):
    """A page of a list that has one item."""

    queries: Annotated[tuple[str, ...], QueryTexts()] = ()
    search: Annotated[str, Text(256, 0)] = ""
    total: Annotated[bool, Boolean(loose=True)] = True


async def variables(call: Call, params: NoParams) -> ASGIApp:
    """Return settings by the names of Appwrite's environment variables."""
    config = call.parts.config
    return json_answer(
        {
            "_APP_DOMAIN_TARGET": "localhost",
            "_APP_DOMAIN_TARGET_CNAME": "localhost",
            "_APP_DOMAIN_TARGET_A": "127.0.0.1",
            "_APP_DOMAIN_TARGET_AAAA": "::1",
            "_APP_DOMAIN_TARGET_CAA": "",
            "_APP_DOMAIN_FUNCTIONS": config.functions_domain,
            "_APP_DOMAIN_SITES": "",
            "_APP_DOMAIN_ENABLED": True,
            "_APP_DOMAINS_NAMESERVERS": "",
            "_APP_OPTIONS_FORCE_HTTPS": "disabled",
            "_APP_STORAGE_LIMIT": 0,
            "_APP_FUNCTIONS_SIZE_LIMIT": config.upload_limit,
            "_APP_COMPUTE_SIZE_LIMIT": config.upload_limit,
            "_APP_COMPUTE_BUILD_TIMEOUT": config.build_timeout,
            "_APP_USAGE_STATS": "enabled",
            "_APP_VCS_ENABLED": False,
            "_APP_ASSISTANT_ENABLED": False,
        }
    )


async def get_project(call: Call, params: OneProject) -> ASGIApp:
    """Return this server's project."""
    if params.project_id != call.parts.config.project:
        raise ProjectNotFound
    return json_answer(described(params.project_id))


async def list_projects(call: Call, params: ListOfOne) -> ASGIApp:
    """List this server's one project."""
    return await _list_of_one(call, params, "projects", described(call.parts.config.project))


async def list_teams(call: Call, params: ListOfOne) -> ASGIApp:
    """List the one organisation: the operator, who owns the project."""
    now = format_instant(now_ms())
    team = {
        "$id": TEAM_ID,
        "$createdAt": now,
        "$updatedAt": now,
        "name": "Operator",
        "total": 1,
        "prefs": {},
    }
    return await _list_of_one(call, params, "teams", team)


async def _list_of_one(call: Call, params: ListOfOne, name: str, item: dict[str, Any]) -> ASGIApp:
    """Answer with a list of one item, or of none when the queries or the search exclude it."""
    texts = {key: value for key, value in item.items() if isinstance(value, str) and key[:1] != "$"}
    attributes = {
        **{
            key: Attribute(literal(value), Kind.STRING)
            for key, value in {**texts, "$id": item["$id"]}.items()
        },
        **{key: Attribute(str(now_ms()), Kind.INSTANT) for key in ("$createdAt", "$updatedAt")},
    }
    query = read_query(params.queries, attributes, call.shape, params.search)
    found = await call.parts.database.read(holds, query.filters)
    if query.search:
        found = found and matches_words(f"{item['$id']} {item['name']}", query.search)
    shown = [item] if found and not query.offset and not query.cursor else []
    return json_answer(listing(name, int(found and params.total), shown))


async def list_users(call: Call, params: ListUsers) -> ASGIApp:
    """List users: always none, because minifn stores no users."""
    read_query(params.queries, _USER_ATTRIBUTES, call.shape, params.search)
    return json_answer(listing("users", 0, ()))


OPERATIONS = (
    Operation(
        name="console.variables",
        method="GET",
        path="/console/variables",
        scopes=PROJECTS_READ,
        params=NoParams,
        handler=variables,
        needs_project=False,
    ),
    Operation(
        name="projects.get",
        method="GET",
        path="/projects/{projectId}",
        scopes=PROJECTS_READ,
        params=OneProject,
        handler=get_project,
        errors=(ProjectNotFound,),
        needs_project=False,
    ),
    Operation(
        name="projects.list",
        method="GET",
        path="/projects",
        scopes=PROJECTS_READ,
        params=ListOfOne,
        handler=list_projects,
        needs_project=False,
    ),
    Operation(
        name="teams.list",
        method="GET",
        path="/teams",
        scopes=TEAMS_READ,
        params=ListOfOne,
        handler=list_teams,
        for_restricted=True,
        needs_project=False,
    ),
    Operation(
        name="users.list",
        method="GET",
        path="/users",
        scopes=USERS_READ,
        params=ListUsers,
        handler=list_users,
        for_restricted=True,
    ),
)
