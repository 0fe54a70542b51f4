"""Signed tokens: JWTs of an app's users, the short-lived API keys that functions are given, and tokens for downloads.

Both are HS256 under MINIFN_JWT_SECRET, so an app that embeds minifn mints user tokens with any JWT library. Sessions
have a secret of their own, made of it: a JWT, which functions are given, is no session.
"""

import hashlib
import time
from typing import Any

import jwt
import msgspec

from minifn.errors import ApiKeyExpired, UserJwtInvalid
from minifn.ids import is_id

#: What function keys begin with: the first is minted, the second is what 1.6 functions compare with.
KEY_PREFIXES = ("ephemeral_", "dynamic_")
#: Seconds that a function key lives beyond the lifetime it is asked for.
KEY_GRACE_SECONDS = 60
#: Seconds for which a function key is handed out again before a new one is made.
KEY_REUSE_SECONDS = 30
_ALGORITHM = "HS256"


class Team(msgspec.Struct, frozen=True, rename="camel"):
    """A confirmed membership of a user."""

    team_id: str
    membership_id: str = ""
    roles: tuple[str, ...] = ()


class UserClaims(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a client JWT says about its user."""

    user_id: str
    exp: int
    session_id: str = ""
    verified: bool = False
    labels: tuple[str, ...] = ()
    teams: tuple[Team, ...] = ()
    #: Whether it was made for a function: what is made of it then ends no later.
    handed: bool = False


class FunctionKey(msgspec.Struct, frozen=True, kw_only=True):
    """What a function's own key says."""

    scopes: frozenset[str]
    #: How many executions caused by events lie behind the one that was given the key.
    depth: int


class OperatorClaims(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the session of the operator, who signed in with the admin key, says."""

    operator: str
    session_id: str
    exp: int


class DownloadClaims(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a token for a download says."""

    deployment_id: str
    type: str
    exp: int


class OperatorTokens:
    """Mints and checks the operator's sessions. Another admin key ends them all."""

    def __init__(self, admin_key: str) -> None:
        self._secret = hashlib.sha256(f"operator {admin_key}".encode()).hexdigest()

    def mint(self, claims: OperatorClaims) -> str:
        """Return a token for `claims`."""
        return jwt.encode(msgspec.to_builtins(claims), self._secret, _ALGORITHM)

    def verify(self, token: str) -> OperatorClaims | None:
        """Return what `token` says, None when it is forged, expired or malformed."""
        try:
            return msgspec.convert(_decode(token, self._secret), OperatorClaims)
        except msgspec.ValidationError:
            return None


class Tokens:
    """Mints and checks every kind of token. `now` arguments are seconds since the epoch."""

    def __init__(self, secret: str, project: str) -> None:
        self._secret = secret
        self._session_secret = hashlib.sha256(f"session {secret}".encode()).hexdigest()
        self._download_secret = hashlib.sha256(f"download {secret}".encode()).hexdigest()
        self._project = project
        self._keys: dict[tuple[tuple[str, ...], int, int], tuple[float, str]] = {}

    def mint_user(self, claims: UserClaims) -> str:
        """Return a client JWT for `claims`."""
        return jwt.encode(msgspec.to_builtins(claims), self._secret, _ALGORITHM)

    def mint_session(self, claims: UserClaims) -> str:
        """Return the secret of a session of `claims`."""
        return jwt.encode(msgspec.to_builtins(claims), self._session_secret, _ALGORITHM)

    def verify_user(self, token: str) -> UserClaims:
        """Return what a client JWT says. Raises UserJwtInvalid when it is forged, expired or malformed."""
        return self._claims(token, self._secret)

    def verify_session(self, secret: str) -> UserClaims:
        """Return what the secret of a session says. Raises UserJwtInvalid when it is forged, expired or malformed."""
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
    ) -> str:
        """Return an API key that holds `scopes` for `lifetime_seconds`, for an execution of this `depth`.

        It ends KEY_GRACE_SECONDS after that, or up to KEY_REUSE_SECONDS earlier.

        Signing costs more than the rest of a warm execution's bookkeeping, so a key serves for KEY_REUSE_SECONDS.
        """
        moment = time.time() if now is None else now
        slot = (scopes, lifetime_seconds, depth)
        minted_at, token = self._keys.get(slot, (0.0, ""))
        if moment - minted_at > KEY_REUSE_SECONDS or minted_at > moment:
            expires = int(moment) + lifetime_seconds + KEY_GRACE_SECONDS
            token = self.mint_ephemeral_key(scopes, expires, depth=depth)
            if len(self._keys) > 1000:
                self._keys.clear()
            self._keys[slot] = (moment, token)
        return token

    def mint_ephemeral_key(self, scopes: tuple[str, ...], expires: int, *, depth: int = 0) -> str:
        """Return an API key that holds `scopes` until `expires` (seconds since the epoch)."""
        payload: dict[str, Any] = {
            "projectId": self._project,
            "scopes": list(scopes),
            "exp": expires,
        }
        if depth:
            payload["depth"] = depth
        return KEY_PREFIXES[0] + jwt.encode(payload, self._secret, _ALGORITHM)

    def mint_download(self, deployment_id: str, kind: str, expires: int) -> str:
        """Return a token for one archive, `source` or `output`, of a deployment until `expires`."""
        claims = DownloadClaims(deployment_id=deployment_id, type=kind, exp=expires)
        return jwt.encode(msgspec.to_builtins(claims), self._download_secret, _ALGORITHM)

    def verify_download(self, token: str, deployment_id: str, kind: str) -> bool:
        """Tell whether `token` is one for this archive, and has not expired."""
        try:
            claims = msgspec.convert(_decode(token, self._download_secret), DownloadClaims)
        except msgspec.ValidationError:
            return False
        return (claims.deployment_id, claims.type) == (deployment_id, kind)

    def is_function_key(self, secret: str) -> bool:
        """Tell whether `secret` claims to be a key that `mint_key` made."""
        return secret.startswith(KEY_PREFIXES)

    def verify_key(self, secret: str) -> FunctionKey:
        """Return what a function key says. Raises ApiKeyExpired when forged, expired or of another project."""
        payload = _decode(secret.partition("_")[2], self._secret)
        scopes = payload.get("scopes") if payload else None
        if (
            payload is None
            or not isinstance(scopes, list)
            or payload.get("projectId") != self._project
        ):
            raise ApiKeyExpired
        return FunctionKey(scopes=frozenset(map(str, scopes)), depth=int(payload.get("depth", 0)))


def _decode(token: str, secret: str) -> dict[str, Any] | None:
    try:
        payload = jwt.decode(token, secret, algorithms=[_ALGORITHM], options={"require": ["exp"]})
    except (jwt.InvalidTokenError, RecursionError):
        # The library lets the latter pass, for a header that nests.
        return None
    return dict(payload)
