"""Sessions of anonymous users, so that the web SDK needs no other service, and of the operator.

A user is an id in a signed session; the operator signs in with the admin key.
"""

import time
from typing import Annotated, Any

import msgspec
from starlette.types import ASGIApp

from minifn.api.access import cookies, operators
from minifn.api.access.callers import SESSION_SECONDS, scope_missing
from minifn.api.wire.answers import json_answer, no_content
from minifn.api.wire.operation import PUBLIC, Call, Operation
from minifn.api.wire.params import Integer, NoParams, Params, Text
from minifn.errors import (
    RateLimitExceeded,
    UserInvalidCredentials,
    UserSessionNotFound,
)
from minifn.ids import new_id
from minifn.instants import format_instant, now_ms
from minifn.models import Caller, CallerKind
from minifn.tokens import UserClaims

#: The one account of the project `console`.
OPERATOR_ID = "operator"
#: Default lifetime of a client JWT in seconds, as in Appwrite.
_JWT_SECONDS = 900
#: Keys of a session that are always empty: this server looks at no devices and no providers.
_EMPTY_KEYS = (
    "providerUid providerAccessToken providerAccessTokenExpiry providerRefreshToken osCode osName"
    " osVersion clientType clientCode clientName clientVersion clientEngine clientEngineVersion"
    " deviceName deviceBrand deviceModel countryCode countryName mfaUpdatedAt"
)


class CreateJwt(Params, frozen=True, kw_only=True):
    """Lifetime of the JWT in seconds."""

    duration: Annotated[int, Integer(0, 3600)] = _JWT_SECONDS


class EmailSession(Params, frozen=True, kw_only=True):
    """The operator's sign-in: any e-mail address, and the admin key as the password."""

    email: Annotated[str, Text(320)] = "operator@localhost"
    password: Annotated[str, Text(1024)]


class OneSession(Params, frozen=True, kw_only=True):
    """A session's id; `current` is the caller's."""

    session_id: Annotated[str, Text(36)]


async def create_session(call: Call, params: NoParams) -> ASGIApp:
    """Create an anonymous user with a session.

    The session goes out as cookies, and as a header for browsers that refuse them.
    """
    user_id = new_id()
    session_id, value, expires_at = call.context.authenticator.mint_session(user_id)
    name = cookies.session_name(call.parts.config.project)
    headers = [
        cookies.setting(call.scope, name, value, SESSION_SECONDS),
        cookies.setting(call.scope, f"{name}_legacy", value, SESSION_SECONDS),
    ]
    fallback = msgspec.json.encode({name: value})
    headers += [(b"x-fallback-cookies", fallback), (b"x-appwrite-session", value.encode())]
    return json_answer(
        _session(call, session_id, user_id, expires_at, "anonymous", value), 201, headers
    )


async def create_email_session(call: Call, params: EmailSession) -> ASGIApp:
    """Sign the operator in, in the project `console`. Users of the project have no passwords."""
    if call.in_project:
        raise UserInvalidCredentials(
            "Users of this project have no passwords; the operator signs in to `console`."
        )
    claims, value = call.context.operators.sign_in(params.email, params.password, call.client_ip)
    headers = [cookies.setting(call.scope, operators.COOKIE, value, operators.SESSION_SECONDS)]
    return json_answer(
        _session(call, claims.session_id, OPERATOR_ID, claims.exp * 1000, "email"), 201, headers
    )


def _session(
    call: Call, session_id: str, user_id: str, expires_at: int, provider: str, value: str = ""
) -> dict[str, Any]:
    created_at = format_instant(now_ms())
    return {
        "$id": session_id,
        "$createdAt": created_at,
        "$updatedAt": created_at,
        "userId": user_id,
        "expire": format_instant(expires_at),
        "provider": provider,
        "ip": call.client_ip,
        **dict.fromkeys(_EMPTY_KEYS.split(), ""),
        "current": True,
        "factors": ["password" if provider == "email" else provider],
        # A server with an API key passes it to its own visitors; browsers have the cookie.
        "secret": value if call.caller.privileged else "",
    }


def _require_user(call: Call) -> str:
    """Return the id of the calling user. Raises UnauthorizedScope for other callers."""
    if call.caller.kind is not CallerKind.USER:
        raise scope_missing(call.caller, "account")
    return call.caller.user_id


async def get(call: Call, params: NoParams) -> ASGIApp:
    """Return the calling user or operator."""
    if not call.caller.operator:
        _require_user(call)
    return json_answer(user(call.caller))


def user(caller: Caller) -> dict[str, Any]:
    """Return a user or operator as JSON; a token is all that minifn knows of a user."""
    address = caller.operator
    now = format_instant(now_ms())
    return {
        "$id": OPERATOR_ID if address else caller.user_id,
        "$createdAt": now,
        "$updatedAt": now,
        "name": "Operator" if address else "",
        "registration": now,
        "status": True,
        "labels": sorted(role[6:] for role in caller.roles if role.startswith("label:")),
        "passwordUpdate": "",
        "email": address,
        "phone": "",
        "emailVerification": bool(address) or "users/verified" in caller.roles,
        "phoneVerification": False,
        "mfa": False,
        "prefs": {},
        "targets": [],
        "accessedAt": now,
    }


async def create_jwt(call: Call, params: CreateJwt) -> ASGIApp:
    """Create a client JWT of the user whose session calls; a JWT cannot create another."""
    user_id = _require_user(call)
    if not call.caller.session_id:
        raise UserSessionNotFound
    expires = min(int(time.time()) + params.duration, call.caller.ends)
    claims = UserClaims(user_id=user_id, session_id=call.caller.session_id, exp=expires)
    return json_answer({"jwt": call.parts.tokens.mint_user(claims)}, 201)


async def delete_session(call: Call, params: OneSession) -> ASGIApp:
    """Delete the caller's session from the browser; the operator's ends on the server too."""
    caller = call.caller
    if not caller.operator:
        _require_user(call)
    if params.session_id not in ("current", caller.session_id):
        raise UserSessionNotFound
    if caller.operator:
        await call.context.operators.sign_out(caller.session_id)
        return no_content([cookies.setting(call.scope, operators.COOKIE, "", 0)])
    name = cookies.session_name(call.parts.config.project)
    ended = [cookies.setting(call.scope, each, "", 0) for each in (name, f"{name}_legacy")]
    return no_content([*ended, (b"x-fallback-cookies", b"{}")])


OPERATIONS = (
    Operation(
        name="account.createAnonymousSession",
        method="POST",
        path="/account/sessions/anonymous",
        scopes=PUBLIC,
        params=NoParams,
        handler=create_session,
    ),
    Operation(
        name="account.createEmailPasswordSession",
        method="POST",
        path="/account/sessions/email",
        scopes=PUBLIC,
        params=EmailSession,
        handler=create_email_session,
        errors=(UserInvalidCredentials, RateLimitExceeded),
        needs_project=False,
    ),
    Operation(
        name="account.get",
        method="GET",
        path="/account",
        scopes=PUBLIC,
        params=NoParams,
        handler=get,
        needs_project=False,
    ),
    Operation(
        name="account.createJWT",
        method="POST",
        path="/account/jwts",
        scopes=PUBLIC,
        params=CreateJwt,
        handler=create_jwt,
        errors=(UserSessionNotFound,),
    ),
    Operation(
        name="account.deleteSession",
        method="DELETE",
        path="/account/sessions/{sessionId}",
        scopes=PUBLIC,
        params=OneSession,
        handler=delete_session,
        errors=(UserSessionNotFound,),
        needs_project=False,
    ),
)
