"""Budgets of bytes and slots that requests share."""

from minifn import limits
from minifn.errors import Overloaded


class Budget:
    """A number of bytes or slots; requests beyond it are refused."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self.used = 0

    def take(self, amount: int) -> None:
        """Take `amount`, to be given back. Raises Overloaded when less is left."""
        if self.used + amount > self._capacity:
            raise Overloaded
        self.used += amount

    def count(self, amount: int) -> None:
        """Take `amount` whether or not it is left."""
        self.used += amount

    def has(self, amount: int) -> bool:
        """Tell whether `amount` is left."""
        return self.used + amount <= self._capacity

    def give(self, amount: int) -> None:
        """Give back an amount that was taken."""
        self.used -= amount


class Budgets:
    """The budgets of a server that may use `memory_bytes`.

    Bodies and answers get a quarter of it each, when that is less than their limit.
    """

    def __init__(self, memory_bytes: int) -> None:
        #: Bytes of request bodies in memory.
        self.bodies = Budget(min(limits.BODIES_BYTES_MAX, memory_bytes // 4))
        #: Bytes of long answers that are not sent yet.
        self.answers = Budget(min(limits.ANSWERS_BYTES_MAX, memory_bytes // 4))
        #: Uploads of archives, each a file on disk.
        self.uploads = Budget(limits.UPLOADS_MAX)
        #: Requests of git clients.
        self.git_requests = Budget(limits.GIT_REQUESTS_MAX)
        #: Answers that go on until their reader leaves.
        self.streams = Budget(limits.STREAMS_MAX)
        #: Bytes of events that wait for their readers.
        self.events = Budget(min(limits.EVENTS_BYTES_MAX, memory_bytes // 8))
