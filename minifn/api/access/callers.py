"""Finds who is calling: an API key, a function's own key, the operator, a user or a guest.

Users come with a JWT or a session. Sessions are stateless: a session is a long-lived signed token
in the envelope that Appwrite's SDKs pass back unread, so it is valid after a restart and in every
process.
"""

import base64
import hmac
import time
from collections.abc import Mapping

import msgspec

from minifn import jsontext
from minifn.api.access import cookies
from minifn.api.access.console_sessions import ConsoleSessions
from minifn.api.access.operators import Operators
from minifn.errors import (
    ProjectNotFound,
    UnauthorizedScope,
    UserApiKeyAndSessionSet,
    UserJwtInvalid,
)
from minifn.ids import new_id
from minifn.models import ApiKey, Caller, CallerKind
from minifn.services.keys import Keys
from minifn.tokens import Tokens, UserClaims

#: Scopes that every caller has.
_GLOBAL_SCOPES = frozenset({"global", "public"})
_KEY_SCOPES = _GLOBAL_SCOPES | {"health.read", "graphql"}
#: Scopes of callers without an API key.
GUEST_SCOPES = _GLOBAL_SCOPES | {"execution.write", "executions.write", "sessions.write"}
USER_SCOPES = GUEST_SCOPES | {"execution.read", "executions.read", "account"}

GUEST = Caller(kind=CallerKind.GUEST, roles=frozenset({"any", "guests"}), scopes=GUEST_SCOPES)
ADMIN = Caller(kind=CallerKind.KEY, scopes=None)

#: Headers without which a request has neither a session nor a JWT.
_OF_USERS = frozenset({b"cookie", b"x-appwrite-jwt", b"x-appwrite-session", b"x-fallback-cookies"})

#: Appwrite's words for kinds of callers, in errors.
_ROLE_LABELS = {
    CallerKind.KEY: "applications",
    CallerKind.USER: "users",
    CallerKind.GUEST: "guests",
}

#: Lifetime of an anonymous session in seconds: a year, Appwrite's default.
SESSION_SECONDS = 31_536_000
#: Most verified tokens in memory, so that a busy user's signature is not verified each time.
_REMEMBERED_TOKENS = 1000


def scope_missing(caller: Caller, scope: str) -> UnauthorizedScope:
    """Return the error for a caller without a scope, in Appwrite's words."""
    return UnauthorizedScope(f"User (role: {_ROLE_LABELS[caller.kind]}) missing scope ({scope})")


class Envelope(msgspec.Struct, frozen=True):
    """The value of a session cookie: base64 of this as JSON."""

    id: str
    secret: str


class Authenticator:
    """Finds the caller of a request from its headers."""

    def __init__(
        self,
        *,
        project: str,
        admin_key: str,
        keys: Keys,
        tokens: Tokens,
        operators: Operators,
        consoles: ConsoleSessions,
    ) -> None:
        self._project = project.encode()
        self._admin_key = admin_key.encode()
        self._keys = keys
        self._tokens = tokens
        self._operators = operators
        self._consoles = consoles
        self._users: dict[str, tuple[int, Caller]] = {}
        name = cookies.session_name(project)
        self._cookie_names = (name, f"{name}_legacy")

    async def identify(self, headers: Mapping[bytes, bytes], project: bytes) -> Caller:
        """Return the caller. `project` is the one the request names, empty or `console` for none.

        Raises ProjectNotFound, UserJwtInvalid, UserApiKeyAndSessionSet, ProjectKeyExpired and
        ApiKeyExpired. An unknown session or API key makes a guest, as in Appwrite.
        """
        if project != self._project and project not in (b"", b"console"):
            raise ProjectNotFound
        user = None
        if not _OF_USERS.isdisjoint(headers):
            user = await self._operator(headers, project) or self._user(headers)
        secret = headers.get(b"x-appwrite-key")
        if not secret:
            return user or GUEST
        if user is not None:
            raise UserApiKeyAndSessionSet
        if hmac.compare_digest(secret, self._admin_key):
            return ADMIN
        return await self._key(secret)

    def mint_session(self, user_id: str) -> tuple[str, str, int]:
        """Return a new session of a user: its id, its value for cookies, and its end (instant)."""
        session_id = new_id()
        expires = int(time.time()) + SESSION_SECONDS
        secret = self._tokens.mint_session(
            UserClaims(user_id=user_id, session_id=session_id, exp=expires)
        )
        return (
            session_id,
            base64.b64encode(msgspec.json.encode(Envelope(user_id, secret))).decode(),
            expires * 1000,
        )

    async def _operator(self, headers: Mapping[bytes, bytes], project: bytes) -> Caller | None:
        """Return the operator: in `console`, and in this project for clients in admin mode.

        A visitor of minifn's own console is one too, with the rights of a key.
        """
        if b"cookie" not in headers:
            return None
        visitor = await self._consoles.identify(headers)
        if visitor is not None:
            key = await self._consoles.key_of(visitor) if visitor.key_id else None
            return _key_caller(key) if key is not None else None if visitor.key_id else ADMIN
        if project == self._project and headers.get(b"x-appwrite-mode") != b"admin":
            return None
        claims = await self._operators.identify(headers)
        if claims is None:
            return None
        return msgspec.structs.replace(
            ADMIN, operator=claims.operator, session_id=claims.session_id
        )

    async def _key(self, secret: bytes) -> Caller:
        text = secret.decode("latin-1")
        if self._tokens.is_function_key(text):
            claims = self._tokens.verify_key(text)
            scopes = claims.scopes | _KEY_SCOPES
            return Caller(
                kind=CallerKind.KEY, scopes=scopes, depth=claims.depth, reach=claims.reach
            )
        key = await self._keys.verify(text)
        return GUEST if key is None else _key_caller(key)

    def _user(self, headers: Mapping[bytes, bytes]) -> Caller | None:
        token = headers.get(b"x-appwrite-jwt")
        if token:
            # A JWT wins over a session, and the function is told of no session.
            return self._caller(token.decode("latin-1"), session=False)
        for value in self._sessions(headers):
            secret = _open(value)
            if secret is not None:
                try:
                    return self._caller(secret, session=True)
                except UserJwtInvalid:
                    continue
        return None

    def _sessions(self, headers: Mapping[bytes, bytes]) -> list[str]:
        """Return the sessions that a request offers, the one that counts most first."""
        cookie = headers.get(b"cookie", b"")
        session = headers.get(b"x-appwrite-session", b"")
        fallback = headers.get(b"x-fallback-cookies", b"")
        if not (cookie or session or fallback):
            return []
        given = cookies.parse(cookie)
        offers = [given.get(name, "") for name in self._cookie_names]
        offers += [session.decode("latin-1"), *_fallback(fallback, self._cookie_names)]
        return [offer for offer in offers if offer]

    def _caller(self, token: str, *, session: bool) -> Caller:
        """Return the user of a token. Raises UserJwtInvalid."""
        slot = f"{'session' if session else 'jwt'} {token}"
        ends, caller = self._users.get(slot, (0, GUEST))
        if ends <= time.time():
            claims = (
                self._tokens.verify_session(token) if session else self._tokens.verify_user(token)
            )
            ends, caller = claims.exp, user_caller(claims, session=session)
            if len(self._users) >= _REMEMBERED_TOKENS:
                self._users.clear()
            self._users[slot] = (ends, caller)
        return caller


def _key_caller(key: ApiKey) -> Caller:
    return Caller(
        kind=CallerKind.KEY,
        scopes=frozenset(key.scopes) | _KEY_SCOPES,
        reach=(" ".join(key.functions),) if key.functions else (),
    )


def user_caller(claims: UserClaims, *, session: bool) -> Caller:
    """Return the caller of verified claims, with the roles of Appwrite's `Auth::getRoles`."""
    verification = "verified" if claims.verified else "unverified"
    user_id = claims.user_id
    roles = {
        "any",
        "users",
        f"users/{verification}",
        f"user:{user_id}",
        f"user:{user_id}/{verification}",
    }
    roles.update(f"label:{label}" for label in claims.labels)
    for team in claims.teams:
        roles.add(f"team:{team.team_id}")
        roles.update(f"team:{team.team_id}/{role}" for role in team.roles)
        if team.membership_id:
            roles.add(f"member:{team.membership_id}")
    return Caller(
        kind=CallerKind.USER,
        roles=frozenset(roles),
        scopes=USER_SCOPES,
        user_id=user_id,
        session_id=claims.session_id if session else "",
        ends=claims.exp if session or claims.for_function else 0,
    )


def _fallback(header: bytes, names: tuple[str, ...]) -> list[str]:
    """Return the sessions in `x-fallback-cookies`: a JSON object of cookies by name."""
    if not header:
        return []
    try:
        given = jsontext.decode(header.decode("latin-1"))
    except jsontext.JsonInvalid:
        return []
    if not isinstance(given, dict):
        return []
    return [value for name in names if isinstance(value := given.get(name), str)]


def _open(value: str) -> str | None:
    """Return the secret in a session's value, None when the value has another form."""
    try:
        padded = base64.b64decode(value.replace("%3D", "=").replace("%3d", "=") + "==")
        return jsontext.decode_as(Envelope, padded).secret
    except ValueError:
        return None
