"""Follows the builds of one push: their logs as they are written, and how they end."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from minifn.change_feed import Change, LogPiece
from minifn.models import UNFINISHED_BUILD, Deployment, Function

#: Most characters of log text that wait for one pusher. Beyond them the oldest text is dropped, so
#: that no build waits for a slow pusher.
HELD_CHARS_MAX = 4_000_000


@dataclass(kw_only=True, slots=True)
class _Build:
    texts: deque[str] = field(default_factory=deque)
    held_chars: int = 0
    #: Characters dropped since the last read.
    lost: int = 0
    ended: bool = False
    #: The deployment when its build ended, None when it was deleted.
    deployment: Deployment | None = None


class BuildFollower:
    """Collects the logs and ends of a function's builds, each from its `expect` on."""

    def __init__(self, function_id: str, held_chars_max: int = HELD_CHARS_MAX) -> None:
        self._function_id = function_id
        self._held_chars_max = held_chars_max
        self._builds: dict[str, _Build] = {}
        self._news = asyncio.Event()

    def expect(self, deployment_id: str) -> None:
        """Collect the log and the end of a deployment from now on."""
        self._builds[deployment_id] = _Build()

    def hear(self, news: Change | LogPiece) -> None:
        """Take news of the feed; the follower that `ChangeFeed.followed` calls."""
        if isinstance(news, LogPiece):
            if (build := self._builds.get(news.deployment_id)) is not None and not build.ended:
                self._keep(build, news.text)
            return
        record = news.record
        if isinstance(record, Deployment) and (build := self._builds.get(record.id)) is not None:
            if news.action == "delete":
                self._end(build, None)
            elif record.status not in UNFINISHED_BUILD:
                self._end(build, record)
        elif (
            isinstance(record, Function)
            and record.id == self._function_id
            and news.action == "delete"
        ):
            for build in self._builds.values():
                self._end(build, None)

    def _end(self, build: _Build, deployment: Deployment | None) -> None:
        if not build.ended:
            build.ended, build.deployment = True, deployment
            self._news.set()

    def _keep(self, build: _Build, text: str) -> None:
        build.texts.append(text)
        build.held_chars += len(text)
        while sum(one.held_chars for one in self._builds.values()) > self._held_chars_max:
            longest = max(self._builds.values(), key=lambda one: one.held_chars)
            dropped = len(longest.texts.popleft())
            longest.held_chars -= dropped
            longest.lost += dropped
        self._news.set()

    async def log(self, deployment_id: str, pause_seconds: float) -> AsyncIterator[str]:
        """Yield the log of a build until it ends; "" after each `pause_seconds` without news."""
        build = self._builds[deployment_id]
        while True:
            self._news.clear()
            if text := self._taken(build):
                yield text
            elif build.ended:
                return
            else:
                try:
                    await asyncio.wait_for(self._news.wait(), pause_seconds)
                except TimeoutError:
                    yield ""

    def _taken(self, build: _Build) -> str:
        text = "".join(build.texts)
        build.texts.clear()
        build.held_chars = 0
        if build.lost:
            gap = f"{build.lost:,} characters are left out: the log came faster than it was read"
            text = f"\n[... {gap} ...]\n{text}"
            build.lost = 0
        return text

    def outcome(self, deployment_id: str) -> Deployment | None:
        """Return the deployment when its build ended; None when it was deleted."""
        return self._builds[deployment_id].deployment
