"""Memory of the server's process: what the collector looks at, and what the allocator keeps."""

import ctypes
import gc

import psutil

#: Growth since the last trim, bytes, below which a trim is not worth its milliseconds.
GROWTH_BYTES = 32 * 1024 * 1024
#: New objects after which Python looks for cycles among them. Requests in flight have thousands,
#: which end without its help; with Python's own 700 it would look at them in each turn of the loop.
COLLECTED_OBJECTS = 20_000


def spare_collector() -> None:
    """Have the garbage collector look at less: never at the parts of the server, rarely at calls.

    Call it once the server has started.
    """
    gc.freeze()
    gc.set_threshold(COLLECTED_OBJECTS)


class Allocator:
    """glibc's allocator, which keeps freed memory until it is trimmed. Others are left alone."""

    def __init__(self) -> None:
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        self._process = psutil.Process()
        #: Least resident bytes since the last trim.
        self._least_bytes = self._process.memory_info().rss

    def look(self) -> None:
        """Trim the allocator if the process has grown; blocks for milliseconds."""
        resident_bytes = self._process.memory_info().rss
        if self._trim is not None and resident_bytes > self._least_bytes + GROWTH_BYTES:
            self._trim(0)
            self._least_bytes = self._process.memory_info().rss
        else:
            self._least_bytes = min(self._least_bytes, resident_bytes)
