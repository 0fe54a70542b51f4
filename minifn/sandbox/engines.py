"""Isolation is an argv: an engine is a pure function from a Command to what the spawner starts.

| engine | what confines | other processes | disk |
|---|---|---|---|
| bwrap | namespaces, read-only root, seccomp, limits | invisible | only a private tmpfs is writable |
| sandlock | own uid (if the server is root), Landlock, a supervisor | invisible | only a private directory is open |
| process | own uid (if the server is root), Landlock, seccomp, limits | visible | only a private directory is open |
| none | nothing; for development | visible | what the server may write |
"""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from .command import (
    FIRST_DATA_DESCRIPTOR,
    PRIVATE_TMP,
    Bind,
    Command,
    Confinement,
    EngineUnavailable,
    Limits,
    Network,
    Wrapped,
)

#: The namespace's /dev/shm, bytes.
SHM_BYTES = 16 * 1024 * 1024
#: What a namespace calls itself, and the file by which names become addresses.
HOSTNAME = "fn"
HOSTS = "/etc/hosts"
#: Queued signals and timers; the kernel counts those of a user together.
PENDING_SIGNALS = 256
#: What glibc ignores in programs with more rights than their caller (its `unsecvars.h`). The programs that confine a
#: command start with the server's rights, so a function must not reach their loader, allocator or locale by these.
LOADER_VARIABLES = (
    *(
        "LD_",
        "GLIBC_",
        "MALLOC_",
        "GCONV_PATH",
        "GETCONF_DIR",
        "HOSTALIASES",
        "LOCALDOMAIN",
        "LOCPATH",
        "NIS_PATH",
    ),
    *("NLSPATH", "RESOLV_HOST_CONF", "RES_OPTIONS", "TZDIR"),
)
#: The variable in which they travel, and the program that makes them of it once the command is confined. Their values
#: do not go by arguments, which every user of the machine can read. (Beside them a shell drops names that are none.)
LATE = "MINIFN_LATE"
LATE_PROGRAM = ("/bin/sh", "-c", f'eval "${LATE}"; unset {LATE}; exec "$@"', "sh")


#: How pasta gives a command the network without the host's loopback: no ports from or to the host, in the foreground,
#: because some versions hang otherwise.
PASTA_OPTIONS = (
    *("--foreground", "--config-net", "--no-map-gw"),
    *("--tcp-ports", "none", "--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none"),
)
#: pasta makes a pid namespace too, without a /proc of it: bwrap would look for its child's number in that of the host.
OWN_PROC = ("/usr/bin/unshare", "--mount-proc", "--")


class Engine(Protocol):
    """An isolation method."""

    name: str
    #: One line for people: what it protects from.
    strength: str

    def place(self, bind: Bind) -> str:
        """Return the path by which a command sees this bind."""
        ...

    def wrap(self, command: Command) -> Wrapped:
        """Return the command as the spawner is to start it. Raises EngineUnavailable for what it cannot promise."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Programs:
    """The programs of util-linux that confine; "" when the machine lacks one."""

    setpriv: str = ""
    prlimit: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """What of the host's file system a namespace shows, read-only."""

    #: Directories and files at their own path.
    visible: tuple[str, ...]
    #: (target, link) pairs: `usr/bin` at `/bin`.
    links: tuple[tuple[str, str], ...]


def limits_argv(programs: Programs, limits: Limits, *, count_processes: bool) -> tuple[str, ...]:
    """Return the prefix that sets resource limits, () when there is no prlimit.

    RLIMIT_AS is left alone: node, WebAssembly, Go and Java reserve far more address space than they use.
    """
    if not programs.prlimit:
        return ()
    values = {
        "core": 0,
        "sigpending": PENDING_SIGNALS,
        "nofile": limits.open_files or None,
        "data": limits.memory_bytes or None,
        "fsize": limits.file_bytes or None,
        "nproc": (limits.processes or None) if count_processes else None,
        # The soft limit sends SIGXCPU, the hard one a second later SIGKILL.
        "cpu": f"{limits.cpu_seconds}:{limits.cpu_seconds + 1}" if limits.cpu_seconds else None,
    }
    return (
        programs.prlimit,
        *(f"--{name}={value}" for name, value in values.items() if value is not None),
        "--",
    )


def drop_argv(programs: Programs, uid: int) -> tuple[str, ...]:
    """Return the prefix that gives up root for `uid` and every capability."""
    identity = ("--reuid", str(uid), "--regid", str(uid), "--clear-groups") if uid else ()
    return (programs.setpriv, *identity, "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")


def loader_argv(env: Mapping[str, str]) -> tuple[str, ...]:
    """Return the prefix that sets the command's loader variables once it is confined, () when it has none."""
    return LATE_PROGRAM if any(map(_is_late, env)) else ()


def confining_env(env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the programs which confine the command may see."""
    kept = {name: value for name, value in env.items() if not _is_late(name)}
    late = [f"export {name}={shlex.quote(value)}" for name, value in env.items() if _is_late(name)]
    return {**kept, LATE: "\n".join(late)} if late else kept


def _is_late(name: str) -> bool:
    # No loader knows a name that is no identifier, and no shell could set it.
    return name.startswith(LOADER_VARIABLES) and name.isascii() and name.isidentifier()


class BwrapEngine:
    """Bubblewrap: a mount, pid, ipc and uts namespace of its own, nothing writable but tmpfs, a system call filter."""

    name = "bwrap"
    strength = "namespaces: sees only its own code and processes, writes only to a private /tmp"

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
    ) -> None:
        """`uid` is the server's: as 0, commands drop to their own. `nested`: bwrap can forbid user namespaces.

        `pasta` is the program that isolates a network, "" when commands cannot ask for that.
        """
        self._bwrap = bwrap
        self._pasta = pasta
        self._programs = programs
        self._seccomp = seccomp
        self._uid = uid
        self._root = uid == 0
        self._options = tuple(self._common(layout, nested))

    def place(self, bind: Bind) -> str:
        """A bind appears at its target."""
        return bind.target

    def _common(self, layout: Layout, nested: bool) -> Iterable[str]:
        yield from ("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
        # Root needs no user namespace, and without one the uids of functions stay apart on the host as well.
        if not self._root:
            yield "--unshare-user"
            if nested:
                yield "--disable-userns"
        yield from (
            "--die-with-parent",
            "--new-session",
            "--hostname",
            HOSTNAME,
            "--cap-drop",
            "ALL",
        )
        for path in layout.visible:
            if path == HOSTS:
                continue
            yield from _parents(path, set())
            yield from ("--ro-bind-try", path, path)
        for target, link in layout.links:
            yield from ("--symlink", target, link)
        # Read-only: a function must not lower the score by which the kernel ends it first.
        yield from ("--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev")
        yield from ("--perms", "1777", "--size", str(SHM_BYTES), "--tmpfs", "/dev/shm")

    def wrap(self, command: Command) -> Wrapped:
        """Return bwrap's argv; its options travel by descriptor, so that no path of the host shows inside.

        Raises EngineUnavailable for an isolated network without pasta.
        """
        isolated = command.network is Network.ISOLATED
        if isolated and not self._pasta:
            raise EngineUnavailable(
                "an isolated network is to be had with MINIFN_NETWORK=isolated for the server only"
            )
        options = [*self._options]
        if command.network is Network.NONE:
            options.append("--unshare-net")
        if self._root and command.uid:
            for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
                options += ["--cap-add", capability]
        limits = command.limits
        options += ["--bind", PRIVATE_TMP, "/tmp"]
        options += _bind_options(command.binds)
        uid = command.uid if self._root else self._uid
        data = [_identity("passwd", uid), _identity("group", uid), _hosts()]
        for at, path in enumerate(("/etc/passwd", "/etc/group", HOSTS)):
            options += [
                "--perms",
                "0644",
                "--ro-bind-data",
                str(FIRST_DATA_DESCRIPTOR + 1 + at),
                path,
            ]
        options += ["--chdir", command.cwd, "--remount-ro", "/", "--remount-ro", "/dev"]
        if self._seccomp:
            options += ["--seccomp", str(FIRST_DATA_DESCRIPTOR + 1 + len(data))]
            data.append(self._seccomp)
        arguments = b"".join(item.encode() + b"\0" for item in options)
        dropped = drop_argv(self._programs, command.uid) if self._root and command.uid else ()
        return Wrapped(
            argv=(
                *((self._pasta, *PASTA_OPTIONS, "--", *OWN_PROC) if isolated else ()),
                *(self._bwrap, "--args", str(FIRST_DATA_DESCRIPTOR), "--", *dropped),
                *limits_argv(
                    self._programs, limits, count_processes=not self._root or bool(command.uid)
                ),
                *loader_argv(command.env),
                *command.argv,
            ),
            # bwrap is process 1 inside, where /proc/1/environ shows what it was started with.
            env={"HOME": "/tmp", "TMPDIR": "/tmp", **confining_env(command.env)},
            cwd="/",
            limits=limits,
            label=command.label,
            uid=uid if self._root else 0,
            data=(arguments, *data),
            private_tmp=True,
            # Around an isolated command is pasta: not the init, but the whole tree is to be killed.
            namespaced=not isolated,
        )


class ProcessEngine:
    """A process without privileges, under resource limits and a watchdog; its own uid when the server is root.

    Landlock and a system call filter keep it from other files and processes as far as the kernel has them.
    """

    name = "process"

    def __init__(
        self,
        *,
        programs: Programs,
        root: bool,
        private_root: Path | None = None,
        readable: tuple[str, ...] = (),
        landlock: bool = False,
        seccomp: bytes = b"",
    ) -> None:
        """Directories below `private_root` are closed to all but the uid of the command that uses them.

        `readable`: what of the host every command may read, for `landlock`.
        """
        self._programs = programs
        self._root = root
        self._private_root = private_root
        self._readable = readable
        self._landlock = landlock
        self._seccomp = seccomp
        #: A process that confines itself does by hand what setpriv does, except for giving up root.
        self._confined = landlock or bool(seccomp)
        self.strength = {
            (
                True,
                True,
            ): "a uid per function and Landlock: reads only its own code, but sees that others run",
            (
                True,
                False,
            ): "a uid per function: cannot touch the server's data, but sees that others run",
            (
                False,
                True,
            ): "Landlock, with the server's uid: reads only its own code; a weak boundary",
            (
                False,
                False,
            ): "resource limits only: functions share the server's uid; NOT a security boundary",
        }[root, landlock]

    def place(self, bind: Bind) -> str:
        """A bind is where it is on the host."""
        return str(bind.source)

    def wrap(self, command: Command) -> Wrapped:
        """Return the argv. Raises EngineUnavailable for a command with less network: nothing here could hold it."""
        refuse_less_network(self.name, command)
        prefix: tuple[str, ...] = ()
        if self._root:
            prefix = (*drop_argv(self._programs, command.uid), "--pdeathsig", "KILL", "--")
        elif self._programs.setpriv and not self._confined:
            prefix = (self._programs.setpriv, "--no-new-privs", "--pdeathsig", "KILL", "--")
        own_uid = self._root and command.uid > 0
        private = [
            str(bind.source)
            for bind in command.binds
            if own_uid
            and not bind.writable
            and self._private_root
            and bind.source.parent == self._private_root
        ]
        return Wrapped(
            # Counting processes per uid makes sense only for a uid that nobody else has.
            argv=(
                *prefix,
                *limits_argv(self._programs, command.limits, count_processes=own_uid),
                *loader_argv(command.env),
                *command.argv,
            ),
            env=confining_env(command.env),
            cwd=command.cwd,
            limits=command.limits,
            label=command.label,
            uid=command.uid if own_uid else 0,
            private_tmp=True,
            private_paths=tuple(private),
            confinement=self._confinement(command) if self._confined else None,
        )

    def _confinement(self, command: Command) -> Confinement:
        return Confinement(
            files=self._landlock,
            readable=(
                *self._readable,
                *(str(bind.source) for bind in command.binds if not bind.writable),
            ),
            writable=tuple(str(bind.source) for bind in command.binds if bind.writable),
            filter=self._seccomp,
        )


class NoEngine:
    """No isolation at all: for development on a machine with nothing to lose."""

    name = "none"
    strength = "no isolation: functions can do whatever the server can"

    def place(self, bind: Bind) -> str:
        """A bind is where it is on the host."""
        return str(bind.source)

    def wrap(self, command: Command) -> Wrapped:
        """Return the command as it is. Raises EngineUnavailable for a command with less network."""
        refuse_less_network(self.name, command)
        return Wrapped(
            argv=command.argv,
            env=dict(command.env),
            cwd=command.cwd,
            limits=command.limits,
            label=command.label,
            private_tmp=True,
        )


def refuse_less_network(engine: str, command: Command) -> None:
    """Raise EngineUnavailable for a command that is to have less than the host's network."""
    if command.network is not Network.HOST:
        raise EngineUnavailable(f"the engine {engine} cannot take the network away; use bwrap")


def _parents(path: str, made: set[str]) -> Iterable[str]:
    """Yield the options that make the directories above `path`, because bwrap would make them with mode 0700."""
    for parent in reversed(PurePosixPath(path).parents):
        if str(parent) not in ("/", *made):
            made.add(str(parent))
            yield from ("--perms", "0755", "--dir", str(parent))


def _bind_options(binds: Iterable[Bind]) -> Iterable[str]:
    """Yield binds, outer targets first; nothing is made below a target, which shows the host's own directory."""
    made = {"/", "/usr", "/etc", "/tmp", "/proc", "/dev"}
    targets: list[PurePosixPath] = [PurePosixPath("/usr")]
    for bind in sorted(binds, key=lambda item: item.target.count("/")):
        target = PurePosixPath(bind.target)
        if not any(target.is_relative_to(outer) for outer in targets):
            yield from _parents(bind.target, made)
        yield from ("--bind" if bind.writable else "--ro-bind", str(bind.source), bind.target)
        targets.append(target)


def _hosts() -> bytes:
    """Return the host's file of names, as it is now, with the command's own."""
    try:
        known = Path(HOSTS).read_bytes()
    except OSError:
        known = b"127.0.0.1 localhost\n::1 localhost\n"
    return known.rstrip(b"\n") + f"\n127.0.0.1 {HOSTNAME}\n".encode()


def _identity(kind: str, uid: int) -> bytes:
    """Return a passwd or group file with root, the command's user and nobody."""
    fields = {"passwd": "fn:x:{0}:{0}::/tmp:/bin/sh", "group": "fn:x:{0}:"}
    others = {
        "passwd": "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
        "group": "root:x:0:\nnogroup:x:65534:\n",
    }
    own = fields[kind].format(uid) + "\n" if uid else ""
    return (others[kind] + own).encode()
