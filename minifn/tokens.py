"""Signed tokens: JWTs of an app's users, short-lived API keys of functions, and download tokens.

JWTs and keys are signed by HS256 with MINIFN_JWT_SECRET, so an app can mint user JWTs with any
library. Sessions and downloads have secrets derived from it: a JWT, which functions get, is not a
session.
"""

import hashlib
import time
from typing import Any, Generic, TypeVar

import jwt
import msgspec

from minifn.errors import ApiKeyExpired, UserJwtInvalid
from minifn.ids import is_id

#: Prefixes of function keys: the first is minted, functions for Appwrite 1.6 expect the second.
KEY_PREFIXES = ("ephemeral_", "dynamic_")
#: Seconds that a function key lives beyond the lifetime it is asked for.
KEY_GRACE_SECONDS = 60
#: Seconds for which a minted function key is used again.
KEY_REUSE_SECONDS = 30
_ALGORITHM = "HS256"


class Team(msgspec.Struct, frozen=True, rename="camel"):
    """A confirmed membership of a user."""

    team_id: str
    membership_id: str = ""
    roles: tuple[str, ...] = ()


class UserClaims(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The claims of a client JWT about its user."""

    user_id: str
    exp: int
    session_id: str = ""
    verified: bool = False
    labels: tuple[str, ...] = ()
    teams: tuple[Team, ...] = ()
    #: Whether it was minted for a function: a session or a JWT made from it ends no later.
    for_function: bool = msgspec.field(default=False, name="handed")


class FunctionKey(msgspec.Struct, frozen=True, kw_only=True):
    """The claims of a function's key."""

    scopes: frozenset[str]
    #: Length of the chain of events that led to the execution with this key.
    depth: int
    #: The functions that it may touch, () for all.
    reach: tuple[str, ...] = ()


class OperatorClaims(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The claims of the session of an operator, who signed in with the admin key."""

    operator: str
    session_id: str
    exp: int


class DownloadClaims(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The claims of a download token."""

    deployment_id: str
    type: str
    exp: int


class ConsoleClaims(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The claims of a session of the console."""

    #: The API key that it was begun with, "" for the admin key.
    key_id: str
    session_id: str
    #: A hash of the secret of the page that began it.
    page: str = ""
    exp: int


C = TypeVar("C", bound=msgspec.Struct)


class SessionTokens(Generic[C]):
    """Mints and checks sessions of one `kind`. Another admin key ends them all."""

    def __init__(self, admin_key: str, kind: str, claims: type[C]) -> None:
        self._secret = hashlib.sha256(f"{kind} {admin_key}".encode()).hexdigest()
        self._claims = claims

    def mint(self, claims: C) -> str:
        """Return a token for `claims`."""
        return jwt.encode(msgspec.to_builtins(claims), self._secret, _ALGORITHM)

    def verify(self, token: str) -> C | None:
        """Return the claims of `token`, None when it is forged, expired or malformed."""
        try:
            return msgspec.convert(_decode(token, self._secret), self._claims)
        except msgspec.ValidationError:
            return None


class OperatorTokens(SessionTokens[OperatorClaims]):
    """Mints and checks the operator's sessions."""

    def __init__(self, admin_key: str) -> None:
        super().__init__(admin_key, "operator", OperatorClaims)


class Tokens:
    """Mints and checks every kind of token. `now` arguments are seconds since the epoch."""

    def __init__(self, secret: str, project: str) -> None:
        self._secret = secret
        self._session_secret = hashlib.sha256(f"session {secret}".encode()).hexdigest()
        self._download_secret = hashlib.sha256(f"download {secret}".encode()).hexdigest()
        self._project = project
        self._keys: dict[tuple[object, ...], tuple[float, str]] = {}

    def mint_user(self, claims: UserClaims) -> str:
        """Return a client JWT for `claims`."""
        return jwt.encode(msgspec.to_builtins(claims), self._secret, _ALGORITHM)

    def mint_session(self, claims: UserClaims) -> str:
        """Return the secret of a session of `claims`."""
        return jwt.encode(msgspec.to_builtins(claims), self._session_secret, _ALGORITHM)

    def verify_user(self, token: str) -> UserClaims:
        """Return the claims of a client JWT.

        Raises UserJwtInvalid when it is forged, expired or malformed.
        """
        return self._claims(token, self._secret)

    def verify_session(self, secret: str) -> UserClaims:
        """Return the claims in the secret of a session.

        Raises UserJwtInvalid when it is forged, expired or malformed.
        """
        return self._claims(secret, self._session_secret)

    def _claims(self, token: str, secret: str) -> UserClaims:
        payload = _decode(token, secret)
        if payload is None or "scopes" in payload:
            raise UserJwtInvalid
        try:
            claims = msgspec.convert(payload, UserClaims)
        except msgspec.ValidationError as exc:
            raise UserJwtInvalid(f"The JWT token is invalid: {exc}") from exc
        if not is_id(claims.user_id):
            raise UserJwtInvalid("The JWT token is invalid: `userId` is not an ID")
        return claims

    def mint_key(
        self,
        scopes: tuple[str, ...],
        lifetime_seconds: int,
        now: float | None = None,
        *,
        depth: int = 0,
        reach: tuple[str, ...] = (),
    ) -> str:
        """Return an API key with `scopes`, for the functions in `reach`, for `lifetime_seconds`.

        It ends KEY_GRACE_SECONDS after that, or up to KEY_REUSE_SECONDS earlier.

        `depth` is the length of the chain of events. Signing costs more than the rest of a warm
        execution's bookkeeping, so a key is reused for KEY_REUSE_SECONDS.
        """
        moment = time.time() if now is None else now
        slot = (scopes, lifetime_seconds, depth, reach)
        minted_at, token = self._keys.get(slot, (0.0, ""))
        if moment - minted_at > KEY_REUSE_SECONDS or minted_at > moment:
            expires = int(moment) + lifetime_seconds + KEY_GRACE_SECONDS
            token = self.mint_ephemeral_key(scopes, expires, depth=depth, reach=reach)
            if len(self._keys) > 1000:
                self._keys.clear()
            self._keys[slot] = (moment, token)
        return token

    def mint_ephemeral_key(
        self,
        scopes: tuple[str, ...],
        expires: int,
        *,
        depth: int = 0,
        reach: tuple[str, ...] = (),
    ) -> str:
        """Return an API key with `scopes` until `expires` (seconds since the epoch)."""
        payload: dict[str, Any] = {
            "projectId": self._project,
            "scopes": list(scopes),
            "exp": expires,
        }
        if depth:
            payload["depth"] = depth
        if reach:
            payload["reach"] = list(reach)
        return KEY_PREFIXES[0] + jwt.encode(payload, self._secret, _ALGORITHM)

    def mint_download(self, deployment_id: str, kind: str, expires: int) -> str:
        """Return a token for one archive, `source` or `output`, of a deployment until `expires`."""
        claims = DownloadClaims(deployment_id=deployment_id, type=kind, exp=expires)
        return jwt.encode(msgspec.to_builtins(claims), self._download_secret, _ALGORITHM)

    def verify_download(self, token: str, deployment_id: str, kind: str) -> bool:
        """Tell whether `token` is valid for this archive."""
        try:
            claims = msgspec.convert(_decode(token, self._download_secret), DownloadClaims)
        except msgspec.ValidationError:
            return False
        return (claims.deployment_id, claims.type) == (deployment_id, kind)

    def is_function_key(self, secret: str) -> bool:
        """Tell whether `secret` has the form of a key of `mint_key`."""
        return secret.startswith(KEY_PREFIXES)

    def verify_key(self, secret: str) -> FunctionKey:
        """Return the claims of a function key.

        Raises ApiKeyExpired when it is forged, expired or of another project.
        """
        payload = _decode(secret.partition("_")[2], self._secret)
        scopes = payload.get("scopes") if payload else None
        if (
            payload is None
            or not isinstance(scopes, list)
            or payload.get("projectId") != self._project
        ):
            raise ApiKeyExpired
        return FunctionKey(
            scopes=frozenset(map(str, scopes)),
            depth=int(payload.get("depth", 0)),
            reach=tuple(payload.get("reach", ())),
        )


def _decode(token: str, secret: str) -> dict[str, Any] | None:
    try:
        payload = jwt.decode(token, secret, algorithms=[_ALGORITHM], options={"require": ["exp"]})
    except (jwt.InvalidTokenError, RecursionError):
        # The library does not catch RecursionError, which a nested header causes.
        return None
    return dict(payload)
