"""How long things take on a machine that has other work too."""

import math
import os
from pathlib import Path

#: The largest factor by which a busy machine lengthens a time: with more work than that beside it,
#: a test of time fails, and is run again when the machine has less to do.
STRETCH_MAX = 10.0


def patient(seconds: float, *, fault_seconds: float = math.inf) -> float:
    """Return how long something may take here that may take `seconds` on an idle machine.

    With N threads for each processor, each of them takes N times as long, up to STRETCH_MAX. The
    kernel's mean of a minute follows slowly, so the threads that can run now count too.

    A test that bounds a time from above gives `fault_seconds`: how long the fault that it looks for
    takes on an idle machine. A longer bound would say nothing.
    """
    mean, _, _, running, _ = Path("/proc/loadavg").read_text().split()
    waiting = max(float(mean), int(running.partition("/")[0])) / len(os.sched_getaffinity(0))
    return min(seconds * min(max(waiting, 1.0), STRETCH_MAX), fault_seconds)
