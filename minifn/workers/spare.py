"""A spare: a worker's process that waits, for a function whose workers cannot be forked.

It has started its wrapper and has not imported the function. The next worker takes it instead of
starting a process, which takes longer than everything else in a cold start.
"""

import asyncio
import os

from minifn.sandbox.engines import Engine
from minifn.sandbox.launcher import proc
from minifn.sandbox.spawner import Spawner
from minifn.workers.channels import Started
from minifn.workers.starting import start_alone
from minifn.workers.template import FIRST_BYTES, LOAD_SECONDS, ForkFailed, Template, receive


class Spare(Template):
    """The spare of one deployment. It gives one process, its own."""

    name = "spare"
    _started: Started | None = None

    @property
    def resident_bytes(self) -> int:
        """The memory of its processes, 0 when they have ended or are a worker's now."""
        found = proc.family(self.process.pid) if self.process is not None else []
        return sum(proc.sizes(pid)[1] for pid in found)

    @property
    def has_ended(self) -> bool:
        """Whether its process has ended or is a worker's now."""
        return (self.state == "retired" and self.process is None) or super().has_ended

    async def load(self, spawner: Spawner, engine: Engine) -> None:
        """Start the process and wait until it takes requests.

        It has an obstacle then, or is ready. Raises SandboxError.
        """
        await self.spec.prepare()
        started = await start_alone(self.spec, spawner, engine)
        self.process, self._control = started.process, started.socket
        self._control.setblocking(False)
        read = b""
        try:
            hello = receive(self._control, FIRST_BYTES)
            read, _ = await asyncio.wait_for(hello, LOAD_SECONDS)
            self.obstacle = "" if read else "its process ended at once"
        except TimeoutError:
            self.obstacle = "its start takes too long"
        except OSError as exc:
            self.obstacle = str(exc)
        finally:
            if self.state != "loading" or not read:
                os.close(started.output)
                self._give_up()
        if self.state == "loading":
            self._started = Started(
                process=started.process, socket=started.socket, output=started.output, read=read
            )
            self._become_ready()

    async def give(self) -> Started:
        """Return its process. Raises ForkFailed when it has none any more."""
        started, self._started = self._started, None
        if started is None or self.state != "ready":
            raise ForkFailed("another worker has taken it")
        self.state = "retired"
        self._loop.remove_reader(self._control.fileno())
        # It is the worker's now.
        self.process = None
        return started

    def _has_children(self, members: list[int]) -> bool:
        """Return False: a wrapper may have started some, as PHP's has."""
        return False

    def _hear(self) -> None:
        """Note the end of the process; nothing else is heard of it."""
        self.retire()

    async def stop(self) -> None:
        """End the process, unless a worker has taken it."""
        started, self._started = self._started, None
        await super().stop()
        if started is not None:
            os.close(started.output)
