"""What a loss of power would take: a server's system calls, read for what is written and not synchronized yet."""

import os
import re
import shutil
from pathlib import Path

import pytest

#: Calls that change files, that put them on disk, and that send answers.
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
    """Return what is put before a command to have its calls, and its children's, written to `log`; skips without."""
    if os.geteuid() != 0 or shutil.which("strace") is None:
        pytest.skip(
            "a server hides from the tracers of plain users: run the tests as root, with strace installed"
        )
    # -D: the command, and not strace, is the child.
    options = ("-D", "-f", "--seccomp-bpf", "-qq", "-y", "-s", "16", "-e", f"trace={CALLS}")
    return ("strace", *options, "-o", str(log), "--")


class Trace:
    """The log of a server on the data directory `root`, which did not exist when it began."""

    def __init__(self, log: Path, root: Path) -> None:
        self._log = log
        self._root = root
        self._wal = str(root / "minifn.db-wal")
        #: What needs to be on disk -> the line that last changed it. A directory stands for the names in it.
        self._unsafe: dict[str, int] = {}
        self._known: set[str] = set()
        #: Whether the database's log was put on disk since the last answer.
        self._committed = False
        #: Process -> (line, arguments) of a call that has begun.
        self._begun: dict[str, tuple[int, str]] = {}
        self._read_bytes = 0
        self._line = 0
        #: For each answer with a success so far: what a loss of power would have taken at that moment.
        self.answers: list[set[str]] = []
        self.refusals = 0
        #: Files that got their name before their content was on disk: afterwards they may be there and empty.
        self.hollow: set[str] = set()

    def read(self) -> "Trace":
        """Take in what has been logged since."""
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
        """What a loss of power would take now."""
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
            # What is in the log behind a commit is the next one, of which nothing has been said.
            self.answers.append(self._unsafe.keys() - ({self._wal} if self._committed else set()))
            self._committed = False
            return
        # Of a copy, the last descriptor or the first: both are marked, one of them is no file of the data directory.
        for path in _paths(rest):
            self._mark(path)

    def _make(self, path: str) -> None:
        self._known.add(path)
        # A packed build is made again when it is not there.
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
        # What lives as long as a server runs; and what SQLite has in its log as well, or makes of it.
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
