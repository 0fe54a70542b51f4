"""Memory of the server's process: freed memory that the allocator keeps is given back."""

import ctypes

import psutil

#: Growth since the last trim, bytes, below which a trim is not worth its milliseconds.
GROWTH_BYTES = 32 * 1024 * 1024


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
