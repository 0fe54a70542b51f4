"""Reads `text/event-stream` answers."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

#: Name and content of an event.
Event = tuple[str, dict[str, Any]]


class EventReader:
    """The events of one answer, in order; comments are skipped."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.iter_lines()

    def next(self, *names: str) -> Event:
        """Wait for the next event, or the next with one of `names`.

        Raises StopIteration when the stream ends.
        """
        name = ""
        while True:
            field, _, value = next(self._lines).partition(": ")
            if field == "event":
                name = value
            elif field == "data" and (not names or name in names):
                return name, json.loads(value)

    def rest(self) -> list[Event]:
        """Wait for the end of the stream; return the events until then."""
        found = []
        while True:
            try:
                found.append(self.next())
            except StopIteration:
                return found


@contextmanager
def reading(client: httpx.Client, path: str, **options: Any) -> Iterator[EventReader]:
    """Open a stream; its source has begun when this returns."""
    with client.stream("GET", path, **options) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        yield EventReader(answer)


def ask(client: httpx.Client, method: str, path: str, **options: Any) -> httpx.Response:
    """Send one request; of a stream only the head is read."""
    with client.stream(method, path, **options) as answer:
        if answer.headers.get("content-type", "").startswith("text/event-stream"):
            answer.close()
            return httpx.Response(answer.status_code, request=answer.request, text="")
        answer.read()
    return answer
