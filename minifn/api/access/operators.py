"""The operator signs in with the admin key, as the CLI and the console do, and gets a session.

A session is a signed token, so it outlives a restart. Sessions that were signed out are stored
until they would have expired. A session grants all that the admin key grants, so it is given to its
cookie alone: pages of other hosts cannot use it, and no script can read it.
"""

import hmac
import time
from collections.abc import Callable, Mapping

import msgspec

from minifn.api.access import cookies
from minifn.api.access.origins import is_same_host
from minifn.api.access.rates import Rate
from minifn.errors import RateLimitExceeded, UserInvalidCredentials
from minifn.ids import new_id
from minifn.store import settings
from minifn.store.database import Database
from minifn.tokens import OperatorClaims, OperatorTokens

COOKIE = cookies.session_name("console")
#: Lifetime of a session in seconds: 30 days.
SESSION_SECONDS = 30 * 86_400
#: Most wrong passwords from one address in FAILURES_PERIOD_SECONDS.
FAILURES_MAX = 10
FAILURES_PERIOD_SECONDS = 60

_MARK = f"{COOKIE}=".encode()
#: Name of the setting with signed-out sessions: id -> end in seconds since the epoch.
_ENDED = "operator_sessions_ended"
_decode_ended = msgspec.json.Decoder(dict[str, int]).decode


class Operators:
    """Signs operators in and out, and finds them by their session."""

    def __init__(self, database: Database, admin_key: str, clock: Callable[[], float]) -> None:
        self._database = database
        self._admin_key = admin_key.encode()
        self._tokens = OperatorTokens(admin_key)
        self._failures = Rate(FAILURES_MAX, FAILURES_PERIOD_SECONDS, clock)
        self._ended: dict[str, int] | None = None

    def sign_in(self, email: str, password: str, address: str) -> tuple[OperatorClaims, str]:
        """Return a new session and its value for the cookie.

        Raises UserInvalidCredentials, and RateLimitExceeded after FAILURES_MAX wrong passwords
        from `address`.
        """
        self.check_failures(address)
        if not hmac.compare_digest(password.encode(), self._admin_key):
            self.count_failure(address)
            raise UserInvalidCredentials
        claims = OperatorClaims(
            operator=email, session_id=new_id(), exp=int(time.time()) + SESSION_SECONDS
        )
        return claims, self._tokens.mint(claims)

    def check_failures(self, address: str) -> None:
        """Raise RateLimitExceeded after FAILURES_MAX wrong passwords from `address`."""
        if self._failures.look(address).used >= FAILURES_MAX:
            raise RateLimitExceeded

    def count_failure(self, address: str) -> None:
        """Count a wrong password, key or link from `address`."""
        self._failures.count(address)

    async def identify(self, headers: Mapping[bytes, bytes]) -> OperatorClaims | None:
        """Return the claims of the session in a request's cookie.

        None without a session, after its end, and for pages of other hosts.
        """
        cookie = headers.get(b"cookie", b"")
        if _MARK not in cookie or not is_same_host(headers):
            return None
        claims = self._tokens.verify(cookies.parse(cookie).get(COOKIE, ""))
        return None if claims is None or await self.has_ended(claims.session_id) else claims

    async def has_ended(self, session_id: str) -> bool:
        """Tell whether a session was signed out."""
        return session_id in await self._load_ended()

    async def sign_out(self, session_id: str) -> None:
        """End a session."""
        now = int(time.time())
        ended = {key: until for key, until in (await self._load_ended()).items() if until > now}
        self._ended = {**ended, session_id: now + SESSION_SECONDS}
        await self._database.write(settings.put, _ENDED, msgspec.json.encode(self._ended).decode())

    async def _load_ended(self) -> dict[str, int]:
        if self._ended is None:
            stored = _decode_ended(await self._database.read(settings.get, _ENDED, "{}"))
            self._ended = stored if self._ended is None else self._ended
        return self._ended
