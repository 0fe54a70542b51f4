"""A build's log, stored while the build writes it: clients follow `buildLogs` of the deployment."""

import asyncio
import codecs
import time

from minifn.change_feed import ChangeFeed
from minifn.host.tasks import Tasks
from minifn.limits import LOG_LIMIT_CHARS
from minifn.store import build_queue, deployments
from minifn.store.database import Database

#: Seconds for which output is collected before it is stored.
FLUSH_SECONDS = 0.25
#: Rate that bounds published changes: each has the whole log, so long logs are published rarely.
PUBLISHED_CHARS_PER_SECOND = 200_000


class LogText:
    """The text of a build log as it comes: lines of minifn itself, and output of commands."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = ""
        self._line_open = False

    def note(self, text: str) -> None:
        """Add a line of minifn itself."""
        lead = "\n" if self._line_open else ""
        self.add(f"{lead}{time.strftime('[%H:%M:%S]', time.gmtime())} [minifn] {text}\n")

    async def write(self, output: bytes) -> None:
        """Add the output of a command; escape sequences stay."""
        self.add(self._decoder.decode(output).replace("\0", "\N{REPLACEMENT CHARACTER}"))

    def add(self, text: str) -> None:
        """Add text."""
        if text:
            self._pending += text
            self._line_open = not text.endswith("\n")
            self.added()

    def added(self) -> None:
        """Note that there is new text."""

    def take(self) -> str:
        """Return the text that was added since the last time."""
        text, self._pending = self._pending, ""
        return text


class BuildLog(LogText):
    """Collects text and appends it to a deployment's build logs; the store keeps their end."""

    def __init__(self, database: Database, deployment_id: str, changes: ChangeFeed) -> None:
        super().__init__()
        self._database = database
        self._deployment_id = deployment_id
        self._changes = changes
        self._quiet_until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._flushes = Tasks()
        self._turn = asyncio.Lock()

    async def write(self, output: bytes) -> None:
        """Add the output of a command; waits when the store is too slow."""
        await super().write(output)
        if len(self._pending) > LOG_LIMIT_CHARS:
            await self.flush()

    def close(self) -> None:
        """Stop the timer: text that is not stored yet stays unstored until `flush`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def flush(self) -> None:
        """Store all text added so far."""
        self.close()
        async with self._turn:
            text = self.take()
            if not text:
                return
            kept = text[-LOG_LIMIT_CHARS:]
            stored_chars = await self._database.insist(
                build_queue.append_logs, self._deployment_id, kept
            )
            if stored_chars is not None:
                self._changes.tell_log(self._deployment_id, text, stored_chars)

    def added(self) -> None:
        """Have the text stored soon."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush_soon)

    def _flush_soon(self) -> None:
        self._timer = None
        self._flushes.start(self._flush_and_tell(), f"minifn-build-log-{self._deployment_id}")

    async def _flush_and_tell(self) -> None:
        await self.flush()
        if not self._changes.heard or time.monotonic() < self._quiet_until:
            return
        deployment = await self._database.read(deployments.by_id, self._deployment_id)
        if deployment is not None:
            self._changes.tell("update", deployment)
            self._quiet_until = (
                time.monotonic() + len(deployment.build_logs) / PUBLISHED_CHARS_PER_SECOND
            )
