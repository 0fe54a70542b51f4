"""Sessions: anonymous ones, so that the web SDK works with no other service, and the operator's.

A user is an id that a session vouches for; the operator is whoever knows the admin key.
"""

import time
from typing import Annotated, Any

import msgspec
from starlette.types import ASGIApp

from minifn.api.access import operators
from minifn.api.access.callers import SESSION_SECONDS
from minifn.api.hosts import mount_of
from minifn.api.wire.answers import json_answer, no_content
from minifn.api.wire.operation import PUBLIC, Call, Operation
from minifn.api.wire.params import Integer, NoParams, Params, Text
from minifn.errors import (
    RateLimitExceeded,
    UnauthorizedScope,
    UserInvalidCredentials,
    UserSessionNotFound,
)
from minifn.ids import new_id
from minifn.instants import format_instant, now_ms
from minifn.models import Caller, CallerKind
from minifn.tokens import UserClaims

#: The one account of the project `console`.
OPERATOR_ID = "operator"
#: What Appwrite gives a client JWT, seconds.
_JWT_SECONDS = 900


class CreateJwt(Params, frozen=True, kw_only=True):
    """How long the JWT lives, seconds."""

    duration: Annotated[int, Integer(0, 3600)] = _JWT_SECONDS


class EmailSession(Params, frozen=True, kw_only=True):
    """Who signs in. The password is the admin key; the e-mail address is kept as it is given."""

    email: Annotated[str, Text(320)] = "operator@localhost"
    password: Annotated[str, Text(1024)]


class OneSession(Params, frozen=True, kw_only=True):
    """Which session; `current` is the caller's."""

    session_id: Annotated[str, Text(36)]


async def create_session(call: Call, params: NoParams) -> ASGIApp:
    """Make an anonymous user and a session of theirs, given as cookies and, for browsers without, as a header."""
    user_id = new_id()
    session_id, value, expires_at = call.context.authenticator.mint_session(user_id)
    name = _cookie_name(call)
    headers = [
        _cookie(call, name, value, SESSION_SECONDS),
        _cookie(call, f"{name}_legacy", value, SESSION_SECONDS),
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
    headers = [_cookie(call, operators.COOKIE, value, operators.SESSION_SECONDS)]
    return json_answer(
        _session(call, claims.session_id, OPERATOR_ID, claims.exp * 1000, "email"), 201, headers
    )


def _cookie_name(call: Call) -> str:
    return f"a_session_{call.parts.config.project}"


def _cookie(call: Call, name: str, value: str, seconds: int) -> tuple[bytes, bytes]:
    path = mount_of(call.scope) or "/"
    secure = "; secure" if call.scope.get("scheme") == "https" else ""
    return (
        b"set-cookie",
        f"{name}={value}; path={path}; max-age={seconds}; httponly; samesite=lax{secure}".encode(),
    )


def _session(
    call: Call, session_id: str, user_id: str, expires_at: int, provider: str, value: str = ""
) -> dict[str, Any]:
    created_at = format_instant(now_ms())
    empty = (
        "providerUid providerAccessToken providerAccessTokenExpiry providerRefreshToken osCode osName osVersion "
        "clientType clientCode clientName clientVersion clientEngine clientEngineVersion deviceName deviceBrand "
        "deviceModel countryCode countryName mfaUpdatedAt"
    )
    return {
        "$id": session_id,
        "$createdAt": created_at,
        "$updatedAt": created_at,
        "userId": user_id,
        "expire": format_instant(expires_at),
        "provider": provider,
        "ip": call.client_ip,
        **dict.fromkeys(empty.split(), ""),
        "current": True,
        "factors": ["password" if provider == "email" else provider],
        # Servers with a key pass it on to their own visitors; browsers have the cookie.
        "secret": value if call.caller.privileged else "",
    }


def _require_user(call: Call) -> str:
    if call.caller.kind is not CallerKind.USER:
        label = "guests" if call.caller.kind is CallerKind.GUEST else "applications"
        raise UnauthorizedScope(f"User (role: {label}) missing scope (account)")
    return call.caller.user_id


async def get(call: Call, params: NoParams) -> ASGIApp:
    """Return the user or operator who is calling."""
    if not call.caller.operator:
        _require_user(call)
    return json_answer(user(call.caller))


def user(caller: Caller) -> dict[str, Any]:
    """Return a user or operator as the wire has them; minifn knows of users only what their token says."""
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
    """Return a client JWT of the user who is calling, by their session: a JWT makes no other."""
    user_id = _require_user(call)
    if not call.caller.session_id:
        raise UserSessionNotFound
    expires = min(int(time.time()) + params.duration, call.caller.ends)
    claims = UserClaims(user_id=user_id, session_id=call.caller.session_id, exp=expires)
    return json_answer({"jwt": call.parts.tokens.mint_user(claims)}, 201)


async def delete_session(call: Call, params: OneSession) -> ASGIApp:
    """Take the caller's session back from their browser; the operator's ends everywhere."""
    caller = call.caller
    if not caller.operator:
        _require_user(call)
    if params.session_id not in ("current", caller.session_id):
        raise UserSessionNotFound
    if caller.operator:
        await call.context.operators.sign_out(caller.session_id)
        return no_content([_cookie(call, operators.COOKIE, "", 0)])
    name = _cookie_name(call)
    cookies = [_cookie(call, name, "", 0), _cookie(call, f"{name}_legacy", "", 0)]
    return no_content([*cookies, (b"x-fallback-cookies", b"{}")])


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
