"""The console's sign-in: a cookie that counts for pages of the server's own address alone.

A session is a signed token, so it outlives a restart. It has the rights of the key that it was
begun with, and ends with that key. Pages of other people's functions may share the site of this
server, which `SameSite` does not stop: so the cookie counts only with a header that a page of
another origin cannot send, because `cors.py` does not allow it.

Browsers send a cookie to every port of a host, and a function may listen on one. So the header's
value counts too: the console keeps a random one for its own origin, and a session is good with the
value that it was begun with. For the same reason each server has a cookie of its own name.
"""

import hashlib
import hmac
import time
from collections.abc import Mapping

from starlette.types import Scope

from minifn.api.access import cookies
from minifn.api.access.operators import Operators
from minifn.api.access.origins import is_same_host
from minifn.api.wire.answers import RawHeaders
from minifn.errors import ProjectKeyExpired, UnknownOrigin, UserInvalidCredentials
from minifn.ids import new_id
from minifn.models import ApiKey
from minifn.services.keys import Keys
from minifn.services.sign_in_links import SignInLinks
from minifn.tokens import ConsoleClaims, SessionTokens

#: Beginning of the cookie's name.
COOKIE = "minifn_console"
#: The header that requests of the console have, with a secret of the page's origin.
HEADER = b"x-minifn-console"
#: Lifetime of a session in seconds: a week.
SESSION_SECONDS = 7 * 86_400

#: Values of `Sec-Fetch-Site` for requests that no page of another origin caused.
_OWN_SITES = (b"same-origin", b"none")


def cookie_name(admin_key: str) -> str:
    """Return the name of the cookie of one server: a host may have several, by port."""
    return f"{COOKIE}_{hashlib.sha256(f'cookie {admin_key}'.encode()).hexdigest()[:8]}"


class ConsoleSessions:
    """Signs visitors of the console in and out, and finds their sessions."""

    def __init__(
        self, *, operators: Operators, admin_key: str, keys: Keys, links: SignInLinks
    ) -> None:
        self._operators = operators
        self._admin_key = admin_key.encode()
        self._cookie = cookie_name(admin_key)
        self._keys = keys
        self._links = links
        self._tokens = SessionTokens(admin_key, "console", ConsoleClaims)

    async def sign_in(
        self, token: str, key: str, address: str, headers: Mapping[bytes, bytes]
    ) -> tuple[ConsoleClaims, str]:
        """Return a new session, begun by a one-time token or an API key, and the cookie's value.

        Raises UserInvalidCredentials, ProjectKeyExpired, and RateLimitExceeded after too many
        failures from `address`. A good link, which cannot be guessed, signs in even then: a
        function of this machine has the address of its operator, and can fail on purpose.
        """
        key_id: str | None = ""
        if not (token and self._links.take(token)):
            self._operators.check_failures(address)
            key_id = await self._key_id(key)
        if key_id is None:
            self._operators.count_failure(address)
            raise UserInvalidCredentials(
                "The link was used or is older than ten minutes: `minifn open` makes a new one."
                if token
                else "This is not a key of this server. Its own key is in `admin.key`."
            )
        claims = ConsoleClaims(
            key_id=key_id,
            session_id=new_id(),
            page=_page_of(headers),
            exp=int(time.time()) + SESSION_SECONDS,
        )
        return claims, self._tokens.mint(claims)

    async def _key_id(self, secret: str) -> str | None:
        """Return the id of a key, "" for the admin key, None for an unknown one."""
        if hmac.compare_digest(secret.encode(errors="surrogatepass"), self._admin_key):
            return ""
        key = await self._keys.verify(secret) if secret.isascii() and secret else None
        return None if key is None else key.id

    async def identify(self, headers: Mapping[bytes, bytes]) -> ConsoleClaims | None:
        """Return the session of a request; None without one, and for pages of another origin."""
        if HEADER not in headers or not is_own_page(headers):
            return None
        value = cookies.parse(headers.get(b"cookie", b"")).get(self._cookie, "")
        claims = self._tokens.verify(value) if value else None
        if claims is None or not hmac.compare_digest(claims.page, _page_of(headers)):
            return None
        if await self._operators.has_ended(claims.session_id):
            return None
        return claims

    async def key_of(self, claims: ConsoleClaims) -> ApiKey | None:
        """Return the API key of a session; None when it was deleted or has expired."""
        try:
            return await self._keys.known(claims.key_id)
        except ProjectKeyExpired:
            return None

    async def sign_out(self, claims: ConsoleClaims) -> None:
        """End a session."""
        await self._operators.sign_out(claims.session_id)

    def setting(self, scope: Scope, value: str) -> RawHeaders:
        """Return the header that sets the cookie; "" deletes it."""
        seconds = SESSION_SECONDS if value else 0
        return [
            cookies.setting(scope, self._cookie, value, seconds, path="/v1", same_site="strict")
        ]


def is_own_page(headers: Mapping[bytes, bytes]) -> bool:
    """Tell whether a request comes from a page of the address that it goes to, or from no page."""
    site = headers.get(b"sec-fetch-site")
    return is_same_host(headers) and (site is None or site in _OWN_SITES)


def check_page(headers: Mapping[bytes, bytes]) -> None:
    """Raise UnknownOrigin for a request to sign in or out that the console did not make."""
    if HEADER not in headers or not is_own_page(headers):
        raise UnknownOrigin(
            f"Only the console of this server signs in and out: send {HEADER.decode()}."
        )


def _page_of(headers: Mapping[bytes, bytes]) -> str:
    """Return what a session keeps of the header's value: the cookie goes to other ports."""
    return hashlib.sha256(headers[HEADER]).hexdigest()[:32]
