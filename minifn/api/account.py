"""Anonymous sessions, so that the web SDK works with no other service: a user is an id that a session vouches for."""

import time
from typing import Annotated, Any

import msgspec
from starlette.types import ASGIApp

from minifn.api.answers import RawHeaders, json_answer, no_content
from minifn.api.auth import SESSION_SECONDS
from minifn.api.operations import PUBLIC, Call, Operation
from minifn.api.params import Integer, NoParams, Params, Text
from minifn.errors import UnauthorizedScope, UserSessionNotFound
from minifn.models import CallerKind
from minifn.tokens import UserClaims
from minifn.values import format_instant, new_id, now_ms

#: What Appwrite gives a client JWT, seconds.
_JWT_SECONDS = 900


class CreateJwt(Params, frozen=True, kw_only=True):
    """How long the JWT lives, seconds."""

    duration: Annotated[int, Integer(0, 3600)] = _JWT_SECONDS


class OneSession(Params, frozen=True, kw_only=True):
    """Which session; `current` is the caller's."""

    session_id: Annotated[str, Text(36)]


async def create_session(call: Call, params: NoParams) -> ASGIApp:
    """Make an anonymous user and a session of theirs, given as cookies and, for browsers without, as a header."""
    user_id = new_id()
    session_id, value, expires_at = call.context.authenticator.mint_session(user_id)
    headers = _cookies(call, value, SESSION_SECONDS)
    fallback = msgspec.json.encode({_cookie_name(call): value})
    headers += [(b"x-fallback-cookies", fallback), (b"x-appwrite-session", value.encode())]
    return json_answer(_session(call, session_id, user_id, expires_at), 201, headers)


def _cookie_name(call: Call) -> str:
    return f"a_session_{call.minifn.config.project}"


def _cookies(call: Call, value: str, seconds: int) -> RawHeaders:
    secure = "; secure" if call.scope.get("scheme") == "https" else ""
    return [
        (
            b"set-cookie",
            f"{_cookie_name(call)}{suffix}={value}; path=/; max-age={seconds}; httponly; samesite=lax{secure}".encode(),
        )
        for suffix in ("", "_legacy")
    ]


def _session(call: Call, session_id: str, user_id: str, expires_at: int) -> dict[str, Any]:
    created_at = format_instant(expires_at - SESSION_SECONDS * 1000)
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
        "provider": "anonymous",
        "ip": call.client_ip,
        **dict.fromkeys(empty.split(), ""),
        "current": True,
        "factors": ["anonymous"],
        # Only server SDKs with a key see a session's secret in Appwrite; others have the cookie.
        "secret": "",
    }


def _require_user(call: Call) -> str:
    if call.caller.kind is not CallerKind.USER:
        label = "guests" if call.caller.kind is CallerKind.GUEST else "applications"
        raise UnauthorizedScope(f"User (role: {label}) missing scope (account)")
    return call.caller.user_id


async def get(call: Call, params: NoParams) -> ASGIApp:
    """Return the user who is calling; minifn knows of users only what their token says."""
    user_id = _require_user(call)
    now = format_instant(now_ms())
    return json_answer(
        {
            "$id": user_id,
            "$createdAt": now,
            "$updatedAt": now,
            "name": "",
            "registration": now,
            "status": True,
            "labels": sorted(role[6:] for role in call.caller.roles if role.startswith("label:")),
            "passwordUpdate": "",
            "email": "",
            "phone": "",
            "emailVerification": "users/verified" in call.caller.roles,
            "phoneVerification": False,
            "mfa": False,
            "prefs": {},
            "targets": [],
            "accessedAt": now,
        }
    )


async def create_jwt(call: Call, params: CreateJwt) -> ASGIApp:
    """Return a client JWT of the user who is calling."""
    user_id = _require_user(call)
    expires = int(time.time()) + params.duration
    claims = UserClaims(user_id=user_id, session_id=call.caller.session_id, exp=expires)
    return json_answer({"jwt": call.minifn.tokens.mint_user(claims)}, 201)


async def delete_session(call: Call, params: OneSession) -> ASGIApp:
    """Take the caller's session back from their browser."""
    _require_user(call)
    if params.session_id not in ("current", call.caller.session_id):
        raise UserSessionNotFound
    headers = _cookies(call, "", 0)
    return no_content([*headers, (b"x-fallback-cookies", b"{}")])


OPERATIONS = (
    Operation(
        name="account.createAnonymousSession",
        method="POST",
        path="/account/sessions/anonymous",
        scopes=PUBLIC,
        params=NoParams,
        handler=create_session,
    ),
    Operation(name="account.get", method="GET", path="/account", scopes=PUBLIC, params=NoParams, handler=get),
    Operation(
        name="account.createJWT",
        method="POST",
        path="/account/jwts",
        scopes=PUBLIC,
        params=CreateJwt,
        handler=create_jwt,
    ),
    Operation(
        name="account.deleteSession",
        method="DELETE",
        path="/account/sessions/{sessionId}",
        scopes=PUBLIC,
        params=OneSession,
        handler=delete_session,
    ),
)
