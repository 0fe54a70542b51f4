"""A client of the public HTTP API: requests, lists page by page, and streams of events."""

import ipaddress
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, ClassVar
from urllib.parse import urlsplit

import httpx

#: Seconds to wait for a connection, and for each part of an answer.
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 60.0
#: Errors of a request that is not sent, or has no answer.
UNSENT = (httpx.HTTPError, httpx.InvalidURL)
#: Rows of a page of a list.
PAGE_ROWS = 100


class RemoteError(Exception):
    """The server answered with an error, or did not answer; the message is one line.

    `status` is the HTTP status, 0 without an answer; `type` that of Appwrite, such as
    `function_not_found`.
    """

    def __init__(self, message: str, status: int = 0, type: str = "") -> None:
        super().__init__(" ".join(message.split()))
        self.status = status
        self.type = type


@dataclass(frozen=True)
class Event:
    """One event of a stream: its name, and its data from JSON."""

    name: str
    data: Any


class Remote:
    """Calls the server at `url`, which has no `/v1`, with a project's key. A context manager."""

    #: The remedies in messages: of a server that does not answer, and of a key that is refused.
    start_hint: ClassVar = "start it with `minifn serve`, or name another with --server"
    key_hint: ClassVar = "the key is that of --key, MINIFN_API_KEY or `minifn link`"

    def __init__(self, url: str, project: str, key: str, seconds: float = ANSWER_SECONDS) -> None:
        """`seconds` is the longest silence of the server.

        Raises RemoteError for a project or a key that no header can hold.
        """
        self.url = url
        for name, value, source in (
            ("project", project, "MINIFN_PROJECT or the link"),
            ("key", key, self.key_hint),
        ):
            # Not shown: it is a secret.
            if not (value.isascii() and value.isprintable()):
                raise RemoteError(f"the {name} holds what no {name} does ({source})")
        headers = {"x-appwrite-project": project, "x-sdk-language": "cli"}
        if key:
            headers["x-appwrite-key"] = key
        self._http = httpx.Client(
            base_url=f"{url}/v1",
            headers=headers,
            timeout=httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS)),
            # A proxy of the environment does not reach this machine's own addresses.
            trust_env=not _is_local(url),
            # Reading the certificates takes 20 ms, and plain HTTP needs none.
            verify=url.startswith("https:"),
        )

    def __enter__(self) -> "Remote":
        return self

    def __exit__(self, *error: object) -> None:
        self._http.close()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send one request and return its answer. Raises RemoteError."""
        try:
            answer = self._http.request(method, path, **options)
        except UNSENT as exc:
            raise self._unanswered(exc) from exc
        if answer.is_error:
            raise self._refused(answer)
        return answer

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Send one request and return its JSON, None without any. Raises RemoteError."""
        answer = self.request(method, path, **options)
        try:
            return answer.json() if answer.content else None
        except ValueError as exc:
            message = f"{self.url} does not answer as a server of Appwrite's API does"
            raise RemoteError(message) from exc

    def pages(
        self,
        path: str,
        name: str,
        queries: Sequence[str] = (),
        count: int = PAGE_ROWS,
        *,
        plain: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """Yield the rows of a list. A page has as many as are expected, `count`.

        `plain` sends only what every version of the API knows. Raises RemoteError.
        """
        params: dict[str, Any] = {} if plain else {"total": "false"}
        limit = max(1, min(count, PAGE_ROWS))
        asked = [*queries, query("limit", limit)]
        while True:
            rows = self.call("GET", path, params={**params, "queries[]": asked})[name]
            yield from rows
            if len(rows) < limit:
                return
            asked = [*queries, query("limit", limit), query("cursorAfter", rows[-1]["$id"])]

    def download(self, path: str, file: IO[bytes], progress: Callable[[int], None]) -> None:
        """Write an answer to a file, a part at a time; `progress` is told the bytes so far.

        Raises RemoteError, also when the answer ends early.
        """
        try:
            plain = {"accept-encoding": "identity"}
            with self._http.stream("GET", path, headers=plain) as answer:
                if answer.is_error:
                    answer.read()
                    raise self._refused(answer)
                for part in answer.iter_bytes():
                    file.write(part)
                    progress(file.tell())
        except httpx.HTTPError as exc:
            raise self._unanswered(exc) from exc

    def events(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        opened: Callable[[], None] | None = None,
    ) -> Iterator[Event]:
        """Yield the events of a stream until the server ends it. Raises RemoteError.

        `opened` is called once nothing more is missed.
        """
        try:
            with self._http.stream("GET", path, params=params) as answer:
                if answer.is_error:
                    answer.read()
                    raise self._refused(answer)
                if opened is not None:
                    opened()
                yield from _events(answer.iter_lines())
        except UNSENT as exc:
            raise self._unanswered(exc) from exc

    def _unanswered(self, error: Exception) -> RemoteError:
        if isinstance(error, httpx.InvalidURL):
            return RemoteError(f"{self.url} cannot be asked: {error}")
        if isinstance(error, httpx.ConnectError):
            return RemoteError(f"no server answers at {self.url}: {self.start_hint} ({error})")
        reason = str(error) or type(error).__name__
        return RemoteError(f"{self.url} did not answer: {reason}")

    def _refused(self, answer: httpx.Response) -> RemoteError:
        try:
            error = answer.json()
            message, type = str(error["message"]), str(error["type"])
        except (ValueError, KeyError, TypeError):
            message, type = f"{answer.status_code} {answer.reason_phrase}", ""
        if answer.status_code in (401, 403):
            message += f" ({self.key_hint})"
        return RemoteError(message, answer.status_code, type)


def query(method: str, *values: object, attribute: str = "") -> str:
    """Return a query of a list, in Appwrite's syntax."""
    named = {"attribute": attribute} if attribute else {}
    return json.dumps({"method": method, **named, "values": values})


def _events(lines: Iterator[str]) -> Iterator[Event]:
    """Yield the events in the lines of a `text/event-stream` (WHATWG HTML, 9.2.6)."""
    name, data = "message", list[str]()
    for line in lines:
        field, _, value = line.partition(":")
        if line and field == "event":
            name = value.removeprefix(" ")
        elif line and field == "data":
            data.append(value.removeprefix(" "))
        elif not line and data:
            yield Event(name, json.loads("\n".join(data)))
        if not line:
            name, data = "message", []


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
