"""The engine `bwrap`: namespaces, a read-only root and a system call filter, by bubblewrap."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from minifn.sandbox.command import (
    PRIVATE_TMP,
    Bind,
    Command,
    EngineUnavailable,
    Network,
    Wrapped,
)
from minifn.sandbox.launcher import addresses
from minifn.sandbox.launcher.messages import FIRST_DATA_DESCRIPTOR

from .argv import Programs, confining_env, drop_argv, limits_argv, loader_argv

#: Size of the namespace's /dev/shm, bytes.
SHM_BYTES = 16 * 1024 * 1024
#: Host name inside, and the file that maps names to addresses.
HOSTNAME, HOSTS = "fn", "/etc/hosts"
#: Path of the private temporary directory inside.
TMP = "/tmp"
#: Options by which pasta offers the network without the host's loopback: no ports in either
#: direction, and in the foreground, because some versions hang otherwise.
PASTA_OPTIONS = (
    *("--foreground", "--config-net", "--no-map-gw"),
    *("--tcp-ports", "none", "--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none"),
)
#: Program that mounts a /proc of pasta's pid namespace, which pasta does not: bwrap would otherwise
#: look up its child's pid in the host's.
OWN_PROC = ("/usr/bin/unshare", "--mount-proc", "--")
#: Capabilities by which setpriv changes the uid inside and then gives up every capability.
SETUID_CAPABILITIES = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP")


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """The part of the host's file system that a namespace shows, read-only."""

    #: Directories and files at their own path.
    visible: tuple[str, ...]
    #: (target, link) pairs: `usr/bin` at `/bin`.
    links: tuple[tuple[str, str], ...]


class BwrapEngine:
    """Bubblewrap: a mount, pid, ipc and uts namespace, where only a private /tmp is writable."""

    name = "bwrap"
    strength = "functions see only their own code and processes, and write only to a private /tmp"
    namespaces = True
    tmp = TMP

    def __init__(
        self,
        *,
        bwrap: str,
        programs: Programs,
        layout: Layout,
        seccomp: bytes,
        uid: int,
        nested: bool,
        pasta: str = "",
        closed: Path | None = None,
    ) -> None:
        """`uid` is the server's; `nested` forbids user namespaces inside the sandbox.

        `pasta`: the program that isolates the network, "" when no command asks for that; `closed`:
        the file with the addresses that it does not reach beside this machine's.
        """
        self._bwrap = bwrap
        self._pasta = pasta
        self._closed = closed
        self._programs = programs
        self._seccomp = seccomp
        self._uid = uid
        self._root = uid == 0
        self._options = tuple(self._common(layout, nested))

    def place(self, bind: Bind) -> str:
        """Return the bind's target."""
        return bind.target

    def _common(self, layout: Layout, nested: bool) -> Iterable[str]:
        yield from ("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
        # Root needs no user namespace; without one the uids of functions differ on the host too.
        if not self._root:
            yield "--unshare-user"
            if nested:
                yield "--disable-userns"
        yield from ("--die-with-parent", "--new-session", "--hostname", HOSTNAME)
        yield from ("--cap-drop", "ALL")
        for path in layout.visible:
            if path == HOSTS:
                continue
            yield from _parents(path, set())
            yield from ("--ro-bind-try", path, path)
        for target, link in layout.links:
            yield from ("--symlink", target, link)
        # Read-only: a function must not lower the score by which the kernel kills it first.
        yield from ("--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev")
        yield from ("--perms", "1777", "--size", str(SHM_BYTES), "--tmpfs", "/dev/shm")

    def wrap(self, command: Command) -> Wrapped:
        """Return bwrap's argv; its options travel by descriptor, which hides the host's paths.

        Raises EngineUnavailable for an isolated network without pasta.
        """
        isolated = command.network is Network.ISOLATED
        changes_uid = self._root and command.uid > 0
        uid = command.uid if self._root else self._uid
        dropped = drop_argv(self._programs, command.uid) if changes_uid else ()
        count_processes = not self._root or changes_uid
        return Wrapped(
            argv=(
                *(self._isolating() if isolated else ()),
                *(self._bwrap, "--args", str(FIRST_DATA_DESCRIPTOR), "--", *dropped),
                *limits_argv(self._programs, command.limits, count_processes=count_processes),
                *loader_argv(command.env),
                *command.argv,
            ),
            # bwrap is process 1 inside, where /proc/1/environ shows the variables it started with.
            env={"HOME": TMP, "TMPDIR": TMP, **confining_env(command.env)},
            cwd="/",
            limits=command.limits,
            label=command.label,
            uid=uid if self._root else 0,
            data=self._data(command, uid, changes_uid),
            private_tmp=True,
            tmp_inside=TMP,
            # pasta stands between: the first child is not the init, so the whole tree is killed.
            namespaced=not isolated,
        )

    def _isolating(self) -> Iterable[str]:
        """Yield the programs around bwrap that isolate the network. Raises EngineUnavailable."""
        if not self._pasta or self._closed is None:
            raise EngineUnavailable(
                "MINIFN_NETWORK=isolated can only be set for the whole server, not for one command"
            )
        try:
            own = addresses.own_addresses()
        except OSError as exc:
            raise EngineUnavailable(f"this machine's addresses are not known: {exc}") from exc
        yield from (self._pasta, *PASTA_OPTIONS, "--", sys.executable, "-I", "-S")
        yield from (addresses.__file__, str(self._closed), *own, "--", *OWN_PROC)

    def _data(self, command: Command, uid: int, changes_uid: bool) -> tuple[bytes, ...]:
        """Return the data of bwrap's descriptors: its options, and the files that they name."""
        options = [*self._options]
        if command.network is Network.NONE:
            options.append("--unshare-net")
        if changes_uid:
            for capability in SETUID_CAPABILITIES:
                options += ["--cap-add", capability]
        options += ["--bind", PRIVATE_TMP, TMP]
        options += _bind_options(command.binds)
        data: list[bytes] = []

        def descriptor(content: bytes) -> str:
            data.append(content)
            return str(FIRST_DATA_DESCRIPTOR + len(data))

        files = {"/etc/passwd": _passwd(uid), "/etc/group": _group(uid), HOSTS: _hosts()}
        for path, content in files.items():
            options += ["--perms", "0644", "--ro-bind-data", descriptor(content), path]
        options += ["--chdir", command.cwd, "--remount-ro", "/", "--remount-ro", "/dev"]
        if self._seccomp:
            options += ["--seccomp", descriptor(self._seccomp)]
        return (b"".join(item.encode() + b"\0" for item in options), *data)


def _parents(path: str, made: set[str]) -> Iterable[str]:
    """Yield options that make the directories above `path`: bwrap would make them mode 0700."""
    for parent in reversed(PurePosixPath(path).parents):
        if str(parent) not in ("/", *made):
            made.add(str(parent))
            yield from ("--perms", "0755", "--dir", str(parent))


def _bind_options(binds: Iterable[Bind]) -> Iterable[str]:
    """Yield binds, outer targets first.

    Nothing is made below a target, because that shows the host's own directory.
    """
    made = {"/", "/usr", "/etc", "/tmp", "/proc", "/dev"}
    targets: list[PurePosixPath] = [PurePosixPath("/usr")]
    for bind in sorted(binds, key=lambda item: item.target.count("/")):
        target = PurePosixPath(bind.target)
        if not any(target.is_relative_to(outer) for outer in targets):
            yield from _parents(bind.target, made)
        yield from ("--bind" if bind.writable else "--ro-bind", str(bind.source), bind.target)
        targets.append(target)


def _passwd(uid: int) -> bytes:
    """Return a passwd file with root, nobody and the command's user."""
    own = f"fn:x:{uid}:{uid}::/tmp:/bin/sh\n" if uid else ""
    others = "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"
    return (others + own).encode()


def _group(uid: int) -> bytes:
    """Return a group file with root, nogroup and the command's group."""
    own = f"fn:x:{uid}:\n" if uid else ""
    return f"root:x:0:\nnogroup:x:65534:\n{own}".encode()


def _hosts() -> bytes:
    """Return the host's present file of names, with the command's own host name."""
    try:
        known = Path(HOSTS).read_bytes()
    except OSError:
        known = b"127.0.0.1 localhost\n::1 localhost\n"
    return known.rstrip(b"\n") + f"\n127.0.0.1 {HOSTNAME}\n".encode()
