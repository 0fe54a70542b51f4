"""The console's sign-in: by a link that is good once, or by an API key."""

from typing import Annotated, Any

from starlette.types import ASGIApp

from minifn import __version__
from minifn.api.access import console_sessions
from minifn.api.wire.answers import json_answer, no_content
from minifn.api.wire.operation import PROJECTS_WRITE, PUBLIC, Call, Operation
from minifn.api.wire.params import NoParams, Params, Text
from minifn.errors import (
    BadRequest,
    RateLimitExceeded,
    UnknownOrigin,
    UserInvalidCredentials,
    UserUnauthorized,
)
from minifn.instants import format_instant, now_ms
from minifn.services.sign_in_links import LINK_SECONDS
from minifn.tokens import ConsoleClaims


class SignIn(Params, frozen=True, kw_only=True):
    """Either the token of a link or an API key."""

    token: Annotated[str, Text(256, 0)] = ""
    key: Annotated[str, Text(4096, 0)] = ""


async def create(call: Call, params: SignIn) -> ASGIApp:
    """Sign in to the console: a session with the rights of the admin key, or of the key given."""
    console_sessions.check_page(call.headers)
    if bool(params.token) == bool(params.key):
        raise BadRequest("Send either `token` or `key`.")
    consoles = call.context.consoles
    claims, value = await consoles.sign_in(params.token, params.key, call.client_ip, call.headers)
    return json_answer(await _described(call, claims), 201, consoles.setting(call.scope, value))


async def get(call: Call, params: NoParams) -> ASGIApp:
    """Return who is signed in, and the facts about the server that the console needs."""
    if not call.caller.privileged:
        raise UserUnauthorized("This request has neither a session of the console nor an API key.")
    claims = await call.context.consoles.identify(call.headers)
    return json_answer(await _described(call, claims))


async def delete(call: Call, params: NoParams) -> ASGIApp:
    """Sign out: the session ends on the server too."""
    console_sessions.check_page(call.headers)
    consoles = call.context.consoles
    claims = await consoles.identify(call.headers)
    if claims is not None:
        await consoles.sign_out(claims)
    return no_content(consoles.setting(call.scope, ""))


async def create_link(call: Call, params: NoParams) -> ASGIApp:
    """Make a link that signs its first visitor in as the operator, once and within ten minutes."""
    token = call.parts.sign_in_links.new()
    expire = format_instant(now_ms() + LINK_SECONDS * 1000)
    return json_answer({"token": token, "path": f"/console/?token={token}", "expire": expire}, 201)


async def _described(call: Call, claims: ConsoleClaims | None) -> dict[str, Any]:
    """Return a session; without `claims` it is that of a caller who sends a key."""
    parts = call.parts
    key = await call.context.consoles.key_of(claims) if claims and claims.key_id else None
    operator = not claims.key_id if claims else call.caller.scopes is None
    return {
        "project": parts.config.project,
        "engine": parts.engine.name,
        "version": __version__,
        "endpoint": parts.endpoint.url,
        "functionsDomain": parts.config.functions_domain,
        "keyName": key.name if key else "",
        "operator": operator,
        "cluster": parts.nodes.has_cluster,
        "functions": list(key.functions) if key else [],
        "expire": format_instant(claims.exp * 1000) if claims else "",
    }


OPERATIONS = (
    Operation(
        name="minifn.createSession",
        method="POST",
        path="/minifn/session",
        scopes=PUBLIC,
        params=SignIn,
        handler=create,
        errors=(BadRequest, UserInvalidCredentials, RateLimitExceeded, UnknownOrigin),
        needs_project=False,
    ),
    Operation(
        name="minifn.getSession",
        method="GET",
        path="/minifn/session",
        scopes=PUBLIC,
        params=NoParams,
        handler=get,
        errors=(UserUnauthorized,),
        needs_project=False,
    ),
    Operation(
        name="minifn.deleteSession",
        method="DELETE",
        path="/minifn/session",
        scopes=PUBLIC,
        params=NoParams,
        handler=delete,
        errors=(UnknownOrigin,),
        needs_project=False,
    ),
    Operation(
        name="minifn.createSignInLink",
        method="POST",
        path="/minifn/sign-in-links",
        scopes=PROJECTS_WRITE,
        params=NoParams,
        handler=create_link,
        needs_project=False,
    ),
)
