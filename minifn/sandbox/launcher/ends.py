"""Reports of how trees ended, with the limit that ended them."""

import os
import signal

from . import proc
from .messages import Exited
from .tree import Tree

#: Limits that the kernel reports by a signal.
LIMIT_SIGNALS = {
    int(signal.SIGXFSZ): "file size limit exceeded",
    int(signal.SIGXCPU): "CPU time limit exceeded",
}
#: Signals by which programs end that get no more memory and did not expect that.
CRASH_SIGNALS = (signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGSEGV, signal.SIGTRAP)
#: Share of the memory limit above which such a signal is told together with the memory in use.
NEAR_SHARE = 0.75


def exited(item: Tree, status: int) -> Exited:
    """Return the report of a tree's end; `status` is the root's raw wait status."""
    code = os.waitstatus_to_exitcode(status)
    if item.namespaced and 128 < code < 128 + signal.NSIG:
        code = 128 - code  # bwrap reports a death by signal as shells do.
    reason = item.reason or LIMIT_SIGNALS.get(-code, "") or (item.limit_hit if code else "")
    if code == -signal.SIGKILL and not item.killed and proc.oom_kills() > item.oom_kills:
        reason = reason or "the server ran out of memory"
    return {
        "op": "exited",
        "id": item.id,
        "code": code if code >= 0 else None,
        "signal": -code if code < 0 else None,
        "reason": reason or crash_near_limit(item, -code),
        "left": item.left,
    }


def crash_near_limit(item: Tree, number: int) -> str:
    """Return the signal and the memory of a tree that crashed near its limit; "" for another end.

    Only the kernel knows whether it refused memory before. A program whose memory is refused may
    end in any way: Node.js does by SIGABRT, SIGSEGV or SIGTRAP.
    """
    if number not in CRASH_SIGNALS or not item.memory_bytes:
        return ""
    if item.peak_bytes < NEAR_SHARE * item.memory_bytes:
        return ""
    peak, limit = item.peak_bytes // 2**20, item.memory_bytes // 2**20
    name = signal.Signals(number).name
    return f"signal {number} ({name}) near its memory limit ({peak} of {limit} MB)"
