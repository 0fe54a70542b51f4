"""Memory of the server's process: what the allocator keeps after many long bodies is given back to the machine."""

import ctypes

import psutil

#: More than it had when it was asked last: less is not worth the milliseconds that it costs.
GROWTH_BYTES = 32 * 1024 * 1024


class Allocator:
    """glibc's, which keeps what lies freed between what is used until it is asked; of others nothing is asked."""

    def __init__(self) -> None:
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        self._process = psutil.Process()
        #: After it was asked last, or the least since.
        self._least_bytes = self._process.memory_info().rss

    def look(self) -> None:
        """Give back what is free, if the process has grown; blocks for milliseconds."""
        resident_bytes = self._process.memory_info().rss
        if self._trim is not None and resident_bytes > self._least_bytes + GROWTH_BYTES:
            self._trim(0)
            self._least_bytes = self._process.memory_info().rss
        else:
            self._least_bytes = min(self._least_bytes, resident_bytes)
