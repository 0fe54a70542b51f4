"""How long things take on a machine that has other work too."""

import os
from pathlib import Path


def patient(seconds: float) -> float:
    """Return how long something may take here that may take `seconds` on an idle machine.

    With N threads for each processor, each of them takes N times as long. The kernel's mean of a
    minute follows slowly, so the threads that can run now count too.
    """
    mean, _, _, running, _ = Path("/proc/loadavg").read_text().split()
    waiting = max(float(mean), int(running.partition("/")[0])) / len(os.sched_getaffinity(0))
    return seconds * max(waiting, 1.0)
