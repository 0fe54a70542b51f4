"""Finds what a loss of power would take, from a server's system calls: unsynchronized writes."""

import os
import re
import shutil
from pathlib import Path

import pytest

#: Calls that change files, synchronize them, and send answers.
CALLS = (
    "openat,creat,write,pwrite64,writev,pwritev,sendfile,copy_file_range,rename,renameat,renameat2,link,linkat,"
    "symlink,symlinkat,mkdir,mkdirat,unlink,unlinkat,rmdir,fsync,fdatasync,sync,syncfs,sendto,sendmsg"
)
_WRITES = {
    "write",
    "pwrite64",
    "writev",
    "pwritev",
    "sendfile",
    "copy_file_range",
    "sendto",
    "sendmsg",
}
_LINE = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)")
_DESCRIPTOR = re.compile(r"-?\d+<([^>]*)>|AT_FDCWD<([^>]*)>")
_NAME = re.compile(r'(?:AT_FDCWD<([^>]*)>|\d+<([^>]*)>)?(?:, )?"((?:[^"\\]|\\.)*)"')
_ANSWER = re.compile(r'"HTTP/1\.1 ([24])\d\d')


def tracer(log: Path) -> tuple[str, ...]:
    """Return the argv that logs the calls of a command; skip the test without strace."""
    if os.geteuid() != 0 or shutil.which("strace") is None:
        pytest.skip(
            "a server hides from the tracers of plain users: run the tests as root, with strace"
        )
    # -D makes the command, and not strace, the child.
    options = ("-D", "-f", "--seccomp-bpf", "-qq", "-y", "-s", "16", "-e", f"trace={CALLS}")
    return ("strace", *options, "-o", str(log), "--")


class Trace:
    """The log of a server on a new data directory `root`."""

    def __init__(self, log: Path, root: Path) -> None:
        self._log = log
        self._root = root
        self._wal = str(root / "minifn.db-wal")
        #: Path to synchronize -> the line that last changed it; a directory stands for its names.
        self._unsafe: dict[str, int] = {}
        self._known: set[str] = set()
        #: Whether the database's log was synchronized since the last answer.
        self._committed = False
        #: Process -> (line, arguments) of its unfinished call.
        self._begun: dict[str, tuple[int, str]] = {}
        self._read_bytes = 0
        self._line = 0
        #: For each successful answer, what a loss of power would have taken at that moment.
        self.answers: list[set[str]] = []
        self.refusals = 0
        #: Files named before their content was on disk: a loss of power may leave them empty.
        self.hollow: set[str] = set()

    def read(self) -> "Trace":
        """Read the lines that are new in the log."""
        with self._log.open("rb") as file:
            file.seek(self._read_bytes)
            news = file.read()
        whole = news[: news.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            self._line += 1
            self._take(line)
        return self

    @property
    def left(self) -> set[str]:
        """Return what a loss of power would take now."""
        return set(self._unsafe)

    def _take(self, line: str) -> None:
        found = _LINE.match(line)
        if found is None:
            return
        pid, resumed, fresh, rest = found.groups()
        name, begun_at = resumed or fresh, self._line
        if resumed:
            begun_at, arguments = self._begun.pop(pid, (self._line, ""))
            rest = arguments + rest
        if rest.endswith("<unfinished ...>"):
            self._begun[pid] = (self._line, rest.removesuffix("<unfinished ...>"))
            if name in _WRITES:
                self._write(rest)
            return
        if resumed and _ANSWER.search(rest):
            # It counted when it began: writes may have followed since.
            return
        if ") = -1 " not in rest and ") = ?" not in rest:
            self._done(name, rest, begun_at)

    def _done(self, name: str, rest: str, begun_at: int) -> None:
        if name in _WRITES:
            self._write(rest)
        elif name in ("fsync", "fdatasync"):
            for path in _paths(rest):
                self._committed |= path == self._wal
                if self._unsafe.get(path, self._line) < begun_at:
                    del self._unsafe[path]
        elif name in ("sync", "syncfs"):
            self._unsafe = {path: line for path, line in self._unsafe.items() if line > begun_at}
        elif name in ("unlink", "unlinkat", "rmdir"):
            for path in _names(rest):
                self._forget(path)
        elif name.startswith("rename"):
            old, new = _names(rest)
            if old in self._unsafe:
                self._unsafe[new] = self._line
                self.hollow.add(new)
            self._forget(old)
            self._make(new)
        elif name.startswith(("link", "symlink")):
            self._make(_names(rest)[-1])
        elif name in ("mkdir", "mkdirat") or "O_CREAT" in rest:
            for path in _names(rest):
                if path not in self._known:
                    self._make(path)

    def _write(self, rest: str) -> None:
        answer = _ANSWER.search(rest)
        if answer and answer[1] == "4":
            self.refusals += 1
            return
        if answer:
            # Log entries after a commit belong to the next one, which is not acknowledged.
            self.answers.append(self._unsafe.keys() - ({self._wal} if self._committed else set()))
            self._committed = False
            return
        # A copy has two descriptors; both are marked, and one is outside the data directory.
        for path in _paths(rest):
            self._mark(path)

    def _make(self, path: str) -> None:
        self._known.add(path)
        # A missing packed build is packed again.
        if self._matters(path) and "~output" not in path:
            self._mark(str(Path(path).parent), always=True)

    def _mark(self, path: str, *, always: bool = False) -> None:
        if always or self._matters(path):
            self._unsafe[path] = self._line

    def _forget(self, path: str) -> None:
        for known in (path, *(name for name in self._known if name.startswith(f"{path}/"))):
            self._known.discard(known)
            self._unsafe.pop(known, None)

    def _matters(self, path: str) -> bool:
        if not Path(path).is_relative_to(self._root):
            return False
        # Files of one server's run, and files that SQLite restores from its log.
        below = Path(path).relative_to(self._root)
        return below.parts[:1] not in (("run",), ("minifn.db",), ("minifn.db-shm",))


def _paths(rest: str) -> list[str]:
    return [found[1] or found[2] for found in _DESCRIPTOR.finditer(rest.partition('"')[0])]


def _names(rest: str) -> list[str]:
    """Return the paths that a call names, in order."""
    return [
        os.path.normpath(os.path.join(found[1] or found[2] or "/", found[3]))  # noqa: PTH118 - text of another process
        for found in _NAME.finditer(rest)
    ]
