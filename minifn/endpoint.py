"""The address of the API, as functions and builds are told it."""

from urllib.parse import urlsplit

from minifn.config import Config, authority
from minifn.ids import split_authority


class ApiEndpoint:
    """The URL of the API that processes of this machine are told.

    It is the setting's. Without a setting it is made of MINIFN_HOST and MINIFN_PORT until the first
    request has shown at which address, and below which path, the app that embeds minifn is served.
    """

    def __init__(self, config: Config) -> None:
        url = urlsplit(config.endpoint or f"http://{authority(config.host, config.port)}/v1")
        self._origin = f"{url.scheme}://{url.netloc}"
        self._prefix = url.path.removesuffix("/v1")
        self._origin_is_known = self._prefix_is_known = bool(config.endpoint)
        self._note()

    def _note(self) -> None:
        # Each execution reads these.
        #: Whether requests no longer change the address.
        self.is_known = self._origin_is_known and self._prefix_is_known
        #: The URL of the API, `/v1` included.
        self.url = f"{self._origin}{self._prefix}/v1"
        #: The host and port.
        self.authority = self._origin.partition("://")[2]

    def url_of(self, host: str) -> str:
        """Return the URL of another host at the same port."""
        port = split_authority(self.authority)[1]
        scheme = self._origin.partition("://")[0]
        return f"{scheme}://{host}:{port}" if port else f"{scheme}://{host}"

    def expect(self, prefix: str) -> None:
        """Suppose that the app is mounted at `prefix`, until a request shows where it is."""
        if not self._prefix_is_known:
            self._prefix = prefix
            self._note()

    def learn(self, origin: str, prefix: str | None) -> None:
        """Take over the origin and the prefix of a request; "" and None = not known from it."""
        if origin and not self._origin_is_known:
            self._origin, self._origin_is_known = origin, True
        if prefix is not None and not self._prefix_is_known:
            self._prefix, self._prefix_is_known = prefix, True
        self._note()
