"""multiprocessing where Unix sockets with a path are refused.

An engine without namespaces refuses them, because every such socket of the machine could be
reached. Managers then listen on loopback, where a key protects them as everywhere. The start method
`forkserver`, whose server takes descriptors by such a socket, starts each process as `spawn` does.
"""

from __future__ import annotations

import sys

CONNECTION = "multiprocessing.connection"
FORKSERVER = "multiprocessing.popen_forkserver"


class Replacement(type(sys)):
    """A module in place of FORKSERVER; what it needs is imported by the first process."""

    def __getattr__(self, name: str) -> object:
        if name != "Popen":
            raise AttributeError(name)
        from multiprocessing.popen_spawn_posix import Popen

        return Popen


class Finder:
    """Finds CONNECTION as the other finders do, and changes it when it is imported."""

    @classmethod
    def find_spec(cls, name: str, path: object = None, target: object = None) -> object:
        if name != CONNECTION:
            return None
        sys.meta_path.remove(cls)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                spec.loader.exec_module = _then(spec.loader.exec_module)
                return spec
        return None


def _then(load):
    def exec_module(module) -> None:
        load(module)
        module.default_family = "AF_INET"

    return exec_module


def install() -> None:
    """Change multiprocessing, which need not be imported yet."""
    sys.modules[FORKSERVER] = Replacement(FORKSERVER)
    if CONNECTION in sys.modules:
        sys.modules[CONNECTION].default_family = "AF_INET"
    else:
        sys.meta_path.insert(0, Finder)
