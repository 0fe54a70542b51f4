"""The operator: whoever knows the admin key may sign in with it, as the CLI and the console do, and get a session.

A session is a signed token, so it outlives a restart; those that were signed out are remembered until they would have
ended by themselves. It is good for everything the admin key is good for, and therefore never leaves its cookie: not for
pages of other hosts, not for the browser's storage.
"""

import hmac
import time
from collections.abc import Callable, Mapping

import msgspec

from minifn.api.access.origins import is_same_host
from minifn.api.access.rates import Rate
from minifn.errors import RateLimitExceeded, UserInvalidCredentials
from minifn.ids import new_id
from minifn.store import settings
from minifn.store.database import Database
from minifn.tokens import OperatorClaims, OperatorTokens

COOKIE = "a_session_console"
#: How long a session lasts.
SESSION_SECONDS = 30 * 86_400
#: Wrong passwords that one address may try in a minute.
FAILURES_MAX = 10
FAILURES_PERIOD_SECONDS = 60

_MARK = f"{COOKIE}=".encode()
#: The name of the setting that remembers signed-out sessions: their ids and when they would have ended.
_ENDED = "operator_sessions_ended"
_decode_ended = msgspec.json.Decoder(dict[str, int]).decode


class Operators:
    """Signs operators in and out, and knows them again."""

    def __init__(self, database: Database, admin_key: str, clock: Callable[[], float]) -> None:
        self._database = database
        self._admin_key = admin_key.encode()
        self._tokens = OperatorTokens(admin_key)
        self._failures = Rate(FAILURES_MAX, FAILURES_PERIOD_SECONDS, clock)
        self._ended: dict[str, int] | None = None

    def sign_in(self, email: str, password: str, address: str) -> tuple[OperatorClaims, str]:
        """Return a new session and its value for the cookie.

        Raises UserInvalidCredentials, and RateLimitExceeded when `address` has tried too many wrong passwords.
        """
        if self._failures.look(address).used >= FAILURES_MAX:
            raise RateLimitExceeded
        if not hmac.compare_digest(password.encode(), self._admin_key):
            self._failures.count(address)
            raise UserInvalidCredentials
        claims = OperatorClaims(
            operator=email, session_id=new_id(), exp=int(time.time()) + SESSION_SECONDS
        )
        return claims, self._tokens.mint(claims)

    async def identify(self, headers: Mapping[bytes, bytes]) -> OperatorClaims | None:
        """Return whose session a request's cookie holds, None for none, an ended one, or one sent by a foreign page."""
        cookie = headers.get(b"cookie", b"")
        if _MARK not in cookie or not is_same_host(headers):
            return None
        # The CLI sends back what it was given, attributes included: they are more cookies, which nobody asks for.
        pairs = dict(part.strip().partition(b"=")[::2] for part in cookie.split(b";"))
        claims = self._tokens.verify(pairs.get(COOKIE.encode(), b"").decode("latin-1"))
        return None if claims is None or claims.session_id in await self._load_ended() else claims

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
