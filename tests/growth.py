"""The CPU time of readers by the length of their input, for hostile inputs."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass

#: The shortest CPU time that is compared with another, seconds: below it, all that varies is the
#: clock.
MEASURABLE_SECONDS = 0.002
#: A cost that has been compared and is as high has been measured well enough.
ENOUGH_SECONDS = 0.02
#: The next text is this many times as long. A linear cost grows as much, a quadratic one by its
#: square.
STEP = 4
#: Between the two, with room for caches that a longer text no longer fits into.
GROWTH_MAX = 10
FIRST_BYTES = 512
TRIES = 2


@dataclass(frozen=True)
class Shape:
    """A text of a head, a repeated unit and a tail."""

    unit: bytes
    head: bytes = b""
    tail: bytes = b""

    def text(self, size_bytes: int) -> bytes:
        """Return the shape in about this many bytes."""
        return (
            self.head
            + self.unit * max(1, (size_bytes - len(self.head + self.tail)) // len(self.unit))
            + self.tail
        )


#: Texts without an end, texts that nearly match, again and again, and deep ones; all that parsers
#: have stumbled over.
SHAPES = (
    *(
        Shape(unit)
        for unit in (
            b"[",
            b'"\\',
            b'"',
            b'\\"',
            b",",
            b";",
            b'";',
            b"&",
            b"%",
            b"=",
            b"1",
            b" ",
            b"\t",
        )
    ),
    *(
        Shape(unit)
        for unit in (
            b"\n",
            b"\r\n",
            b"\x00",
            b"\xff",
            b"\xc3\xa4",
            b".",
            b"-",
            b"/",
            b"*",
            b"**/",
            b"://",
        )
    ),
    *(
        Shape(unit)
        for unit in (b"a=1&", b"a[]=1&", b"a;", b';a="b', b"a.", b"a-", b"a/", b"a,", b"a:")
    ),
    *(Shape(unit) for unit in (b"0000", b"0005a")),
    *(Shape(unit, b'{"a":') for unit in (b'"\\', b"[", b'{"a":', b"1", b" ", b"-", b"1e")),
    *(Shape(unit, b'{"a":"') for unit in (b"\\", b"\\\\", b'\\"', b"\\u00e4", b"a")),
    Shape(b'"",', b'["",'),
    Shape(b'["",""],', b"["),
    Shape(b"[],", b"["),
    Shape(b"a", tail=b"!"),
    Shape(b"a ", tail=b"!"),
    Shape(b"*a", tail=b"!"),
    Shape(b"**/a", tail=b"!"),
    Shape(b"][", b"a[", b"]=1"),
    Shape(b"\\'", b'equal("a", \''),
    Shape(b"[", b"equal("),
    Shape(b"a,", b"equal("),
    Shape(b"\r\n--X", b'--X\r\nContent-Disposition: form-data; name="a"\r\n\r\n', b"\r\n--X--"),
    Shape(b"\r\n--Xa", b'--X\r\nContent-Disposition: form-data; name="a"\r\n\r\n', b"\r\n--X--"),
    Shape(b";", b"--X\r\nContent-Disposition: form-data", b"\r\n\r\n"),
    Shape(b"a: b\r\n", b"--X\r\n"),
)


def seconds(read: Callable[[bytes], object], text: bytes) -> float:
    """Return the CPU time of this thread that reading takes, the least of a few tries.

    Without the garbage collector, whose work depends on all else that lives in this process.
    """
    found = []
    gc.disable()
    try:
        for _ in range(TRIES):
            began = time.thread_time()
            read(text)
            found.append(time.thread_time() - began)
    finally:
        gc.enable()
    return min(found)


def excess(read: Callable[[bytes], object], shape: Shape, limit_bytes: int) -> str:
    """Return how the cost grows when that is more than linear, "" when it is not.

    The texts become longer until one takes long enough to be measured, or the next would be longer
    than the limit.
    """
    size_bytes = FIRST_BYTES
    before, cost = 0.0, seconds(read, shape.text(size_bytes))
    while size_bytes * STEP <= limit_bytes and (
        before < MEASURABLE_SECONDS or cost < ENOUGH_SECONDS
    ):
        size_bytes *= STEP
        before, cost = cost, seconds(read, shape.text(size_bytes))
        if before < MEASURABLE_SECONDS or cost <= GROWTH_MAX * before:
            continue
        # Once more, both: something else may have happened to this machine.
        before, cost = (
            seconds(read, shape.text(size)) for size in (size_bytes // STEP, size_bytes)
        )
        if cost > GROWTH_MAX * before:
            return f"{shape}: {before:.4f} s, and {STEP} times as much takes {cost:.4f} s"
    return ""
