"""Who is calling: an API key, a function's own key, the operator, a user by JWT or session, or a guest.

Sessions are stateless: a session is a long-lived signed token in the envelope that Appwrite's SDKs pass back unread, so
that a restart or a second process forgets nobody.
"""

import base64
import hmac
import time
from collections.abc import Mapping

import msgspec

from minifn import jsontext
from minifn.api.access.operators import Operators
from minifn.errors import ProjectNotFound, UserApiKeyAndSessionSet, UserJwtInvalid
from minifn.ids import new_id
from minifn.models import Caller, CallerKind
from minifn.services.keys import Keys
from minifn.tokens import Tokens, UserClaims

#: What every caller may do, whatever else.
_GLOBAL_SCOPES = frozenset({"global", "public"})
_KEY_SCOPES = _GLOBAL_SCOPES | {"health.read", "graphql"}
_GUEST_SCOPES = _GLOBAL_SCOPES | {"execution.write", "executions.write", "sessions.write"}
_USER_SCOPES = _GUEST_SCOPES | {"execution.read", "executions.read", "account"}

GUEST = Caller(kind=CallerKind.GUEST, roles=frozenset({"any", "guests"}), scopes=_GUEST_SCOPES)
ADMIN = Caller(kind=CallerKind.KEY, scopes=None)

#: How long an anonymous session lasts, seconds: Appwrite's default of a year.
SESSION_SECONDS = 31_536_000
#: Checked tokens that are remembered, so that a busy user's signature is not checked anew for each request.
_REMEMBERED_TOKENS = 1000


class Envelope(msgspec.Struct, frozen=True):
    """What the value of a session cookie holds, as base64 of its JSON."""

    id: str
    secret: str


class Authenticator:
    """Finds the caller of a request from its headers."""

    def __init__(
        self, *, project: str, admin_key: str, keys: Keys, tokens: Tokens, operators: Operators
    ) -> None:
        self._project = project.encode()
        self._admin_key = admin_key.encode()
        self._keys = keys
        self._tokens = tokens
        self._operators = operators
        self._users: dict[str, tuple[int, Caller]] = {}
        self._cookie_names = (f"a_session_{project}", f"a_session_{project}_legacy")

    async def identify(self, headers: Mapping[bytes, bytes], project: bytes) -> Caller:
        """Return the caller. `project` is what the request names, empty or `console` for none.

        Raises ProjectNotFound, UserJwtInvalid, UserApiKeyAndSessionSet, ProjectKeyExpired and ApiKeyExpired. A session
        or API key that is not known makes a guest, as in Appwrite.
        """
        if project != self._project and project not in (b"", b"console"):
            raise ProjectNotFound
        user = await self._operator(headers, project) or self._user(headers)
        secret = headers.get(b"x-appwrite-key")
        if not secret:
            return user or GUEST
        if user is not None:
            raise UserApiKeyAndSessionSet
        return await self._key(secret)

    def mint_session(self, user_id: str) -> tuple[str, str, int]:
        """Return a new session of a user: its id, its value for cookies and headers, and when it ends (instant)."""
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
        """Return the operator: in the project `console`, and in this project for clients that say so."""
        if b"cookie" not in headers or (
            project == self._project and headers.get(b"x-appwrite-mode") != b"admin"
        ):
            return None
        claims = await self._operators.identify(headers)
        if claims is None:
            return None
        return msgspec.structs.replace(
            ADMIN, operator=claims.operator, session_id=claims.session_id
        )

    async def _key(self, secret: bytes) -> Caller:
        if hmac.compare_digest(secret, self._admin_key):
            return ADMIN
        text = secret.decode("latin-1")
        if self._tokens.is_function_key(text):
            own = self._tokens.verify_key(text)
            return Caller(kind=CallerKind.KEY, scopes=own.scopes | _KEY_SCOPES, depth=own.depth)
        key = await self._keys.verify(text)
        if key is None:
            return GUEST
        return Caller(kind=CallerKind.KEY, scopes=frozenset(key.scopes) | _KEY_SCOPES)

    def _user(self, headers: Mapping[bytes, bytes]) -> Caller | None:
        token = headers.get(b"x-appwrite-jwt")
        if token:
            # A JWT wins over a session, and says nothing to the function about one.
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
        """Return what the request offers as its session, in the order in which the offers count."""
        sources = [
            headers.get(b"cookie"),
            headers.get(b"x-appwrite-session"),
            headers.get(b"x-fallback-cookies"),
        ]
        if not any(sources):
            return []
        cookie, session, fallback = (
            source.decode("latin-1") if source else "" for source in sources
        )
        pairs = dict(part.strip().partition("=")[::2] for part in cookie.split(";"))
        offers = [pairs.get(name, "") for name in self._cookie_names]
        offers += [session, *_fallback(fallback, self._cookie_names)]
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


def user_caller(claims: UserClaims, *, session: bool) -> Caller:
    """Return the caller that checked claims make, with the roles of Appwrite's `Auth::getRoles`."""
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
        scopes=_USER_SCOPES,
        user_id=user_id,
        session_id=claims.session_id if session else "",
        ends=claims.exp if session or claims.for_function else 0,
    )


def _fallback(header: str, names: tuple[str, ...]) -> list[str]:
    """Return the sessions in `x-fallback-cookies`, a JSON object as `POST /account/sessions/anonymous` gave it."""
    if not header:
        return []
    try:
        cookies = jsontext.decode(header)
    except jsontext.JsonInvalid:
        return []
    if not isinstance(cookies, dict):
        return []
    return [value for name in names if isinstance(value := cookies.get(name), str)]


def _open(value: str) -> str | None:
    """Return the secret in a session's value, None when it is not one of ours."""
    try:
        padded = base64.b64decode(value.replace("%3D", "=").replace("%3d", "=") + "==")
        return jsontext.decode_as(Envelope, padded).secret
    except ValueError:
        return None
