"""The arguments of a Python handler, for editors and type checkers.

    from typing import TYPE_CHECKING

    if TYPE_CHECKING:
        from minifn.handler import Context, Result


    def main(context: "Context") -> "Result":
        return context.res.text(f"Hello, {context.req.body_text}!")

Nothing of it exists while a function runs: the server's wrapper gives objects with these members.
The file needs nothing else of minifn, so a copy beside a function works as well.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypedDict

#: Headers of a response; those of a list are sent one by one.
Headers = Mapping[str, str | int | Sequence[str]]


class Result(TypedDict):
    """A response, as the methods of `context.res` return it and the handler returns it on."""

    body: str | bytes
    statusCode: int
    headers: Any


class Request(Protocol):
    """`context.req`: the request. A body is parsed when it is read."""

    method: str
    scheme: str
    #: Without the port.
    host: str
    port: int
    #: Decoded, as are the text after `?` and its pairs.
    path: str
    query_string: str
    #: By name in lower case.
    headers: dict[str, str]
    body_binary: bytes

    @property
    def url(self) -> str:
        """The whole address."""

    @property
    def query(self) -> dict[str, str]:
        """The pairs after `?`; the last of a repeated name counts."""

    @property
    def body_text(self) -> str:
        """The body as UTF-8. Raises UnicodeDecodeError."""

    @property
    def body_json(self) -> Any:
        """The body parsed as JSON. Raises ValueError."""

    @property
    def body(self) -> Any:
        """Parsed JSON when `content-type` begins with `application/json`, otherwise text."""

    @property
    def body_raw(self) -> str:
        """An old name of `body_text`."""


class Response(Protocol):
    """`context.res`: each method returns a response, which the handler must return."""

    def text(self, body: str, statusCode: int = 200, headers: Headers | None = None) -> Result:
        """A string as UTF-8."""

    def json(self, obj: Any, statusCode: int = 200, headers: Headers | None = None) -> Result:
        """JSON, with its content-type."""

    def binary(self, bytes: bytes, statusCode: int = 200, headers: Headers | None = None) -> Result:
        """Bytes as they are."""

    def redirect(self, url: str, statusCode: int = 301, headers: Headers | None = None) -> Result:
        """Send the client to another address."""

    def empty(self) -> Result:
        """204, without a body."""

    def send(
        self, body: str | bytes, statusCode: int = 200, headers: Headers | None = None
    ) -> Result:
        """An old name of `text` and `binary`."""


class Context(Protocol):
    """The argument of a handler."""

    req: Request
    res: Response

    def log(self, *messages: object) -> None:
        """Write a line to `logs`; lists and objects are written as JSON."""

    def error(self, *messages: object) -> None:
        """Write a line to `errors`."""
